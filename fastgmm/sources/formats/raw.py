"""Files of raw numbers: row after row, and nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from fastgmm.errors import DataError
from fastgmm.sources.formats.binary import Layout, PlainSource
from fastgmm.sources.formats.file import File
from fastgmm.sources.formats.options import Hints


class RawSource(PlainSource):
    """Numbers of one type, as `ndarray.tofile` writes a 2-d array."""

    def __init__(
        self,
        file: File,
        hints: Hints,
        columns: Sequence[Hashable] | None = None,
        weight: Hashable | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        dtype, width = hints.row(file.name, file.path.suffix.lower())
        n_rows, rest = divmod(file.size, dtype.itemsize * width)
        if rest:
            raise DataError(
                f"{file.name} has {file.size} bytes, which are not a whole number of rows of "
                f"{width} {dtype} numbers ({dtype.itemsize * width} bytes); it is cut short, or "
                "dtype or n_features are not what they were"
            )
        super().__init__(
            file, Layout((n_rows, width), False, dtype, 0), columns, weight, chunk_rows
        )
