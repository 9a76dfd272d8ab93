"""LAPACK called past those of SciPy's wrappers that hold Python's lock, where threads queue up."""

from __future__ import annotations

from ctypes import CFUNCTYPE, byref, c_char_p, c_int, c_void_p

from numba.extending import get_cython_function_address

from fastgmm.mixture.statistics import Array

_dtrtri = CFUNCTYPE(None, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p)(
    get_cython_function_address("scipy.linalg.cython_lapack", "dtrtri")
)


def invert_lower(matrix: Array) -> None:
    """Replace a lower triangular matrix in Fortran's order by its inverse, the lock released."""
    if not matrix.flags.f_contiguous:
        raise ValueError("a matrix to be inverted in place must lie in Fortran's order")
    size, info = c_int(len(matrix)), c_int()
    _dtrtri(b"L", b"N", byref(size), matrix.ctypes.data, byref(size), byref(info))
    if info.value:
        matrix.fill(float("inf"))  # a zero on the diagonal
