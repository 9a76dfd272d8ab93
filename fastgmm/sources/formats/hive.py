"""Keys of hive-partitioned folders as columns: year in ``year=2020/month=1/x.parquet``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from fastgmm.errors import DataError
from fastgmm.sources.cells import refuse_cell
from fastgmm.sources.columns import Reading
from fastgmm.sources.formats.file import File
from fastgmm.sources.rows import Buffer
from fastgmm.sources.source import Source
from fastgmm.sources.types import Chunk, Poured

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
OpenFile = Callable[[File, Reading], Source]


class KeyedSource(Source):
    """A file, and the keys of its folders that were asked for: columns of one number each."""

    reads_ahead = True

    def __init__(self, file: File, reading: Reading, open_file: OpenFile) -> None:
        keys = dict(file.keys)
        asked, weighs = reading.columns, reading.weight in keys
        own = asked if asked is None else [column for column in asked if column not in keys]
        if own is not None and not own:
            raise DataError(
                f"the columns {list(asked or ())} of {file.name} are all keys of folders; choose "
                "one that the file itself holds, besides"
            )
        weight = None if weighs else reading.weight
        part = open_file(file, reading._replace(columns=own, weight=weight))
        labels = _labels(asked, part.labels, keys)
        self._part = part
        self._values = {
            at: _number(keys[label], label, part)
            for at, label in enumerate(labels)
            if label in keys and label not in part.labels
        }
        self._own = [at for at in range(len(labels)) if at not in self._values]
        self._weight = _number(keys[str(reading.weight)], reading.weight, part) if weighs else None
        dtype = np.float64 if self._values else part.dtype
        super().__init__(part.name, labels, dtype, part.n_rows, reading.weight)
        self.guarded, self.lasting = part.guarded, part.lasting

    @property
    def read_as(self) -> str | None:
        """How the file is written, if it is a text."""
        return self._part.read_as

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows of the file, the keys beside them."""
        for rows, weights in self._part.chunks():
            if self._values:
                wide = np.empty((len(rows), self.n_features))
                wide[:, self._own] = rows
                wide[:, list(self._values)] = list(self._values.values())
                rows = wide
            yield Chunk(rows, self._weights(len(rows)) if self._weight is not None else weights)

    def pour(self, buffer: Buffer) -> Iterator[Poured] | None:
        """Walk the rows straight into a block, where no key is a feature."""
        self._part.dtype = self.dtype  # as of the block
        walk = None if self._values else self._part.pour(buffer)
        if walk is None or self._weight is None:
            return walk
        return (poured._replace(weights=self._weights(poured.n_rows)) for poured in walk)

    def place(self, row: int) -> str:
        """Name a row as the file does."""
        return self._part.place(row)

    def _weights(self, n_rows: int) -> np.ndarray:
        return np.full(n_rows, self._weight)


def open_keyed(file: File, reading: Reading, open_file: OpenFile) -> Source:
    """Open a file, with the keys of its folders if they are asked for."""
    wanted = {*(reading.columns or ()), reading.weight}
    if isinstance(reading.columns, str) or wanted.isdisjoint(dict(file.keys)):
        return open_file(file, reading)
    return KeyedSource(file, reading, open_file)


def _labels(
    asked: Sequence[Hashable] | None, own: Sequence[Hashable], keys: dict[str, str]
) -> list[Hashable]:
    """Return all labels in the order asked for; a column of arrays has several among a file's."""
    if asked is None:
        return list(own)
    labels: list[Hashable] = []
    left = list(own)
    for column in asked:
        labels.append(column if column in keys else left.pop(0))
        while column not in keys and left and str(left[0]).startswith((f"{column}[", f"{column}.")):
            labels.append(left.pop(0))
    return labels


def _number(text: str, label: Hashable, part: Source) -> float:
    if text == NO_VALUE:
        refuse_cell(None, part.place(0), label)
    try:
        return float("" if "_" in text else text)  # Python reads 1_000 as a thousand
    except ValueError:
        refuse_cell(text, part.place(0), label)
