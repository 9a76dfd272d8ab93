"""Zarr stores, version 2 and 3: folders and zip files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastgmm.errors import DataError, SourceChangedError, require
from fastgmm.sources.columns import Reading
from fastgmm.sources.formats.chunked import StoredSource, chosen_dataset

MARKS = ("zarr.json", ".zarray", ".zgroup")


class ZarrSource(StoredSource):
    """An array of a Zarr store; its numbers are held against those of the pass before."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        if not path.exists():
            raise FileNotFoundError(f"there is no Zarr store {str(path)!r}")
        with _opened(path) as root:
            found = _arrays(root)
            self._dataset = chosen_dataset(found, reading.dataset, path.name)
        super().__init__(self._array, path.name, reading)

    @contextmanager
    def _array(self) -> Iterator[Any]:
        if not self._path.exists():
            raise SourceChangedError(f"{self._path} is gone since it was opened")
        with _opened(self._path) as root:
            yield _arrays(root)[self._dataset]


def is_zarr(path: Path) -> bool:
    """Whether a path is that of a Zarr store, by its suffix or by what is in the folder."""
    return path.name.lower().endswith((".zarr", ".zarr.zip")) or any(
        (path / mark).is_file() for mark in MARKS
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    zarr = require("zarr", "zarr")
    try:
        root = zarr.open(str(path), mode="r")
    except Exception as error:
        raise DataError(f"cannot read {path.name}: {error}") from error
    try:
        yield root
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if isinstance(error, DataError) or getattr(error, "errno", None) is not None:
            raise
        raise DataError(f"cannot read {path.name}: {error}") from error


def _arrays(root: Any) -> dict[str, Any]:
    """Find all arrays, by their path."""
    if hasattr(root, "shape"):
        return {"/": root}
    members = root.members(max_depth=None)
    return {f"/{path}": item for path, item in members if hasattr(item, "shape")}
