"""Arrays of the mixture's values: float64, and not to be written through."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LARGEST_FACTOR = 1e150  # of a precision: its square is still a number, and the inverse of one


def read_only(values: npt.ArrayLike) -> Array:
    """View the values as float64 that cannot be written through; copies only to convert."""
    array = np.asarray(values, dtype=np.float64).view()
    array.flags.writeable = False
    return array


def packed(values: Array, shape: tuple[int, ...]) -> Array:
    """View values in C's order and read-only: kernels are compiled for this kind of array alone."""
    array = np.ascontiguousarray(values).reshape(shape)
    array.flags.writeable = False
    return array


def over(mass: Array, covariances: Array) -> Array:
    """Let masses stand for covariances along the first axes."""
    return mass.reshape(mass.shape + (1,) * (covariances.ndim - mass.ndim))
