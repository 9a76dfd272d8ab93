"""NumPy's .npy files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from fastgmm.errors import DataError
from fastgmm.sources.arrays import refuse_shape
from fastgmm.sources.cells import REAL_KINDS, Place, real
from fastgmm.sources.columns import ALL, Reading
from fastgmm.sources.formats.binary import Layout, PlainSource
from fastgmm.sources.formats.file import File
from fastgmm.sources.unsupported import refuse_records

Description = tuple[tuple[int, ...], bool, np.dtype[Any]]  # shape, whether Fortran's, type
READERS = {  # version 3 has other names of columns, which are refused
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
SHOWN = 80  # letters of what NumPy says of a header


class NpySource(PlainSource):
    """A 2-d array in a .npy file, in C or in Fortran order."""

    def __init__(
        self,
        file: File,
        reading: Reading = ALL,
    ) -> None:
        super().__init__(file, _header(file), reading)


def _header(file: File) -> Layout:
    """Read the header, and hold it against the size of the file."""
    with file.reading(ValueError), file.open() as opened:
        version = np.lib.format.read_magic(opened)
        if version not in READERS:
            raise ValueError(f"its format version, {version[0]}.{version[1]}, is not known")
        layout = Layout(*_described(opened, READERS[version]), opened.tell())
    _refuse_unusable(layout, file)
    return layout


def _described(opened: BinaryIO, read: Callable[[BinaryIO], Description]) -> Description:
    """Have NumPy read the header, and say of a damaged one what NumPy says first."""
    try:
        return read(opened)
    except OSError:
        raise
    except Exception as error:  # Python parses it, which raises tokenize.TokenError and others
        said = str(error).partition("\n")[0][:SHOWN]
        raise ValueError(f"its header is damaged ({said})") from error


def _refuse_unusable(layout: Layout, file: File) -> None:
    if any(type(size) is not int or size < 0 for size in layout.shape):
        raise DataError(
            f"{file.name} is damaged: its header tells of the shape {layout.shape}, and sizes are "
            "whole numbers from 0; save the array again"
        )
    refuse_records(layout.dtype, file.name)
    refuse_shape(layout.shape, file.name)
    if layout.dtype.kind not in REAL_KINDS and layout.dtype.kind in "cmMV":
        real(np.empty((0, layout.shape[1]), layout.dtype), range(layout.shape[1]), Place(file.name))
    if layout.dtype.kind not in REAL_KINDS:
        raise DataError(f"{file.name} holds {layout.dtype}; save it as an array of numbers")
    if file.size < layout.end:
        raise DataError(
            f"{file.name} is cut short: its header tells of {layout.end} bytes, it has {file.size}"
        )
