"""Files that are elsewhere, by their URL: all that fsspec reads."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from fastgmm.errors import DataError, MissingDependencyError, require

DATABASES = ("duckdb", "sqlite", "postgresql", "mysql", "postgres", "mssql", "oracle")
ASKING = (
    "give what asks it: a DuckDB relation (duckdb.connect(file).sql(query)), or a function that "
    "asks anew for every pass (lambda: connection.execute(query))"
)


class Object(NamedTuple):
    """A file in a file system of fsspec."""

    system: Any
    key: str

    @property
    def path(self) -> Path:
        """What its key ends in, without what follows a question mark in a URL."""
        key = self.key.partition("?")[0] if "://" in self.key else self.key
        return Path(PurePosixPath(key))

    def open(self) -> BinaryIO:
        """Open it to be read as bytes."""
        opened: BinaryIO = self.system.open(self.key, "rb")
        return opened

    def look(self) -> tuple[int, str, int]:
        """Return its size, a text that changes with it as far as the system tells, no inode."""
        self.system.invalidate_cache()
        try:
            size = self.system.info(self.key)["size"]
            state = str(self.system.ukey(self.key))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"there is no file {str(self)!r}") from error
        if size is None:
            raise DataError(f"{self} does not tell its size; download it, and give its path")
        return int(size), state, 0

    def __str__(self) -> str:
        """Its URL."""
        return str(self.system.unstrip_protocol(self.key))


def is_url(given: object) -> bool:
    """Whether a text is a URL and no path."""
    return isinstance(given, str) and "://" in given


def local(url: str) -> Path | None:
    """Return the path that a URL is of, if it is on this machine's disk."""
    system, key = _system(url)
    return Path(key) if "file" in _protocols(system) else None


def is_folder(url: str) -> bool:
    """Whether a URL is that of a folder."""
    system, key = _system(url)
    try:
        return str(system.info(key)["type"]) == "directory"
    except FileNotFoundError:
        return False


def find(url: str) -> tuple[list[Object], Path | None]:
    """Find the files of a URL, in order; and its folder, if it is one."""
    system, key = _system(url)
    if is_folder(url):
        return [Object(system, each) for each in sorted(system.find(key))], Object(system, key).path
    if "*" in key and not system.exists(key):
        keys = sorted(each for each in system.glob(key) if system.isfile(each))
        if not keys:
            raise FileNotFoundError(f"no file matches the pattern {url}")
        return [Object(system, each) for each in keys], None
    return [Object(system, key)], None


def _protocols(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


def _system(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    if scheme.partition("+")[0] in DATABASES:
        raise DataError(f"{url!r} is the URL of a database; {ASKING}")
    fsspec = require("fsspec", "remote")
    try:
        system, key = fsspec.core.url_to_fs(url)
    except ImportError as error:  # the client of a cloud, which fsspec names
        raise MissingDependencyError(
            f"{url!r} cannot be read: {error}; pip install 'fastgmm[remote]' has what s3://, "
            "gs:// and https:// need"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{url!r} cannot be read: {error}; give a path, or a URL that fsspec knows"
        ) from error
    return system, key
