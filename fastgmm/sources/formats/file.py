"""Files, on disk or elsewhere: found by path, pattern or URL, and the same in every pass."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote

from fastgmm.errors import DataError, SourceChangedError, require
from fastgmm.sources.formats import remote

QUERY = re.compile(r"\s*(select|from|with\b.*\bselect)\s", re.IGNORECASE | re.DOTALL)
LONGEST_SHOWN = 300  # letters of what is no path
Keys = tuple[tuple[str, str], ...]


class File(NamedTuple):
    """A file as it was when its source was opened."""

    path: Path  # of a file elsewhere: what its URL ends in
    size: int
    modified: int | str  # nanoseconds, or what fsspec has for them
    inode: int
    name: str  # what messages call it: with the folders below the one that was given
    keys: Keys = ()  # of the folders it lies in, each named key=value
    elsewhere: remote.Object | None = None

    def open(self, buffering: int = -1) -> BinaryIO:
        """Open it to be read as bytes."""
        if self.elsewhere is not None:
            return self.elsewhere.open()
        return open(self.path, "rb", buffering=buffering)

    def stream(self) -> Any:
        """Open it as Arrow does, without Python where it is on disk."""
        pyarrow = require("pyarrow", "io")
        if self.elsewhere is not None:
            return pyarrow.PythonFile(self.elsewhere.open(), mode="r")
        return pyarrow.OSFile(os.fspath(self.path))

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
        where = self.path if self.elsewhere is None else self.elsewhere
        try:
            now = look_at(where)
        except FileNotFoundError as error:
            raise SourceChangedError(f"{where} is gone since it was opened") from error
        if (now.size, now.modified, now.inode) != (self.size, self.modified, self.inode):
            raise SourceChangedError(
                f"{where} changed since it was opened: it had {self.size} bytes and has "
                f"{now.size}, or was written anew; open it again when nothing writes to it"
            )


def look_at(where: Path | remote.Object, below: int = 0) -> File:
    """Note the size, time and inode of a file.

    Parameters
    ----------
    where : Path or remote.Object
    below : int
        How many parts of its path are folders above those that name it; all but the last, if 0.
    """
    elsewhere = where if isinstance(where, remote.Object) else None
    path = where if isinstance(where, Path) else where.path
    parts = path.parts[below or len(path.parts) - 1 :]
    keys = _keys(path.parts[:-1])
    state: tuple[int, int | str, int]
    state = _on_disk(path) if elsewhere is None else elsewhere.look()
    size, modified, inode = state
    return File(path, size, modified, inode, str(PurePath(*parts)), keys, elsewhere)


def _on_disk(path: Path) -> tuple[int, int, int]:
    """Return size, time and inode."""
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(no_file(str(path))) from error
    return found.st_size, found.st_mtime_ns, found.st_ino


def no_file(given: str) -> str:
    """Say of a text that it is the path of no file, and what it is to be."""
    shown = repr(given) if len(given) <= LONGEST_SHOWN else f"{given[:LONGEST_SHOWN]!r}..."
    way = (
        "a text given as rows is the path or the URL of a file, of a folder, or a pattern such as "
        "'data/*.parquet'"
    )
    if QUERY.match(given):
        way = f"if it is a query of a database, {remote.ASKING}"
    return f"there is no file {shown}; {way}"


def _keys(folders: Sequence[str]) -> Keys:
    """Return what folders are named as hive writes it: key=value, with %20 for a blank."""
    pairs = (folder.partition("=") for folder in folders)
    return tuple((unquote(key), unquote(value)) for key, equals, value in pairs if key and equals)


def is_folder(given: str | Path) -> bool:
    """Whether a path or a URL is that of a folder."""
    if isinstance(given, Path):
        return given.is_dir()
    return remote.is_folder(given)


def find(given: str | Path) -> list[File]:
    """Find one file, or those in a folder or of a pattern, in the order of their paths."""
    if isinstance(given, str):
        return _of_url(given)
    if given.is_dir():
        paths = [path for path in sorted(given.rglob("*")) if _is_shown(path, len(given.parts))]
        return _some(paths, f"no .parquet file in the folder {given}, nor any other", given)
    if not given.exists() and glob.has_magic(str(given)):
        paths = [Path(each) for each in sorted(glob.glob(str(given), recursive=True))]
        paths = [path for path in paths if _is_shown(path, len(path.parts) - 1)]
        return _some(paths, f"no file matches the pattern {given}", None)
    return [look_at(given)]


def _of_url(url: str) -> list[File]:
    found, root = remote.find(url)
    if root is None:
        return [look_at(each) for each in found]
    shown = [each for each in found if _is_shown(each.path, len(root.parts))]
    if not shown:
        raise FileNotFoundError(f"no .parquet file in the folder {url}, nor any other")
    return [look_at(each, len(root.parts)) for each in shown]


def _is_shown(path: PurePath, below: int) -> bool:
    """Leave out what is hidden, and what a writer leaves beside its files (_temporary)."""
    return all(part[0] not in "._" for part in path.parts[below:])


def _some(paths: list[Path], nothing: str, root: Path | None) -> list[File]:
    files = [path for path in paths if path.is_file()]
    if not files:
        raise FileNotFoundError(nothing)
    return [look_at(path, 0 if root is None else len(root.parts)) for path in files]
