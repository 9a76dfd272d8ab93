"""What a file does not say of itself, and the caller must."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.cells import REAL_KINDS

SUFFIXES: dict[str, np.dtype[Any] | None] = {
    ".f32": np.dtype("<f4"),
    ".f64": np.dtype("<f8"),
    ".bin": None,
    ".raw": None,
}


class Hints(NamedTuple):
    """The keywords of `open_source` that belong to some kinds of file alone."""

    dtype: npt.DTypeLike | None = None  # of raw numbers
    n_features: int | None = None
    dataset: str | None = None  # of an HDF5 file or a Zarr store

    def refuse_but(self, known: tuple[str, ...], name: str) -> None:
        """Refuse what this kind of data has no use for."""
        for hint, value in self._asdict().items():
            if value is not None and hint not in known:
                raise DataError(
                    f"{hint}={value!r} says nothing of {name}: dtype and n_features are for files "
                    "of raw numbers, dataset is for HDF5 files and Zarr stores"
                )

    def are_raw(self, suffix: str) -> bool:
        """Whether a file holds nothing but numbers, by its suffix or because the caller says so."""
        said = self.dtype is not None or self.n_features is not None
        return suffix in SUFFIXES or (said and self.dataset is None)

    def row(self, name: str, suffix: str) -> tuple[np.dtype[Any], int]:
        """Return the type and the number of the numbers in a row of raw ones."""
        known = SUFFIXES.get(suffix)
        if (self.dtype is None and known is None) or self.n_features is None:
            raise DataError(
                f"{name} holds numbers and does not say of what type, or how many make a row; give "
                "open_source(path, dtype='float64', n_features=10), or on the command line "
                "--dtype float64 --n-features 10"
            )
        dtype = known if self.dtype is None else self._dtype()
        if dtype is None or dtype.kind not in REAL_KINDS:
            raise DataError(f"dtype is {dtype}; raw numbers are bools, integers or floats")
        if known is not None and dtype != known:
            raise DataError(f"dtype is {dtype}, but {name} ends in {suffix}: {known} numbers")
        width: Any = self.n_features
        if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
            raise DataError(f"n_features is {width!r}; a row has a whole number of them, from 1")
        return dtype, int(width)

    def _dtype(self) -> np.dtype[Any]:
        try:
            return np.dtype(self.dtype)
        except TypeError as error:
            raise DataError(
                f"dtype is {self.dtype!r}, which is no type of NumPy's; give 'float64', or '<f4'"
            ) from error
