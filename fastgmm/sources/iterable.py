"""Chunks from Python: lists, re-iterables, and callables that give a fresh iterator each pass."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Chosen, Reading, choose, position_of
from fastgmm.sources.loaders import batches, is_map_style, rows_of
from fastgmm.sources.queries import Asked
from fastgmm.sources.source import Source
from fastgmm.sources.tables import Table, as_table
from fastgmm.sources.types import Chunk


class IterableSource(Source):
    """Chunks of rows that Python code yields: arrays, frames or Arrow batches of any length.

    To learn the columns, the first chunk is asked for when the source is opened; the first pass
    goes on from there, so that no row is lost if the iterator turns out to be a one-time one.
    """

    def __init__(
        self,
        data: Iterable[Any] | Callable[[], Iterable[Any]],
        reading: Reading = ALL,
    ) -> None:
        refuse_iterator(data)
        self._data: Any = data
        if callable(data) and not is_map_style(data):
            self._data = Asked(data, reading)
        self._chunk_rows = reading.chunk_rows
        self._begun: Iterator[Any] | None = None
        self._starts = [0]  # the first rows of the chunks of the last pass
        name = "the chunks"
        iterator = self._iterator(name)
        first = next(iterator, None)
        if first is None:
            raise DataError("no chunk was given, so that the number of features is not known")
        self._opened: Iterator[Any] | None = chain([first], iterator)
        table = as_table(rows_of(first), _chunk(name, 0))
        chosen = choose(table.labels, reading, name, table.groups)
        self._found = list(table.labels)
        self._all = reading.columns is None
        labels = [table.labels[position] for position in chosen.features]
        super().__init__(name, labels, table.dtype(chosen, Place(name)), weight=reading.weight)
        if isinstance(data, list | tuple):
            self._look_at_all(data)
            self.guarded = True  # in memory, as arrays are

    def _look_at_all(self, data: Sequence[Any]) -> None:
        """Learn the number of rows and the type from chunks that are all there."""
        dtypes, n_rows = [self.dtype], 0
        for number, item in enumerate(data):
            table, chosen = self._table(item, number, n_rows)
            dtypes.append(table.dtype(chosen, Place(self.name, n_rows)))
            n_rows += table.n_rows
        self.dtype, self.n_rows = np.result_type(*dtypes), n_rows

    def chunks(self) -> Iterator[Chunk]:
        """Walk the chunks once more, from a fresh iterator."""
        items, self._opened = self._opened or self._iterator(self.name), None
        start, self._starts = 0, []
        try:
            for number, item in enumerate(items):
                self._starts.append(start)
                table, chosen = self._table(item, number, start)
                yield from self._chunks_of(table, chosen, start, number)
                start += table.n_rows
        finally:
            if isinstance(self._data, Asked):
                self._data.close()

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the column of one chunk after the other."""
        items, self._opened = self._opened or self._iterator(self.name), None
        try:
            for number, item in enumerate(items):
                place = _chunk(self.name, number)
                table = as_table(rows_of(item), place)
                yield table.cells(position_of(label, table.labels, place.name, table.groups))
        finally:
            if isinstance(self._data, Asked):
                self._data.close()

    def place(self, row: int) -> str:
        """Name the row, and the chunk of this pass that it came in."""
        return Place(_chunk(self.name, bisect_right(self._starts, row) - 1).name).row(row)

    def _chunks_of(self, table: Table, chosen: Chosen, start: int, number: int) -> Iterator[Chunk]:
        dtype = table.dtype(chosen, Place(self.name, start))
        if np.result_type(dtype, self.dtype) != self.dtype:
            raise DataError(
                f"{_chunk(self.name, number).name} holds {dtype} where the first "
                f"held {self.dtype}; "
                "give all chunks one type, so that no digit is lost"
            )
        step = self._chunk_rows or max(1, table.n_rows)
        for at in range(0, table.n_rows, step):
            yield table.chunk(chosen, slice(at, at + step), Place(self.name, start + at))

    def _table(self, item: Any, number: int, start: int) -> tuple[Table, Chosen]:
        """Wrap a chunk as a table, and find the columns of the first chunk in it."""
        place = _chunk(self.name, number, start)
        table = as_table(rows_of(item), place)
        width = len(table.labels)
        if width != len(self._found) and (self._all or isinstance(table.labels, range)):
            raise SourceChangedError(
                f"{place.name} has {width} columns and the first chunk had {len(self._found)}"
            )
        reading = Reading(self.labels, self.weight)
        return table, choose(table.labels, reading, place.name, table.groups)

    def _iterator(self, name: str) -> Iterator[Any]:
        """Start a pass, and refuse to go on with an iterator that was begun before."""
        if is_map_style(self._data):
            return batches(self._data, self._chunk_rows)
        made = self._data
        if isinstance(made, Asked):
            made = made()
        try:
            iterator = iter(made)
        except TypeError as error:
            raise DataError(f"{name} cannot be walked: {error}") from error
        if iterator is self._begun and self.n_rows is None:
            raise SourceChangedError(
                f"{name} came from an iterator that an earlier pass had begun; "
                "every pass needs a fresh one"
            )
        self._begun = iterator
        return iterator

    def __getstate__(self) -> dict[str, Any]:
        """Leave out iterators, which cannot travel to another process."""
        return self.__dict__ | {"_begun": None, "_opened": None}


def _chunk(name: str, number: int, start: int = 0) -> Place:
    """Name a chunk; rows are numbered over all chunks."""
    return Place(f"{name} (chunk {number})", start)


def refuse_iterator(data: object) -> None:
    """Refuse what can be walked only once, before anything is taken from it."""
    if isinstance(data, Iterator):
        raise DataError(
            f"a {type(data).__name__} can be walked only once, and a fit walks its rows many "
            "times; pass a callable that returns a fresh one for every pass, for example "
            "open_source(lambda: read_chunks(path)), or a list of chunks if they fit in memory"
        )
