"""Array-likes as 2-d arrays of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.cells import Place, real
from fastgmm.sources.unsupported import refuse_records, refuse_stranger


def as_array(data: object, place: Place) -> npt.NDArray[Any]:
    """Convert an array-like to a 2-d array of real numbers; an array is not copied."""
    name = place.name
    refuse_stranger(data)
    if hasattr(data, "tocsr"):
        raise DataError(
            f"{name} is sparse, and a mixture needs dense rows; give X.toarray(), or a callable "
            "that yields dense chunks of it"
        )
    if isinstance(data, np.ma.MaskedArray):
        data = _unmasked(data, place)
    array = _as_array(data, name)
    refuse_records(array.dtype, name)
    refuse_shape(array.shape, name)
    return real(array, range(array.shape[1]), place)


def _as_array(data: object, name: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(data)
        return np.asarray(data, dtype=object) if array.dtype.kind in "USTO" else array
    except ValueError as error:
        raise DataError(f"{name} is not a table of numbers: {error}") from error


def _unmasked(data: np.ma.MaskedArray[Any, Any], place: Place) -> npt.NDArray[Any]:
    if np.ma.is_masked(data):
        cell = np.argwhere(np.ma.getmaskarray(data))[0]
        where = f"{place.row(int(cell[0]))} is masked"
        column = f" in column {cell[1]}" if len(cell) > 1 else ""
        raise DataError(f"{where}{column}; masked values are not supported: drop or impute it")
    return np.asarray(data.data)


def refuse_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse what is not rows and columns, with the way to make it so."""
    if len(shape) > 2:
        raise DataError(
            f"{name} has {len(shape)} dimensions and the shape {shape}; rows need 2. "
            "Reshape your data with X.reshape(len(X), -1) if each X[i] is a row"
        )
    if len(shape) < 2:
        raise DataError(
            f"{name} has {len(shape)} dimension(s); rows need 2. Reshape your data with "
            "X.reshape(-1, 1) if it is one feature, or with X.reshape(1, -1) if it is one row"
        )
    if shape[1] == 0:
        raise DataError(
            f"{name} has 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )
