"""HDF5 files, through h5py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from fastgmm.errors import require
from fastgmm.sources.columns import Reading
from fastgmm.sources.formats.chunked import StoredSource, chosen_dataset
from fastgmm.sources.formats.file import File


class Hdf5Source(StoredSource):
    """A dataset of an HDF5 file."""

    guarded = True  # by the size and the time of the file

    def __init__(self, file: File, reading: Reading) -> None:
        self._file = file
        with _opened(file) as root:
            self._path = chosen_dataset(_datasets(root), reading.dataset, file.name)
        super().__init__(self._array, file.name, reading)

    @contextmanager
    def _array(self) -> Iterator[Any]:
        with _opened(self._file) as root:
            yield root[self._path]


@contextmanager
def _opened(file: File) -> Iterator[Any]:
    h5py = require("h5py", "hdf5")
    with (
        file.reading(KeyError, RuntimeError),
        nullcontext(file.path) if file.elsewhere is None else file.open() as opened,
        h5py.File(opened, "r") as root,
    ):
        yield root


def _datasets(root: Any) -> dict[str, Any]:
    """Find all datasets, by their path."""
    h5py = require("h5py", "hdf5")
    found: dict[str, Any] = {}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found["/" + path] = item

    root.visititems(visit)
    return found
