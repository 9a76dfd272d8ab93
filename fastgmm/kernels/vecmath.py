"""Exponential and logarithm of registers, in the few digits of work that they need.

Cody and Waite's argument reduction and the polynomial of least error (exp: a twentieth of rounding,
with two terms fewer than Taylor's); the series of artanh (log).
Largest error found over 10^7 arguments: exp 0.94 units in the last place (1.4e-16 relative, float32
8e-8), log 1.98 (3.4e-16, 1.8e-7, near 1.008); a pip-installed Numba has no vector library, and its
scalar exp takes 5 ns an element where this takes under 1.
"""

import math

from numba import types
from numba.extending import overload

from fastgmm.kernels.jit import inline
from fastgmm.kernels.vectors import exponent, fma, mantissa, power_of_two, where_less

LOG2E = 1 / math.log(2)
SQRT2 = math.sqrt(2)
# exp(r) is 1 + r + C2 r^2 + ... within 4e-18 (float32 3e-9) of itself for |r| <= log(2) / 2
C2, C3, C4 = 0.5000000000000011, 0.1666666666666641, 0.041666666666529725
C5, C6, C7 = 0.008333333333494976, 0.0013888888943759984, 0.00019841269505773806
C8, C9, C10 = 2.480149294961707e-05, 2.755758680384707e-06, 2.7630306255647857e-07
C11 = 2.500001885308334e-08
D2, D3, D4 = 0.4999999343212929, 0.1666652039904253, 0.041668390783547914
D5, D6 = 0.008368745108942591, 0.0013814540176801306

# log 2 in two parts, the first short enough that n * part is exact for every exponent n
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LN2_HIGH_32, LN2_LOW_32 = 0.693145751953125, 1.428606765330187e-06


def exp(x):
    """Return exp(x) for every lane x <= 0; exactly zero where the result would be denormal."""


def exp_of_normal(x):
    """Return the same where the result is a normal number, and anything elsewhere."""


@overload(exp)
def exp_of_element(x):
    """Choose by the element: what float32 reaches ends sooner."""
    lowest = -87.0 if x.element == types.float32 else -708.0
    return lambda x: where_less(x, lowest, 0.0, exp_of_normal(x))


@overload(exp_of_normal)
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
    p = fma(r, fma(r, C11, C10), C9)
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
    p = fma(r, fma(r, D6, D5), D4)
    p = fma(r, fma(r, fma(r, p, D3), D2), 1.0)
    return fma(r, p, 1.0) * power_of_two(shifted)


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
