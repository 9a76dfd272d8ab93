"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new file that takes the name `path` once its content is safely on the disk.

    Until then, and after any failure, what stood under that name is untouched, permissions
    included. A symbolic link is itself replaced: the file that it points to is never written to.

    Parameters
    ----------
    path : path
        A new name, or a regular file that may be written to.

    Yields
    ------
    binary file
        To write to; it lies in the same folder under a name of its own.

    Raises
    ------
    OSError
        Naming `path`, not the temporary file.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or os.curdir
    temporary = os.path.join(folder, f".fastgmm-{secrets.token_hex(8)}.tmp")
    try:
        mode = _mode_to_keep(path)
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        with suppress(OSError):  # it is gone once it has its name; else the first failure is told
            os.unlink(temporary)


def _mode_to_keep(path: str) -> int | None:
    """Permissions of the file to be replaced, if there is one and it may be replaced."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):  # a renaming would destroy a device or a pipe
        raise OSError(errno.EINVAL, "Not a regular file, which a model file must be")
    if not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
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
