"""Rows in memory: arrays, frames and Arrow tables."""

from __future__ import annotations

import mmap
import os
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import SourceChangedError
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading, choose, position_of
from fastgmm.sources.source import Source
from fastgmm.sources.tables import ArrayTable, Table
from fastgmm.sources.types import Block, Chunk


class TableSource(Source):
    """An array, a frame or an Arrow table."""

    def __init__(
        self,
        table: Table,
        name: str,
        reading: Reading = ALL,
    ) -> None:
        self._table = table
        self._chosen = choose(table.labels, reading, name, table.groups)
        self._chunk_rows = reading.chunk_rows or table.rows_per_chunk(self._chosen)
        features = self._chosen.features
        labels = table.labels if self._chosen.all else [table.labels[at] for at in features]
        super().__init__(
            name, labels, table.dtype(self._chosen, Place(name)), table.n_rows, reading.weight
        )
        self.lasting, self.reads_ahead, self.guarded = True, self.is_mapped, not self.is_mapped

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows: views of the array where nothing had to be chosen."""
        if self.is_mapped:
            _refuse_cut(self._table.array, self.name)  # type: ignore[attr-defined]
        for start in range(0, self._table.n_rows, self._chunk_rows):
            rows = slice(start, start + self._chunk_rows)
            yield self._table.chunk(self._chosen, rows, Place(self.name, start))

    def at_once(self) -> Block | None:
        """Return the rows of an array that was checked, of which every column is a feature."""
        if not (self.checked and self._chosen.all and isinstance(self._table, ArrayTable)):
            return None
        rows = self._table.array
        is_ready = rows.flags.c_contiguous and rows.flags.aligned and rows.dtype == self.dtype
        if not is_ready or self.is_mapped or not len(rows):
            return None
        rows = rows.view(np.ndarray)
        rows.flags.writeable = False
        return Block(rows, None, 0)

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Return the cells of one column."""
        table = self._table
        yield table.cells(position_of(label, table.labels, self.name, table.groups))

    @property
    def is_mapped(self) -> bool:
        """Whether the rows are a file's, mapped into memory: they may change, and are slow."""
        return isinstance(self._table, ArrayTable) and _is_mapped(self._table.array)


def _is_mapped(array: Any) -> bool:
    while array is not None:
        if isinstance(array, np.memmap | mmap.mmap):
            return True
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return False


def _refuse_cut(array: Any, name: str) -> None:
    """Refuse a map of a file that is shorter by now: to touch what is gone kills the process."""
    whole = None
    while array is not None:
        whole = array if isinstance(array, np.memmap) else whole
        array = getattr(array, "base", None)
    if whole is None or not isinstance(whole.filename, str | os.PathLike):
        return  # mapped by other means, which do not tell the file
    needed = whole.offset + whole.nbytes
    size = os.stat(whole.filename).st_size if os.path.exists(whole.filename) else needed
    if size < needed:
        raise SourceChangedError(
            f"{name} maps {needed} bytes of {str(whole.filename)!r}, which has {size} by now; give "
            "the path itself, of which no more is read than there is"
        )
