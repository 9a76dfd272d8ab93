"""Zarr stores, version 2 and 3: folders and zip files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from fastgmm.errors import DataError, SourceChangedError, require
from fastgmm.sources.columns import Reading
from fastgmm.sources.formats.chunked import StoredSource, chosen_dataset

MARKS = ("zarr.json", ".zarray", ".zgroup")


class ZarrSource(StoredSource):
    """An array of a Zarr store; its numbers are held against those of the pass before."""

    def __init__(self, path: Path | str, reading: Reading) -> None:
        self._path = path
        if isinstance(path, Path) and not path.exists():
            raise FileNotFoundError(f"there is no Zarr store {str(path)!r}")
        name = PurePath(path).name
        with _opened(path) as root:
            found = _arrays(root)
            self._dataset = chosen_dataset(found, reading.dataset, name)
        super().__init__(self._array, name, reading)

    @contextmanager
    def _array(self) -> Iterator[Any]:
        if isinstance(self._path, Path) and not self._path.exists():
            raise SourceChangedError(f"{self._path} is gone since it was opened")
        with _opened(self._path) as root:
            yield _arrays(root)[self._dataset]


def is_zarr(path: Path | str) -> bool:
    """Whether a path is that of a Zarr store, by its suffix or by what is in the folder.

    A URL is judged by its suffix alone.
    """
    if str(path).rstrip("/").lower().endswith((".zarr", ".zarr.zip")):
        return True
    return isinstance(path, Path) and any((path / mark).is_file() for mark in MARKS)


@contextmanager
def _opened(path: Path | str) -> Iterator[Any]:
    zarr = require("zarr", "zarr")
    name = PurePath(path).name
    try:
        root = zarr.open(str(path), mode="r")
    except Exception as error:
        raise DataError(f"cannot read {name}: {error}") from error
    try:
        yield root
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if isinstance(error, DataError) or getattr(error, "errno", None) is not None:
            raise
        raise DataError(f"cannot read {name}: {error}") from error


def _arrays(root: Any) -> dict[str, Any]:
    """Find all arrays, by their path."""
    if hasattr(root, "shape"):
        return {"/": root}
    members = root.members(max_depth=None)
    return {f"/{path}": item for path, item in members if hasattr(item, "shape")}
