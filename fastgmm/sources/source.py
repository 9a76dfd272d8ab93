"""What a pass asks of a source: to fold, gather or tabulate its blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial, reduce
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.blocks import blocks
from fastgmm.sources.rows import Rows
from fastgmm.sources.types import Block

Result = TypeVar("Result")


class Source(Rows):
    """Rows that passes are computed over, block by block.

    A reader calls the constructor of `Rows` and writes `chunks`.
    """

    def first_rows(self, most: int) -> Block | None:
        """Return the first rows, so many at most; None where there is none."""
        with closing(blocks(self, most)) as walk:
            return next(walk, None)

    def fold(
        self,
        summarise: Callable[[Block], Result],
        combine: Callable[[Result, Result], Result],
        block_rows: int,
    ) -> Result:
        """Summarise every block and combine what is found, in the order of the blocks.

        Parameters
        ----------
        summarise : callable
            A pure function of a `Block`.
        combine : callable
            Joins the results of the blocks before with that of the next.
        block_rows : int

        Raises
        ------
        DataError
            If a row cannot be used, or if there is none.
        """
        found: Result | None = self.gather(
            partial(_folded, summarise, combine), combine, block_rows
        )
        if found is None:
            raise DataError(f"{self.name} holds no rows (0 samples); at least one is needed")
        return found

    def gather(
        self,
        walk: Callable[[Source, Iterable[Block]], Result | None],
        combine: Callable[[Result, Result], Result],
        block_rows: int,
    ) -> Result | None:
        """Have every part of the rows walked where it lives, and combine what is found.

        Most sources are one part, so that there is nothing to combine.

        Parameters
        ----------
        walk : callable
            A pure function of a part, a source itself, and an iterable of its blocks, which it
            walks to the end.
        combine : callable
            Joins what was found in one part with that of the next.
        block_rows : int

        Returns
        -------
        found : object
            May be None if there are no rows.
        """
        with closing(blocks(self, block_rows)) as walked:
            return walk(self, walked)

    def tabulate(
        self,
        fill: Callable[[Block, npt.NDArray[Any]], None],
        width: tuple[int, ...],
        dtype: npt.DTypeLike,
        block_rows: int,
    ) -> Any:
        """Make an array of one entry for every row, in the order of the rows.

        Parameters
        ----------
        fill : callable
            Writes the entries of a `Block` to an array, (rows of the block, *width).
        width : tuple of int
            The shape of an entry.
        dtype : data-type
        block_rows : int

        Returns
        -------
        ndarray of shape (n_rows, *width), or a lazy array where the rows are lazy
        """
        with closing(blocks(self, block_rows)) as walk:
            if self.n_rows is not None:
                out = np.empty((self.n_rows, *width), dtype)
                for block in walk:
                    fill(block, out[block.start : block.start + len(block.rows)])
                return out
            parts = [np.empty((0, *width), dtype)]
            for block in walk:
                parts.append(np.empty((len(block.rows), *width), dtype))
                fill(block, parts[-1])
            return np.concatenate(parts)


def _folded(
    summarise: Callable[[Block], Result],
    combine: Callable[[Result, Result], Result],
    source: Source,
    walk: Iterable[Block],
) -> Result | None:
    """Combine the summaries of some blocks, the first with the next; None where there is none."""
    results = map(summarise, walk)
    for first in results:
        return reduce(combine, results, first)
    return None
