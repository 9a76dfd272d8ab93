"""NumPy's .npy files."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from fastgmm.errors import DataError
from fastgmm.sources.arrays import refuse_shape
from fastgmm.sources.cells import REAL_KINDS, Place, real
from fastgmm.sources.files import File
from fastgmm.sources.plain import Layout, PlainSource


class NpySource(PlainSource):
    """A 2-d array in a .npy file, in C or in Fortran order."""

    def __init__(
        self,
        file: File,
        columns: Sequence[Hashable] | None = None,
        weight: Hashable | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        super().__init__(file, _header(file), columns, weight, chunk_rows)


def _header(file: File) -> Layout:
    """Read the header, and hold it against the size of the file."""
    with file.reading(ValueError), open(file.path, "rb") as opened:
        version = np.lib.format.read_magic(opened)
        if version == (1, 0):
            described = np.lib.format.read_array_header_1_0(opened)
        else:
            described = np.lib.format.read_array_header_2_0(opened)
        layout = Layout(*described, opened.tell())
    _refuse_unusable(layout, file)
    return layout


def _refuse_unusable(layout: Layout, file: File) -> None:
    refuse_shape(layout.shape, file.name)
    if layout.dtype.kind not in REAL_KINDS and layout.dtype.kind in "cmMV":
        real(np.empty((0, layout.shape[1]), layout.dtype), range(layout.shape[1]), Place(file.name))
    if layout.dtype.kind not in REAL_KINDS:
        raise DataError(f"{file.name} holds {layout.dtype}; save it as an array of numbers")
    if file.size < layout.end:
        raise DataError(
            f"{file.name} is cut short: its header tells of {layout.end} bytes, it has {file.size}"
        )
