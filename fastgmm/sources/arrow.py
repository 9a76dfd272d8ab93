"""Arrow streams: what yields record batches, from a library or from a file."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import closing
from typing import Any

import numpy.typing as npt

from fastgmm.errors import DataError, SourceChangedError, require
from fastgmm.sources.arrow_types import lengths, needs_rows, spread
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Chosen, Reading, choose
from fastgmm.sources.rows import Buffer, rows_per_chunk, rows_per_piece
from fastgmm.sources.source import Source
from fastgmm.sources.tables import ArrowTable, as_objects
from fastgmm.sources.types import Chunk, Poured


class BatchSource(Source):
    """A source that reads Arrow record batches; the columns are found by name in each."""

    def __init__(
        self,
        name: str,
        schema: Any,
        reading: Reading,
        n_rows: int | None = None,
    ) -> None:
        self.name = name
        self.chunk_rows = reading.chunk_rows or 1
        self._lengths = self._lengths_of_lists(schema, reading)
        table = ArrowTable(schema.empty_table(), spread(schema, self._lengths))
        chosen = choose(table.labels, reading, name, table.groups)
        labels = [table.labels[position] for position in chosen.features]
        self.names = table.fields(chosen)  # of the columns to read
        dtype = table.dtype(chosen, Place(name))
        super().__init__(name, labels, dtype, n_rows, reading.weight)
        self._by_name = Reading(labels, reading.weight)
        self.chunk_rows = reading.chunk_rows or rows_per_chunk(len(labels))

    @abstractmethod
    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the record batches of the columns `names`, each with the place of its first row."""

    def _lengths_of_lists(self, schema: Any, reading: Reading) -> dict[str, int]:
        """Read the first lists of columns whose type does not tell how long they are."""
        self.names = [field.name for field in schema if needs_rows(field.type)]
        if not self.names:
            return {}
        asked = set(map(str, reading.columns or ()))
        found: dict[str, int] = {}
        with closing(self.batches()) as batches:  # type: ignore[type-var]
            for _, batch in batches:
                found = lengths(batch) | found
                if len(found) >= len(self.names):
                    break
        # a file without rows, beside others: as many as are asked for
        return {
            name: sum(f"{name}[{number}]" in asked for number in range(len(asked)))
            for name in self.names
        } | found

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows, so few of a batch at a time that they stay in cache."""
        step = min(self.chunk_rows, rows_per_piece(self.n_features))
        for place, table, chosen in self._tables():
            for start in range(0, table.n_rows, step):
                rows = slice(start, start + step)
                yield table.chunk(chosen, rows, place.further(start))

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the cells of one column, read by itself."""
        alone = copy.copy(self)
        alone.names = [str(label)]
        for _, batch in alone.batches():
            yield as_objects(batch.column(0).to_pylist())

    def pour(self, buffer: Buffer) -> Iterator[Poured]:
        """Walk the rows straight into a block, from the columns as Arrow holds them."""
        for place, table, chosen in self._tables():
            start = 0
            while start < table.n_rows:
                poured = table.pour(chosen, start, buffer(), place.further(start))
                start += poured.n_rows
                yield poured

    def _tables(self) -> Iterator[tuple[Place, ArrowTable, Chosen]]:
        schema, found, chosen = None, None, None
        for place, batch in self.batches():
            if found is None or not batch.schema.equals(schema):
                schema, chosen = batch.schema, None
                found = spread(schema, self._lengths)
            table = ArrowTable(batch, found)
            if chosen is None:
                chosen = choose(table.labels, self._by_name, place.name, table.groups)
            yield place, table, chosen


def counted(name: str, batches: Iterator[Any]) -> Iterator[tuple[Place, Any]]:
    """Yield each batch with the place of its first row."""
    start = 0
    for batch in batches:
        yield Place(name, start), batch
        start += batch.num_rows


class StreamSource(BatchSource):
    """An object that gives a new Arrow stream whenever asked: a DuckDB relation, say."""

    def __init__(
        self,
        data: Any,
        reading: Reading = ALL,
    ) -> None:
        self._data = data
        name = f"the {type(data).__name__}"
        super().__init__(name, _schema_of_two(data, name), reading)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk a new stream."""
        pyarrow = require("pyarrow", "io")
        try:
            with pyarrow.RecordBatchReader.from_stream(self._data) as reader:
                yield from counted(self.name, reader)
        except pyarrow.ArrowInvalid as error:
            raise SourceChangedError(f"{self.name} gave no further stream: {error}") from error


def _schema_of_two(data: Any, name: str) -> Any:
    """Ask for two streams, one after the other: what can be walked but once fails the second."""
    pyarrow = require("pyarrow", "io")
    schema = _schema(pyarrow, data, name)
    try:
        again = _schema(pyarrow, data, name)
    except Exception as error:
        raise DataError(
            f"{name} gives its Arrow stream only once, and a fit walks its rows many times; read "
            "it into a table, or pass a callable that returns a fresh reader for every pass"
        ) from error
    if again != schema:
        raise SourceChangedError(f"{name} gave other columns in its second stream")
    return schema


def _schema(pyarrow: Any, data: Any, name: str) -> Any:
    try:
        with pyarrow.RecordBatchReader.from_stream(data) as reader:
            return reader.schema
    except pyarrow.ArrowInvalid as error:
        raise DataError(
            f"{name} is not a table of rows and columns ({error}); rows need 2 dimensions. "
            "Reshape your data: put a single column in a table"
        ) from error
