"""The contract of a source: rows that can be walked once for every pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial, reduce
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources.blocks import Block, Poured, blocks

Result = TypeVar("Result")
Room = Callable[[], npt.NDArray[Any]]

CHUNK_BYTES = 8_000_000  # a reader's chunk: long enough to hide its overhead, short beside a block
PIECE_BYTES = 1_000_000  # what is converted at a time: it stays in cache


class Chunk(NamedTuple):
    """However many rows a source happens to yield; real numbers of any type and layout."""

    rows: npt.NDArray[Any]  # (n, d)
    weights: npt.NDArray[Any] | None  # (n,)


class Source(ABC):
    """Rows from anywhere, read chunk by chunk, as often as there are passes.

    A reader calls this constructor and writes `chunks`. It may reuse the memory of a chunk once
    the next is asked for.

    Attributes
    ----------
    name : str
        What messages call it: ``points.parquet``, ``the array``.
    labels : sequence of str or int
        The name, or else the number, of each feature.
    dtype : numpy.dtype
        float32 if every feature is float32, otherwise float64 (float16 too).
    n_rows : int or None
        None until a pass has counted them, where the source cannot tell.
    weight : str, int or None
        The column that holds the weights of the rows.
    heaviest : float or None
        The largest weight of a row, once a pass has seen all.
    checked : bool
        Whether the rows were found finite once and stay so, being in memory.
    reads_ahead : bool
        Whether another thread than the caller's may walk the chunks: files, but no user's code.
    guarded : bool
        Whether other rows in a later pass are noticed by other means than summing their bits:
        by the time of a file, say.
    lasting : bool
        Whether a chunk keeps its numbers while others are asked for.
    first_row : int
        A number of the first row: 0, but in a part of another source, whose parts do not overlap.
    """

    reads_ahead = False
    guarded = False
    lasting = False
    first_row = 0

    def __init__(
        self,
        name: str,
        labels: Sequence[Hashable],
        dtype: npt.DTypeLike,
        n_rows: int | None = None,
        weight: Hashable | None = None,
    ) -> None:
        self.name = name
        self.labels = labels
        self.dtype = np.dtype(dtype)
        self.n_rows = n_rows
        self.weight = weight
        self.heaviest: float | None = None
        self.checked = False
        self._fingerprint: int | None = None

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows from the first to the last; every call starts anew."""

    def pour(self, room: Room) -> Iterator[Poured] | None:
        """Walk the rows by writing them where they are wanted, where that saves a copy.

        Parameters
        ----------
        room : callable
            Gives an array of rows and of the dtype of the source, C-contiguous, of at least one
            row: the next rows belong at its beginning, as many as are at hand.

        Returns
        -------
        poured : iterator of Poured or None
            What each writing came to; None where there are only `chunks`.
        """
        return None

    @property
    def n_features(self) -> int:
        """How many features a row has."""
        return len(self.labels)

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the features, or None where the columns are not named by text."""
        names = tuple(label for label in self.labels if isinstance(label, str))
        return names if len(names) == len(self.labels) else None

    @property
    def whole_rows(self) -> int | None:
        """How many rows there are where this is a part of another source; else its own."""
        return self.n_rows

    def first_rows(self, most: int) -> Block | None:
        """Return the first rows, so many at most; None where there is none."""
        with closing(blocks(self, most)) as walk:
            return next(walk, None)

    def place(self, row: int) -> str:
        """Say where a row stands; rows count from 0."""
        return f"row {row} of {self.name}"

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

    def complete(self, n_rows: int, fingerprint: int | None = None) -> None:
        """Hear what a whole pass gave: every pass must give as many rows, and the same."""
        if self.n_rows is None:
            self.n_rows = n_rows
        if self.n_rows != n_rows:
            self._refuse(f"{n_rows} rows")
        if self._fingerprint is None:
            self._fingerprint = fingerprint
        if self._fingerprint != fingerprint:
            raise SourceChangedError(
                f"{self.name} gave other numbers in this pass than before; every pass must walk "
                "the same rows, in whatever order (if they are drawn at random or augmented, "
                "draw them once and keep them)"
            )

    def refuse_more(self, n_rows: int) -> None:
        """Refuse rows beyond those of the pass before, while the pass goes on."""
        if self.n_rows is not None and n_rows > self.n_rows:
            self._refuse(f"at least {n_rows} rows")

    def _refuse(self, found: str) -> NoReturn:
        raise SourceChangedError(
            f"{self.name} gave {found} in this pass and {self.n_rows} before; every pass must "
            "walk the same rows (a callable must return a fresh iterator each time)"
        )


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


def rows_a_chunk(n_columns: int) -> int:
    """How many rows a reader takes at a time when the user does not say."""
    return max(1, CHUNK_BYTES // (8 * max(n_columns, 1)))


def rows_a_piece(n_columns: int) -> int:
    """How many rows to convert at a time, or to read where reading little costs nothing."""
    return max(1, PIECE_BYTES // (8 * max(n_columns, 1)))
