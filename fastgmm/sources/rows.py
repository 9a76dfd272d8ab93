"""What a reader provides: its columns, and its rows chunk by chunk, once for every pass."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources.types import Block, Chunk, Poured

Buffer = Callable[[], npt.NDArray[Any]]  # gives the free part of the block that is being filled

CHUNK_BYTES = 8_000_000  # a reader's chunk: long enough to hide its overhead, short beside a block
PIECE_BYTES = 1_000_000  # what is converted at a time: it stays in cache


class Rows(ABC):
    """Rows from anywhere, read chunk by chunk, as often as there are passes.

    A reader calls this constructor and writes `chunks`. It may reuse the buffer of a chunk once
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
    label : str, int or None
        The column that holds the classes of the rows.
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
    read_as : str or None
        How a text file is written, as far as it was found in the file or told: its separator,
        decimal point, header and encoding.
    may_lack : bool
        Whether NaN is a value that is missing; else it is refused.
    first_row : int
        A number of the first row: 0, but in a part of another source, whose parts do not overlap.
    """

    reads_ahead = False
    guarded = False
    lasting = False
    may_lack = False
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
        self.label: Hashable | None = None
        self.heaviest: float | None = None
        self.checked = False
        self._fingerprint: int | None = None

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows from the first to the last; every call starts anew."""

    def pour(self, buffer: Buffer) -> Iterator[Poured] | None:
        """Walk the rows by writing them where they are wanted, where that saves a copy.

        Parameters
        ----------
        buffer : callable
            Gives an array of rows and of the dtype of the source, C-contiguous, of at least one
            row: the next rows belong at its beginning, as many as are at hand.

        Returns
        -------
        poured : iterator of Poured or None
            What each writing came to; None where there are only `chunks`.
        """
        return None

    def at_once(self) -> Block | None:
        """Return all rows as one block, where they are sound and lie as kernels read them."""
        return None

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the cells of a column of labels as they stand there: texts, numbers, None."""
        raise DataError(
            f"no column of {self.name} can hold labels; give them beside the rows, labels=..."
        )

    def lacking(self) -> Self:
        """Return the same rows, of which values may be missing."""
        found = copy.copy(self)
        found.may_lack = True
        return found

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
    def read_as(self) -> str | None:
        """How a text file is written."""
        return None

    @property
    def whole_rows(self) -> int | None:
        """How many rows there are where this is a part of another source; else its own."""
        return self.n_rows

    def place(self, row: int) -> str:
        """Name a row in messages; rows count from 0."""
        return f"row {row} of {self.name}"

    def complete(self, n_rows: int, fingerprint: int | None = None) -> None:
        """Compare a finished pass with the one before: its number of rows and fingerprint."""
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


def rows_per_chunk(n_columns: int) -> int:
    """How many rows a reader takes at a time when the user does not say."""
    return max(1, CHUNK_BYTES // (8 * max(n_columns, 1)))


def rows_per_piece(n_columns: int) -> int:
    """How many rows to convert at a time, or to read where reading little costs nothing."""
    return max(1, PIECE_BYTES // (8 * max(n_columns, 1)))
