"""Writes files atomically: whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

# elsewhere, files of processes that were killed stay
fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None

PREVIOUS = ".previous"  # what is added to the name of the file that stood there before
SUFFIX = ".tmp"  # of temporary files


@contextmanager
def replacing(
    path: str | os.PathLike[str], keep_previous: bool = False, durable: bool = True
) -> Iterator[IO[bytes]]:
    """A new file that takes the name `path` once it is whole.

    Until then, and after any failure, what stood under that name is untouched, permissions
    included. A symbolic link is itself replaced: the file that it points to is never written to.
    What a process that was killed has left half written for the same name is removed, too, where
    the disk is waited for. Several may write for one name at once: the last to end stays.

    Parameters
    ----------
    path : path
        A new name, or a regular file that may be written to.
    keep_previous : bool, default=False
        Whether the file that stood there stays, under a name that ends in ``.previous``.
    durable : bool, default=True
        Whether the disk is waited for, before the file takes its name and after. Else it outlives
        the process, but a crash of the machine may leave it damaged.

    Yields
    ------
    binary file
        To write to; it lies in the same folder under a name of its own.

    Raises
    ------
    OSError
        Naming `path`, not the temporary file; one that names another file passes as it is.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or os.curdir
    ours: list[str | None] = [None, folder]  # names that stand for `path` in an error
    try:
        mode = _mode_to_keep(path)
        if keep_previous:
            _mode_to_keep(path + PREVIOUS)
        if durable:  # to look through a folder of many files takes its time, as the disk does
            _remove_what_was_left(path)
        with _locked(path) as file:
            ours.append(file.name)
            try:
                if mode is not None:
                    os.chmod(file.name, mode)
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                file.close()  # what a disk has against it shows before the file has its name
                if keep_previous and mode is not None:
                    with suppress(FileNotFoundError):  # where another process has just done so
                        os.replace(path, path + PREVIOUS)
                os.replace(file.name, path)
            finally:
                with suppress(OSError):  # the first failure is told
                    file.close()
                with suppress(OSError):  # it is gone once it has its name
                    os.unlink(file.name)
        if durable:
            _sync_folder(folder)
    except OSError as error:
        if error.errno is None or error.filename not in ours:
            raise  # of what is read meanwhile, say
        raise OSError(error.errno, error.strerror, path) from error


def demand_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse a path that no file could be written to, before there is anything to write.

    Raises
    ------
    OSError
        Naming `path`.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or os.curdir
    try:
        _mode_to_keep(path)
        if not os.path.isdir(folder):
            raise OSError(errno.ENOENT, "There is no such folder to write it in")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _temporary_names(path: str, ending: str) -> str:
    """Names of temporary files for one target, however long its own name is."""
    folder, name = os.path.split(path)
    target = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return os.path.join(folder, f".fastgmm-{target}-{ending}{SUFFIX}")


@contextmanager
def _locked(path: str) -> Iterator[IO[bytes]]:
    """A temporary file, locked to the end of the block, also once it is closed or renamed.

    A lock that ended before let others remove whole files that were about to be renamed: 11 of
    1067 saves of two processes failed.
    """
    with ExitStack() as held:
        file = held.enter_context(_created(path))
        if fcntl is not None:
            held.callback(os.close, os.dup(file.fileno()))
        yield file


def _created(path: str) -> IO[bytes]:
    """A new temporary file, locked."""
    while True:
        name = _temporary_names(path, secrets.token_hex(8))
        try:
            file = open(name, "xb")  # noqa: SIM115, the caller closes it
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error
        # another process may have taken it for one that was left, in the moment before the lock:
        # it removes whatever has that name, so the next has another
        if _lock(file.fileno(), otherwise=True) and os.path.exists(name):
            return file
        file.close()


def _remove_what_was_left(path: str) -> None:
    """Remove temporary files of the same target that no living process holds the lock of."""
    folder, name = os.path.split(_temporary_names(path, ""))
    start = name.removesuffix(SUFFIX)
    try:
        with os.scandir(folder or os.curdir) as entries:
            left = [each for each in entries if each.name.startswith(start)]
    except OSError:  # a folder that is not there is told of by who writes in it
        return
    for entry in left:
        if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
            with suppress(OSError), open(entry.path, "rb", opener=_regular) as file:
                if _lock(file.fileno(), otherwise=False):
                    os.unlink(entry.path)


def _regular(path: str, flags: int) -> int:
    """Open a regular file and no other thing, under its own name: never wait on a pipe."""
    # what stands there now may be another thing than was seen a moment ago
    only = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags | only)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a regular file", path)


def _lock(descriptor: int, otherwise: bool) -> bool:
    """Whether a file is ours now, or `otherwise` where files cannot be locked."""
    if fcntl is None:
        return otherwise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if isinstance(error, BlockingIOError) else otherwise
    return True


def _mode_to_keep(path: str) -> int | None:
    """Permissions of the file to be replaced, if there is one and it may be replaced."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):  # a renaming would destroy a device or a pipe
        raise OSError(errno.EINVAL, "Not a regular file, which alone is replaced", path)
    if not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Make a renaming last, on file systems that can be asked to."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
