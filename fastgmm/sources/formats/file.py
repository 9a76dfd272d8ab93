"""Files on disk: found by path or pattern, and the same in every pass."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fastgmm.errors import DataError, SourceChangedError


class File(NamedTuple):
    """A file as it was when its source was opened."""

    path: Path
    size: int
    modified: int  # nanoseconds
    inode: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    @contextmanager
    def reading(self, *errors: type[Exception]) -> Iterator[None]:
        """Watch over a read: the file must be as it was, and ``errors`` say that it is damaged."""
        damaged: tuple[type[Exception], ...] = (*errors, OSError)
        self.check()
        try:
            yield
        except damaged as error:
            self.check()
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault or the network's, not the file's
            raise DataError(f"cannot read {self.name}: {error}") from error
        self.check()

    def check(self) -> None:
        """Refuse a file that was replaced, written to or truncated since it was opened."""
        try:
            now = look_at(self.path)
        except FileNotFoundError as error:
            raise SourceChangedError(f"{self.path} is gone since it was opened") from error
        if now != self:
            raise SourceChangedError(
                f"{self.path} changed since it was opened: it had {self.size} bytes and has "
                f"{now.size}, or was written anew; open it again when nothing writes to it"
            )


def look_at(path: Path) -> File:
    """Note the size, time and inode of a file."""
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {str(path)!r}") from error
    return File(path, found.st_size, found.st_mtime_ns, found.st_ino)


def find(path: Path) -> list[File]:
    """Find one file, or the Parquet files of a folder or a pattern, in the order of their paths."""
    if path.is_dir():
        return _some(sorted(path.rglob("*.parquet")), f"no .parquet file in the folder {path}")
    if not path.exists() and glob.has_magic(str(path)):
        paths = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]
        return _some(paths, f"no file matches the pattern {path}")
    return [look_at(path)]


def _some(paths: list[Path], nothing: str) -> list[File]:
    """Leave out hidden files, and what a writer leaves beside its files (_temporary)."""
    shown = [path for path in paths if path.is_file() and path.name[0] not in "._"]
    if not shown:
        raise FileNotFoundError(nothing)
    return [look_at(path) for path in shown]
