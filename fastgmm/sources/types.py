"""Rows on their way to a kernel: chunks as a reader yields them, blocks as a kernel takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Chunk(NamedTuple):
    """However many rows a source happens to yield; real numbers of any type and layout."""

    rows: npt.NDArray[Any]  # (n, d)
    weights: npt.NDArray[Any] | None  # (n,)


class Block(NamedTuple):
    """A fixed number of rows, ready for a kernel.

    The rows are read-only: they may be the caller's own. They are good until the next block is
    asked for.
    """

    rows: npt.NDArray[Any]  # (n, d) float32 or float64, C-contiguous, aligned
    weights: npt.NDArray[np.float64] | None  # (n,)
    start: int  # the number of the first row in the source, from 0


class Poured(NamedTuple):
    """Rows that were written where a block wanted them."""

    n_rows: int
    weights: npt.NDArray[Any] | None = None  # (n_rows,)
    finite: bool | None = None  # None: nobody has looked; False: some number may not be
