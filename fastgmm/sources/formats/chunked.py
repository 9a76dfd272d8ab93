"""Arrays that a library reads from its store by slices: HDF5 datasets and Zarr arrays."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources.arrays import refuse_shape
from fastgmm.sources.cells import REAL_KINDS, Place, real
from fastgmm.sources.columns import ALL, Chosen, Reading, choose, position_of
from fastgmm.sources.rows import rows_per_chunk
from fastgmm.sources.source import Source
from fastgmm.sources.tables import ArrayTable
from fastgmm.sources.types import Chunk
from fastgmm.sources.unsupported import refuse_records

Opened = Callable[[], AbstractContextManager[Any]]


class StoredSource(Source):
    """A 2-d array that is opened for every pass, and read along the chunks it is stored in."""

    reads_ahead = True
    lasting = True  # every slice is an array of its own

    def __init__(
        self,
        opened: Opened,
        name: str,
        reading: Reading = ALL,
    ) -> None:
        self._opened = opened
        with opened() as array:
            self._shape, self._stored = tuple(array.shape), np.dtype(array.dtype)
            along = (array.chunks or (1,))[0] if self._shape else 1
        refuse_records(self._stored, name)
        refuse_shape(self._shape, name)
        n_rows, width = self._shape
        empty = real(np.empty((0, width), self._stored), range(width), Place(name))
        self._chosen = choose(range(width), reading, name)
        dtype = ArrayTable(empty).dtype(self._chosen, Place(name))
        super().__init__(name, self._chosen.features, dtype, n_rows, reading.weight)
        # what is compressed is unpacked whole: reading half of it would unpack it twice
        self._chunk_rows = reading.chunk_rows or along * max(1, rows_per_chunk(width) // along)

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the numbers of one column."""
        alone = copy.copy(self)
        columns = range(self._shape[1])
        alone._chosen = Chosen((position_of(label, columns, self.name),), None, False)
        for chunk in alone.chunks():
            yield np.array(chunk.rows[:, 0])

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows, a whole number of stored chunks at a time."""
        with self._opened() as array:
            if (tuple(array.shape), np.dtype(array.dtype)) != (self._shape, self._stored):
                raise SourceChangedError(
                    f"{self.name} was {self._shape} of {self._stored} when it was opened and is "
                    f"{tuple(array.shape)} of {array.dtype}; open it again"
                )
            for start in range(0, self._shape[0], self._chunk_rows):
                table = ArrayTable(np.asarray(array[start : start + self._chunk_rows]))
                yield table.chunk(self._chosen, slice(None), Place(self.name, start))


def open_stored(data: Any, reading: Reading = ALL) -> Source:
    """Open an HDF5 dataset or a Zarr array that the caller has open; it must stay so."""
    name = f"the dataset {data.name}" if data.name else "the array"
    return StoredSource(lambda: nullcontext(data), name, reading)


def chosen_dataset(found: dict[str, Any], wanted: str | None, name: str) -> str:
    """Choose among the arrays of a file: the one that is named, or the only one that has rows."""
    shown = {path: f"{path!r} {tuple(each.shape)} {each.dtype}" for path, each in found.items()}
    if wanted is not None:
        path = "/" + wanted.strip("/")
        if path not in found:
            raise DataError(f"{name} has no dataset {wanted!r}; it has {_listed(shown)}")
        return path
    tables = [
        path
        for path, each in found.items()
        if len(each.shape) == 2 and np.dtype(each.dtype).kind in REAL_KINDS
    ]
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise DataError(f"{name} has no 2-d dataset of numbers; it has {_listed(shown)}")
    could = _listed({path: shown[path] for path in tables})
    raise DataError(
        f"{name} has {len(tables)} datasets that could be the rows; choose one with "
        f"open_source(path, dataset={tables[0]!r}): {could}"
    )


def _listed(shown: dict[str, str], most: int = 12) -> str:
    some = list(shown.values())[:most]
    return (", ".join(some) or "none at all") + (", ..." if len(shown) > most else "")
