"""Triangular factors of covariances and precisions, each matrix by itself on a thread of its own.

LAPACK's dtrtri is called directly, because SciPy's wrapper holds the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CFUNCTYPE, byref, c_char_p, c_int, c_void_p

import numpy as np
from numba.extending import get_cython_function_address
from scipy.linalg.lapack import dpotrf, dtrtri

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.arrays import LARGEST_FACTOR, Array
from fastgmm.parallel.blas import each_matrix, one_blas_thread

_dtrtri = CFUNCTYPE(None, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p)(
    get_cython_function_address("scipy.linalg.cython_lapack", "dtrtri")
)


def of_each(factor: Callable[[Array, int | None], Array], matrices: Array) -> Array:
    """Apply `factor` to one shared matrix, or to that of every component."""
    if matrices.ndim == 2:
        with one_blas_thread():
            return np.ascontiguousarray(factor(matrices, None))
    factors = np.empty(matrices.shape)

    def work(k: int) -> None:
        factors[k] = factor(matrices[k], k)

    each_matrix(work, len(matrices), len(matrices) * float(matrices.shape[1]) ** 3 / 3)
    return factors


def inverse_factors(covariances: Array) -> Array:
    """Upper triangular U with U U' the inverse, of one shared covariance or of every component's.

    All are checked together, and one by one only to find which is degenerate: 26 microseconds for
    10 of 10 features instead of 69.
    """
    matrices = covariances.reshape((-1, *covariances.shape[-2:]))
    factors = np.empty(matrices.shape)
    size, info = byref(c_int(matrices.shape[-1])), byref(c_int())
    first, apart = factors.ctypes.data, factors.strides[0]

    def work(k: int) -> None:
        lower, failed = dpotrf(matrices[k], 1, 1)  # lower, without what stood above
        factors[k] = np.nan if failed else lower.T
        _dtrtri(b"L", b"N", size, first + k * apart, size, info)  # of the lower, in Fortran's order

    each_matrix(work, len(matrices), len(matrices) * float(matrices.shape[1]) ** 3 / 3)
    largest = max(factors.max(), -factors.min())  # not a number if one of them is none
    if not (largest < LARGEST_FACTOR and matrices.max() < np.inf):
        return of_each(inverse_factor, covariances)
    return factors.reshape(covariances.shape)


def inverse_factor(covariance: Array, component: int | None) -> Array:
    """Upper triangular U with U U' the inverse of the covariance."""
    lower = _lower_factor(covariance, component)
    invert_lower(lower)
    if not np.max(np.abs(lower)) < LARGEST_FACTOR:
        raise DegenerateCovarianceError(component)
    return lower.T


def inverse_factor_of_sum(covariance: Array, steps: Array, component: int | None) -> Array:
    """Upper triangular U with U U' the inverse of a covariance plus products of steps (m, d).

    Each is rotated into the factor, row by row (Golub and Van Loan 2013, section 6.5.4), so that
    one 1e8 times longer than all deviations leaves the digits of the other directions.
    """
    lower = np.asfortranarray(_lower_factor(covariance, component))
    for step in steps:
        left = np.array(step)
        for j in range(len(left)):
            length = np.hypot(lower[j, j], left[j])
            cosine, sine = lower[j, j] / length, left[j] / length
            column = lower[j:, j].copy()
            lower[j:, j] = cosine * column + sine * left[j:]
            left[j:] = cosine * left[j:] - sine * column
    invert_lower(lower)
    if not np.max(np.abs(lower)) < LARGEST_FACTOR:
        raise DegenerateCovarianceError(component)
    return lower.T


def upper_factor(precision: Array, component: int | None) -> Array:
    """Upper triangular U with U U' the precision: Cholesky with rows and columns reversed."""
    try:
        return _lower_factor(precision[::-1, ::-1], component)[::-1, ::-1]
    except DegenerateCovarianceError as failure:
        place = None if failure.feature is None else len(precision) - 1 - failure.feature
        raise DegenerateCovarianceError(component, place) from None


def inverse_product(upper: Array, _component: int | None) -> Array:
    """Inverse of U U', symmetric to the last bit since it is a product with its own transpose."""
    inverse, _ = dtrtri(upper, lower=0)
    return np.asarray(inverse.T @ inverse)


def invert_lower(matrix: Array) -> None:
    """Replace a lower triangular matrix in Fortran's order by its inverse; the GIL is released."""
    if not matrix.flags.f_contiguous:
        raise ValueError("a matrix to be inverted in place must lie in Fortran's order")
    size, info = c_int(len(matrix)), c_int()
    _dtrtri(b"L", b"N", byref(size), matrix.ctypes.data, byref(size), byref(info))
    if info.value:
        matrix.fill(float("inf"))  # a zero on the diagonal


def _lower_factor(matrix: Array, component: int | None) -> Array:
    lower, info = dpotrf(matrix, lower=1, clean=1)
    if info != 0 or not np.all(np.isfinite(lower)):
        raise DegenerateCovarianceError(component, feature=info - 1 if info > 0 else None)
    return np.asarray(lower)
