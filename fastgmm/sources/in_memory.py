"""Rows in memory, and weights given beside the rows of any source."""

from __future__ import annotations

import mmap
import os
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources.arrays import as_weights
from fastgmm.sources.blocks import Block, check_total_weight, check_weights
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import choose
from fastgmm.sources.dask.collection import DaskSource
from fastgmm.sources.source import Chunk, Source
from fastgmm.sources.tables import ArrayTable, Table


class TableSource(Source):
    """An array, a frame or an Arrow table."""

    def __init__(
        self,
        table: Table,
        name: str,
        columns: Sequence[Hashable] | None = None,
        weight: Hashable | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        self._table = table
        self._chosen = choose(table.labels, columns, weight, name)
        self._step = chunk_rows or table.rows_a_chunk(self._chosen)
        features = self._chosen.features
        labels = table.labels if self._chosen.all else [table.labels[at] for at in features]
        super().__init__(name, labels, table.dtype(self._chosen, Place(name)), table.n_rows, weight)
        self.lasting, self.reads_ahead, self.guarded = True, self.is_mapped, not self.is_mapped

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows: views of the array where nothing had to be chosen."""
        if self.is_mapped:
            _refuse_cut(self._table.array, self.name)  # type: ignore[attr-defined]
        for start in range(0, self._table.n_rows, self._step):
            rows = slice(start, start + self._step)
            yield self._table.chunk(self._chosen, rows, Place(self.name, start))

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


class WeightedSource(Source):
    """Another source, with a weight for each of its rows."""

    def __init__(self, source: Source, weights: npt.NDArray[np.float64]) -> None:
        if source.weight is not None:
            raise DataError(
                f"{source.name} takes weights from its column {source.weight!r}; "
                "give weights there or as an array, not both"
            )
        super().__init__(source.name, source.labels, source.dtype, source.n_rows, "sample_weight")
        self._source = source
        self._weights = weights
        self.checked, self.guarded = source.checked, source.guarded
        self.reads_ahead, self.lasting = source.reads_ahead, source.lasting
        self._check()

    def _check(self) -> None:
        check_weights(self, Block(self._weights, self._weights, 0))
        if len(self._weights):
            with np.errstate(over="ignore"):
                check_total_weight(float(self._weights.sum()), self.name)
        if self.n_rows is not None:
            self._check_length(self.n_rows, "")

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows of the other source, with the weights that belong to them."""
        start = 0
        for rows, _ in self._source.chunks():
            stop = start + len(rows)
            if stop > len(self._weights):
                self._check_length(stop, "at least ")
            yield Chunk(rows, self._weights[start:stop])
            start = stop
        self._check_length(start, "")

    def place(self, row: int) -> str:
        """Say where a row stands, as the other source would."""
        return self._source.place(row)

    def _check_length(self, n_rows: int, about: str) -> None:
        if n_rows != len(self._weights):
            raise DataError(
                f"{len(self._weights)} sample weights were given for {about}{n_rows} rows of "
                f"{self.name}; give one weight for each row"
            )


def with_weights(source: Source, weights: npt.ArrayLike) -> Source:
    """Give each row of a source a weight from an array.

    Parameters
    ----------
    source : Source
    weights : array-like of shape (n_rows,)
        For a Dask collection also a Dask array or series, cut as the rows are.
        Zero or more; a row of weight 0 counts for nothing, though its numbers must be finite.

    Raises
    ------
    DataError
        If a weight is negative, NaN or infinite, if all are zero, or if they are not one for
        each row. Where the source does not know its rows, their number is checked in the pass.
    """
    if isinstance(source, DaskSource):
        return source.weighted(weights)
    return WeightedSource(source, as_weights(weights))
