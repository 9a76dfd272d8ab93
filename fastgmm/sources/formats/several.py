"""Files of one format as one source, read one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.columns import Reading, Text
from fastgmm.sources.rows import Buffer
from fastgmm.sources.source import Source
from fastgmm.sources.types import Chunk, Poured

Item = TypeVar("Item")


class SeveralSource(Source):
    """Files whose columns are matched by name, or by number where they have none."""

    def __init__(self, parts: list[Source], name: str) -> None:
        first = parts[0]
        known = [part.n_rows for part in parts if part.n_rows is not None]
        n_rows = sum(known) if len(known) == len(parts) else None
        dtype = np.result_type(*(part.dtype for part in parts))
        super().__init__(name, first.labels, dtype, n_rows, first.weight)
        self._parts = parts
        self._starts = [0] if n_rows is None else [0, *accumulate(known)][:-1]
        self.reads_ahead = all(part.reads_ahead for part in parts)
        self.guarded = all(part.guarded for part in parts)
        self.lasting = all(part.lasting for part in parts)
        self.may_lack = any(part.may_lack for part in parts)
        for part in parts:
            part.dtype = self.dtype  # of the block that a part pours its rows into

    @property
    def read_as(self) -> str | None:
        """How the first of text files is written."""
        return self._parts[0].read_as

    def chunks(self) -> Iterator[Chunk]:
        """Walk the files."""
        start, self._starts = 0, []
        for part in self._parts:
            self._starts.append(start)
            for chunk in part.chunks():
                start += len(chunk.rows)
                yield chunk

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the column of one file after the other."""
        return chain.from_iterable(part.label_cells(label) for part in self._parts)

    def pour(self, buffer: Buffer) -> Iterator[Poured] | None:
        """Walk the files straight into a block, if all of them can."""
        walks = [part.pour(buffer) for part in self._parts]
        able = [walk for walk in walks if walk is not None]
        return self._poured(able) if len(able) == len(walks) else None

    def _poured(self, walks: list[Iterator[Poured]]) -> Iterator[Poured]:
        start, self._starts = 0, []
        for walk in walks:
            self._starts.append(start)
            for poured in walk:
                start += poured.n_rows
                yield poured

    def place(self, row: int) -> str:
        """Name the file, and the row within it."""
        at = max(0, bisect_right(self._starts, row) - 1)
        return self._parts[at].place(row - self._starts[at])


def open_several(
    files: Sequence[Item], name: str, reading: Reading, open_file: Callable[[Item, Reading], Source]
) -> Source:
    """Open files of one format, or whatever holds the same columns; one is a source of its own."""
    first = open_file(files[0], reading)
    if len(files) == 1:
        return first
    if first.feature_names is not None:
        reading = reading._replace(columns=list(first.labels))
    else:  # a text whose first file has no header has none
        reading = reading._replace(text=(reading.text or Text())._replace(header=False))
    parts = [first, *(open_file(file, reading) for file in files[1:])]
    for part in parts:
        if list(part.labels) != list(first.labels):
            raise DataError(
                f"{part.name} has {part.n_features} columns and {first.name} has "
                f"{first.n_features}; choose those of all with columns=[...]"
            )
    return SeveralSource(parts, name)
