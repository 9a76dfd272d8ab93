"""NumPy's .npy files by plain reads: a file cut short is an error, not the end of the process.

A memory map would be as fast, but a page that is gone kills the process (SIGBUS).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.arrays import refuse_shape
from fastgmm.sources.cells import REAL_KINDS, Place, real
from fastgmm.sources.columns import choose
from fastgmm.sources.files import File
from fastgmm.sources.source import Chunk, Source, rows_a_chunk
from fastgmm.sources.tables import ArrayTable


class Header(NamedTuple):
    """What the head of a file says of the array that follows."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int  # of the first number, in bytes


class NpySource(Source):
    """A 2-d array in a .npy file, in C or in Fortran order."""

    def __init__(
        self,
        file: File,
        columns: Sequence[Hashable] | None = None,
        weight: Hashable | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        self._file = file
        self._header = _header(file)
        n_rows, width = self._header.shape
        self._chosen = choose(range(width), columns, weight, file.name)
        table = ArrayTable(np.empty((0, width), self._header.dtype))
        dtype = table.dtype(self._chosen, Place(file.name))
        super().__init__(file.name, self._chosen.features, dtype, n_rows, weight)
        self._step = chunk_rows or rows_a_chunk(width)

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows, each chunk in memory of its own."""
        read = _read_columns if self._header.fortran else _read_rows
        n_rows = self._header.shape[0]
        with self._file.reading(EOFError), open(self._file.path, "rb", buffering=0) as opened:
            for start in range(0, n_rows, self._step):
                stop = min(start + self._step, n_rows)
                table = ArrayTable(read(opened, self._header, start, stop))
                yield table.chunk(self._chosen, slice(None), Place(self.name, start))


def _header(file: File) -> Header:
    """Read the header, and hold it against the size of the file."""
    with file.reading(ValueError), open(file.path, "rb") as opened:
        version = np.lib.format.read_magic(opened)
        if version == (1, 0):
            described = np.lib.format.read_array_header_1_0(opened)
        else:
            described = np.lib.format.read_array_header_2_0(opened)
        header = Header(*described, opened.tell())
    _refuse_unusable(header, file)
    return header


def _refuse_unusable(header: Header, file: File) -> None:
    refuse_shape(header.shape, file.name)
    if header.dtype.kind not in REAL_KINDS and header.dtype.kind in "cmMV":
        real(np.empty((0, header.shape[1]), header.dtype), range(header.shape[1]), Place(file.name))
    if header.dtype.kind not in REAL_KINDS:
        raise DataError(f"{file.name} holds {header.dtype}; save it as an array of numbers")
    needed = header.offset + header.shape[0] * header.shape[1] * header.dtype.itemsize
    if file.size < needed:
        raise DataError(
            f"{file.name} is cut short: its header tells of {needed} bytes, it has {file.size}"
        )


def _read_rows(file: BinaryIO, header: Header, start: int, stop: int) -> npt.NDArray[Any]:
    """Read rows that lie one after the other."""
    rows = np.empty((stop - start, header.shape[1]), header.dtype)
    _fill(file, header.offset + start * rows.itemsize * header.shape[1], rows)
    return rows


def _read_columns(file: BinaryIO, header: Header, start: int, stop: int) -> npt.NDArray[Any]:
    """Read a stretch of every column."""
    n_rows, width = header.shape
    columns = np.empty((width, stop - start), header.dtype)
    for position, column in enumerate(columns):
        _fill(file, header.offset + (position * n_rows + start) * column.itemsize, column)
    return columns.T


def _fill(file: BinaryIO, offset: int, out: npt.NDArray[Any]) -> None:
    """Read from an offset until an array is full, however little a read gives at a time."""
    file.seek(offset)
    room = out.reshape(-1).view(np.uint8).data
    while room:
        n_bytes = file.readinto(room)  # type: ignore[attr-defined]
        if not n_bytes:
            raise EOFError(f"it ends {len(room)} bytes too soon")
        room = room[n_bytes:]
