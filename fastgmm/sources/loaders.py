"""Data sets and loaders in the manner of torch, which need not be installed.

A data set has a length and gives a row, or a tuple that begins with a row, for every number; a
loader is iterated, and gives batches. Of a tuple ``(x, y, ...)`` the first is taken: a mixture has
no use for targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.unsupported import refuse_stranger

ROWS_AT_A_TIME = 4096  # of a data set that is asked for them one by one


def is_map_style(data: object) -> bool:
    """Whether rows are asked for by their number: no iteration, but a length and items."""
    return (
        hasattr(data, "__len__")
        and hasattr(data, "__getitem__")
        and not hasattr(data, "__iter__")
        and not hasattr(data, "__array__")
    )


def batches(data: Any, chunk_rows: int | None) -> Iterator[npt.NDArray[Any]]:
    """Walk the rows of a data set in the order of their numbers."""
    step, n_rows = chunk_rows or ROWS_AT_A_TIME, len(data)
    name = f"the {type(data).__name__}"
    for start in range(0, n_rows, step):
        numbers = range(start, min(start + step, n_rows))
        yield np.stack([_row(data[number], f"item {number} of {name}") for number in numbers])


def _row(item: Any, place: str) -> npt.NDArray[Any]:
    if isinstance(item, list | tuple) and len(item) and getattr(item[0], "ndim", 0) == 1:
        item = item[0]
    row = np.asarray(_detached(item))
    if row.ndim != 1:
        raise DataError(
            f"{place} has the shape {row.shape}; an item is to be a row of numbers, or a tuple "
            "that begins with one: flatten what has more dimensions"
        )
    return row


def rows_of(item: Any) -> Any:
    """Return the rows of a loader's batch: the first of a tuple, in memory that NumPy reads."""
    if isinstance(item, list | tuple) and len(item) and getattr(item[0], "ndim", 0) == 2:
        item = item[0]
    return _detached(item)


def _detached(item: Any) -> Any:
    """Return a tensor as an array, its gradients left behind; another device's is refused."""
    if not hasattr(item, "detach"):
        return item
    refuse_stranger(item)
    return item.detach().numpy()
