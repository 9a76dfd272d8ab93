"""Arrays stored in a file as they are in memory, read without a memory map.

A map would be as fast, but a page that is gone kills the process (SIGBUS); a read of a file
that was cut short is an error.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import Chosen, Reading, choose, position_of
from fastgmm.sources.formats.file import File
from fastgmm.sources.rows import Buffer, rows_per_chunk, rows_per_piece
from fastgmm.sources.source import Source
from fastgmm.sources.tables import ArrayTable
from fastgmm.sources.types import Chunk, Poured

# Columns that a file without rows may tell of. There its size says nothing of them: a header of
# 1e14 was numbered until memory ran out.
EMPTY_WIDTH = 100_000


class Layout(NamedTuple):
    """Where the numbers of a 2-d array lie."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int  # of the first number, in bytes

    @property
    def end(self) -> int:
        """Bytes up to the last number."""
        return self.offset + self.shape[0] * self.shape[1] * self.dtype.itemsize


class PlainSource(Source):
    """A 2-d array in a file, in C or in Fortran order."""

    reads_ahead = True
    guarded = True

    def __init__(
        self,
        file: File,
        layout: Layout,
        reading: Reading,
    ) -> None:
        self._file, self._layout = file, layout
        n_rows, width = layout.shape
        if not n_rows and width > EMPTY_WIDTH:
            raise DataError(f"{file.name} holds no rows, and of {width} columns; it is damaged")
        self._chosen = choose(range(width), reading, file.name)
        table = ArrayTable(np.empty((0, width), layout.dtype))
        dtype = table.dtype(self._chosen, Place(file.name))
        super().__init__(file.name, self._chosen.features, dtype, n_rows, reading.weight)
        at_a_time = rows_per_chunk if layout.fortran else rows_per_piece
        self._chunk_rows = reading.chunk_rows or at_a_time(width)

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the numbers of one column."""
        alone = copy.copy(self)
        columns = range(self._layout.shape[1])
        alone._chosen = Chosen((position_of(label, columns, self.name),), None, False)
        for chunk in alone.chunks():
            yield np.array(chunk.rows[:, 0])

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows, each chunk in the buffer of the one before."""
        read = _columns_reader if self._layout.fortran else _rows_reader
        n_rows = self._layout.shape[0]
        with self._file.reading(EOFError), self._file.open(buffering=0) as opened:
            stretch = read(opened, self._layout, min(self._chunk_rows, n_rows))
            for start in range(0, n_rows, self._chunk_rows):
                table = ArrayTable(stretch(start, min(start + self._chunk_rows, n_rows)))
                yield table.chunk(self._chosen, slice(None), Place(self.name, start))

    def pour(self, buffer: Buffer) -> Iterator[Poured] | None:
        """Walk the rows straight into a block, where they lie in the file as they do there."""
        as_stored = self._layout.dtype == self.dtype and not self._layout.fortran
        return self._poured(buffer) if as_stored and self._chosen.all else None

    def _poured(self, buffer: Buffer) -> Iterator[Poured]:
        n_rows, width = self._layout.shape
        row_bytes = width * self._layout.dtype.itemsize
        start = 0
        with self._file.reading(EOFError), self._file.open(buffering=0) as opened:
            while start < n_rows:
                rows = buffer()[: min(self._chunk_rows, n_rows - start)]
                _fill(opened, self._layout.offset + start * row_bytes, rows)
                start += len(rows)
                yield Poured(len(rows))


Stretch = Callable[[int, int], npt.NDArray[Any]]


def _rows_reader(file: BinaryIO, layout: Layout, most: int) -> Stretch:
    """Read rows that lie one after the other."""
    buffer = np.empty((most, layout.shape[1]), layout.dtype)

    def stretch(start: int, stop: int) -> npt.NDArray[Any]:
        rows = buffer[: stop - start]
        _fill(file, layout.offset + start * layout.shape[1] * rows.itemsize, rows)
        return rows

    return stretch


def _columns_reader(file: BinaryIO, layout: Layout, most: int) -> Stretch:
    """Read a stretch of every column."""
    n_rows, width = layout.shape
    buffer = np.empty((width, most), layout.dtype)

    def stretch(start: int, stop: int) -> npt.NDArray[Any]:
        columns = buffer[:, : stop - start]
        for position, column in enumerate(columns):
            _fill(file, layout.offset + (position * n_rows + start) * column.itemsize, column)
        return columns.T

    return stretch


def _fill(file: BinaryIO, offset: int, out: npt.NDArray[Any]) -> None:
    """Read from an offset until an array is full, however little a read gives at a time."""
    file.seek(offset)
    buffer = out.reshape(-1).view(np.uint8).data
    while buffer:
        n_bytes = file.readinto(buffer)  # type: ignore[attr-defined]
        if not n_bytes:
            raise EOFError(f"it ends {len(buffer)} bytes too soon")
        buffer = buffer[n_bytes:]
