"""Weights given beside the rows of any source."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.sources.dask.collection import DaskSource
from fastgmm.sources.source import Source
from fastgmm.sources.types import Block, Chunk
from fastgmm.sources.weights import (
    as_weights,
    check_total_weight,
    check_weights,
    check_weights_length,
    refuse_second_weights,
)


class WeightedSource(Source):
    """Another source, with a weight for each of its rows."""

    def __init__(self, source: Source, weights: npt.NDArray[np.float64]) -> None:
        refuse_second_weights(source.weight, source.name)
        super().__init__(source.name, source.labels, source.dtype, source.n_rows, "sample_weight")
        self.label = source.label
        self._source = source
        self._weights = weights
        self.checked, self.guarded = source.checked, source.guarded
        self.reads_ahead, self.lasting = source.reads_ahead, source.lasting
        self.may_lack = source.may_lack
        self._check()

    def _check(self) -> None:
        check_weights(self, Block(self._weights, self._weights, 0))
        if len(self._weights):
            with np.errstate(over="ignore"):
                check_total_weight(float(self._weights.sum()), self.name)
        if self.n_rows is not None:
            check_weights_length(len(self._weights), self.n_rows, self.name)

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows of the other source, with the weights that belong to them."""
        start = 0
        for rows, _ in self._source.chunks():
            stop = start + len(rows)
            if stop > len(self._weights):
                check_weights_length(len(self._weights), stop, self.name, "at least ")
            yield Chunk(rows, self._weights[start:stop])
            start = stop
        check_weights_length(len(self._weights), start, self.name)

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the labels of the other source."""
        return self._source.label_cells(label)

    @property
    def read_as(self) -> str | None:
        """How a text file is written."""
        return self._source.read_as

    def place(self, row: int) -> str:
        """Name a row as the other source does."""
        return self._source.place(row)


def with_weights(source: Source, weights: npt.ArrayLike) -> Source:
    """Return a source whose rows have weights from an array.

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
