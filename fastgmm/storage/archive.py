"""Arrays and a JSON header in one file, written whole and checked when read.

The file is an uncompressed zip of ``header.json`` and one ``.npy`` for each array, so that
``numpy.load`` opens it too. The same content gives the same bytes. Nothing here knows of mixtures,
and nothing is ever pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import ModelFileError
from fastgmm.storage.atomic import replacing

FORMAT = "fastgmm"
FORMAT_VERSION = 1
HEADER = "header.json"
RESERVED = ("format", "format_version", "arrays", "checksum")
DTYPES = ("<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")
MALFORMED = (  # what zipfile and json say of bytes that are not theirs; an OSError, of a bad offset
    zipfile.BadZipFile,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
    OSError,
)
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip can name: no clock in the bytes

Header = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]


def write(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    arrays: Mapping[str, npt.ArrayLike],
    keep_previous: bool = False,
    durable: bool = True,
) -> None:
    """Write a header and named arrays, all or nothing.

    Whatever happens meanwhile, `path` holds the old file or the new one (see `atomic`).

    Parameters
    ----------
    path : path
        A new name, or a file to replace.
    header : mapping
        What JSON holds, but not under the names format, format_version, arrays and checksum.
    arrays : mapping of str to array-like
        Integers and floats of any shape; big-endian ones are written little-endian.
    keep_previous : bool, default=False
        Whether the old file stays, under a name that ends in ``.previous``.
    durable : bool, default=True
        Whether the file is to outlive a crash of the machine, too: then the disk is waited for.

    Raises
    ------
    OSError
        The file cannot be written; what was there is as before.
    """
    members = {name: _portable(name, array) for name, array in sorted(arrays.items())}
    text = _sealed(header, members)
    with replacing(path, keep_previous, durable) as file:
        _write_zip(file, text, members)


def read(path: str | os.PathLike[str]) -> tuple[Header, Arrays]:
    """Read what `write` wrote: the header and the arrays, or one sentence on why not.

    Sizes are checked against the size of the file before memory is taken for them.

    Raises
    ------
    ModelFileError
        The file is truncated, altered, foreign or from a newer fastgmm.
    OSError
        There is no such file, or it cannot be opened.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb", opener=_regular) as file:
            return _read_zip(file, path)
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "There is no model file of this name", path) from None


def _portable(name: str, array: npt.ArrayLike) -> npt.NDArray[Any]:
    """The array as it lies in the file: C order, little-endian."""
    if not (name.isascii() and name.isidentifier()):
        raise ValueError(f"array name {name!r} must be an ASCII identifier")
    array = np.asarray(array, order="C")
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise TypeError(
            f"array {name!r} has dtype {array.dtype}; a model file holds integers and floats of at "
            "most 64 bits, so put anything else in the header"
        )
    return array.astype(dtype, copy=False)


def _sealed(header: Mapping[str, Any], arrays: Arrays) -> str:
    """The text of the header, with what the arrays are and a checksum over both."""
    if taken := [name for name in RESERVED if name in header]:
        raise ValueError(f"the header's {taken[0]!r} is written by persistence itself; rename it")
    described = {
        name: {"dtype": array.dtype.str, "shape": list(array.shape)}
        for name, array in arrays.items()
    }
    full = {**header, "format": FORMAT, "format_version": FORMAT_VERSION, "arrays": described}
    return _canonical({**full, "checksum": _checksum(full, arrays)})


def _canonical(header: Mapping[str, Any]) -> str:
    return json.dumps(header, sort_keys=True, indent=1, allow_nan=False)


def _checksum(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(_canonical(header).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _preamble(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What a .npy file (version 1.0) says before its numbers; ours, to be the same in any NumPy."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = text + " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode()


def _write_zip(file: IO[bytes], text: str, arrays: Arrays) -> None:
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
    try:
        archive.writestr(zipfile.ZipInfo(HEADER, EPOCH), text)
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            preamble = _preamble(array.dtype.str, array.shape)
            member.file_size = len(preamble) + array.nbytes  # past 4 GiB it becomes a zip64 member
            with archive.open(member, "w") as out:
                out.write(preamble)
                out.write(array.reshape(-1).view(np.uint8).data)
        archive.close()
    except BaseException:
        # What was begun is thrown away. To end it, where Ctrl-C came between opening a member and
        # entering it, raised ValueError in its place.
        archive.fp = None
        raise


def _regular(path: str, flags: int) -> int:
    """Open a regular file or a folder (which says so itself), never wait on a pipe."""
    _demand_regular(os.stat(path).st_mode, path)  # first, since to open a device may move it
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _demand_regular(os.fstat(descriptor).st_mode, path)
    except ModelFileError:
        os.close(descriptor)
        raise
    return descriptor


def _demand_regular(mode: int, path: str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ModelFileError(f"{path!r} is not a regular file, which a model file must be")


def _read_zip(file: IO[bytes], path: str) -> tuple[Header, Arrays]:
    """Check from the outside in: the zip's sizes, the header, each array, the checksum over all."""
    try:
        with zipfile.ZipFile(file) as archive:
            _demand_sizes(archive, os.fstat(file.fileno()).st_size)
            header = _read_header(archive)
            arrays = _read_arrays(archive, header["arrays"])
        is_whole = header.pop("checksum") == _checksum(header, arrays)
    except ModelFileError as error:
        raise ModelFileError(f"{path!r} {error}") from None
    except MALFORMED as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ModelFileError(
            f"{path!r} is truncated, altered or no fastgmm model file ({error})"
        ) from error
    if not is_whole:
        raise ModelFileError(f"{path!r} was altered: its content does not fit its checksum")
    content = {name: value for name, value in header.items() if name not in RESERVED}
    return content, {name: _native(array) for name, array in arrays.items()}


def _demand_sizes(archive: zipfile.ZipFile, file_size: int) -> None:
    """Refuse what would unpack to more than the file holds."""
    members = archive.infolist()
    if HEADER not in archive.namelist():
        raise ModelFileError(f"is not a fastgmm model file: it has no {HEADER}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ModelFileError("is not as fastgmm writes it: it holds compressed members")
    if sum(member.file_size for member in members) > file_size:
        raise ModelFileError("is truncated or altered: its members claim more than its size")


def _read_header(archive: zipfile.ZipFile) -> Header:
    """Parse the header and check all that does not need the arrays."""
    header = json.loads(archive.read(HEADER), parse_constant=_refuse_constant)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"is not a fastgmm model file: its {HEADER} is another's")
    version = header.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"has an unknown format version, {version!r}")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"has format version {version}, and this fastgmm reads up to {FORMAT_VERSION}: "
            "upgrade fastgmm to read it"
        )
    if missing := [name for name in RESERVED if name not in header]:
        raise ModelFileError(f"was altered: its header has no {missing[0]!r}")
    described = header["arrays"]
    if not isinstance(described, dict):
        raise ModelFileError("was altered: its header does not describe its arrays")
    names = sorted(archive.namelist())
    expected = sorted([HEADER, *(f"{name}.npy" for name in described)])
    if names != expected:
        unfit = min(set(names) ^ set(expected), default="a member twice")
        raise ModelFileError(f"was altered: its header and its members disagree on {unfit}")
    return header


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read_arrays(archive: zipfile.ZipFile, described: dict[str, Any]) -> Arrays:
    return {name: _read_array(archive, name, described[name]) for name in sorted(described)}


def _read_array(archive: zipfile.ZipFile, name: str, described: Any) -> npt.NDArray[Any]:
    """One array, of which every byte was expected before any was read."""
    match described:
        case {"dtype": str(dtype), "shape": [*lengths], **rest} if not rest and dtype in DTYPES:
            pass
        case _:
            raise ModelFileError(f"was altered: it does not describe array {name!r}")
    member = archive.getinfo(f"{name}.npy")
    if not all(type(length) is int and 0 <= length <= member.file_size for length in lengths):
        raise ModelFileError(f"was altered: array {name!r} cannot have shape {lengths}")
    shape = tuple(lengths)
    preamble = _preamble(dtype, shape)
    if member.file_size != len(preamble) + math.prod(shape) * np.dtype(dtype).itemsize:
        raise ModelFileError(f"was altered: array {name!r} of shape {shape} is not of its size")
    data = archive.read(member)
    if not data.startswith(preamble):
        raise ModelFileError(f"was altered: array {name!r} is not what its header says")
    return np.frombuffer(data, dtype, offset=len(preamble)).reshape(shape)


def _native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A writable copy in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="))
