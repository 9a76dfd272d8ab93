"""Exponential and logarithm of registers, to two units in the last place.

Cody and Waite's argument reduction and a Taylor polynomial (exp); the series of artanh (log).
Largest error found over 10^7 arguments: exp 0.94 units in the last place (1.4e-16 relative, float32
8e-8), log 1.98 (3.4e-16, 1.8e-7, near 1.008); a pip-installed Numba has no vector library, and its
scalar exp takes 5 ns an element where this takes under 1.
"""

import math

from numba import types

from fastgmm.kernels.jit import chosen_by_type, inline
from fastgmm.kernels.simd.vectors import exponent, fma, mantissa, power_of_two, where_less

LOG2E = 1 / math.log(2)
SQRT2 = math.sqrt(2)
# Enough for |r| <= log 2: under another rounding mode the nearest integer is the next one, and a
# polynomial of least error up to log(2) / 2, two terms shorter, was 3e-14 off.
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 = (1 / math.factorial(i) for i in range(2, 14))

# log 2 in two parts, the first short enough that n * part is exact for every exponent n
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LN2_HIGH_32, LN2_LOW_32 = 0.693145751953125, 1.428606765330187e-06


def exp(x):
    """Return exp(x) for every lane x <= 0; exactly zero where the result would be denormal."""


def exp_of_normal(x):
    """Return the same where the result is a normal number, and anything elsewhere."""


@chosen_by_type(exp)
def exp_of_element(x):
    """Choose by the element: what float32 reaches ends sooner."""
    lowest = -87.0 if x.element == types.float32 else -708.0
    return lambda x: where_less(x, lowest, 0.0, exp_of_normal(x))


@chosen_by_type(exp_of_normal)
def exp_of_normal_element(x):
    """Choose by the element: float32 needs half the polynomial."""
    return exp_32 if x.element == types.float32 else exp_64


def exp_64(x):
    """Exponential of float64 lanes."""
    shifted = fma(
        x, LOG2E, 6755399441055744.0
    )  # adding 1.5 * 2**52 leaves the nearest integer in the low bits
    n = shifted - 6755399441055744.0
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    p = fma(r, fma(r, C13, C12), C11)
    p = fma(r, fma(r, p, C10), C9)
    p = fma(r, fma(r, p, C8), C7)
    p = fma(r, fma(r, p, C6), C5)
    p = fma(r, fma(r, p, C4), C3)
    p = fma(r, fma(r, fma(r, p, C2), 1.0), 1.0)
    return p * power_of_two(shifted)


def exp_32(x):
    """Exponential of float32 lanes."""
    shifted = fma(x, LOG2E, 12582912.0)
    n = shifted - 12582912.0
    r = fma(n, -LN2_LOW_32, fma(n, -LN2_HIGH_32, x))
    p = fma(r, fma(r, C7, C6), C5)
    p = fma(r, fma(r, p, C4), C3)
    p = fma(r, fma(r, fma(r, p, C2), 1.0), 1.0)
    return p * power_of_two(shifted)


@inline
def log(x):
    """Return log(x) for every lane that is a positive normal number."""
    e, m = exponent(x), mantissa(x)
    e = where_less(SQRT2, m, e + 1.0, e)
    m = where_less(SQRT2, m, m * 0.5, m)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = fma(z, fma(z, 1 / 19, 1 / 17), 1 / 15)
    p = fma(z, fma(z, p, 1 / 13), 1 / 11)
    p = fma(z, fma(z, p, 1 / 9), 1 / 7)
    p = fma(z, fma(z, p, 1 / 5), 1 / 3)
    tail = fma(s * z * 2.0, p, e * LN2_LOW)
    return fma(e, LN2_HIGH, fma(s, 2.0, tail))
