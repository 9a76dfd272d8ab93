"""Full covariances of two features, without padding to fours.

Moments are six products with the responsibility itself. The way of `full` would cost a square root
per row and component, and a square of sixteen products. Factors are of a type of their own, so that
a fit compiles one of the two ways: a first fit takes 0.83 of the time with both.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import add_quick_totals, fma, load, splat, store
from fastgmm.kernels.tiles import TILE, centred


class FactorsOfTwo(NamedTuple):
    """The same as those of `full`. Compiled code is found by the name of the type: it differs."""

    log_scale: np.ndarray
    means: np.ndarray
    means_low: np.ndarray
    panels: np.ndarray


Factors = FactorsOfTwo


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    log_densities_of_two(tile, factors, out)


@inline
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add, for every k, the triangle of r (x - mean, 1)(x - mean, 1)', row by row."""
    add_moments_of_two(tile, responsibilities, factors, out)


@inline
def centred_two(tile, r, factors, k):
    """Return one register of each feature less its mean."""
    means, lows = factors.means, factors.means_low
    x = centred(load(tile, (0, r)), means[k, 0], lows[k, 0])
    y = centred(load(tile, (1, r)), means[k, 1], lows[k, 1])
    return x, y


@subroutine
def log_densities_of_two(tile, factors, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    for k in range(len(factors.means)):
        upper = factors.panels[k, 0]
        for r in range(0, TILE, splat(tile, 0.0).width):
            x, y = centred_two(tile, r, factors, k)
            a = x * upper[0, 2]  # a panel ends with the last column: two of padding are first
            b = fma(y, upper[1, 3], x * upper[0, 3])
            store(out, (k, r), fma(fma(b, b, a * a), -0.5, factors.log_scale[k]))


@subroutine
def add_moments_of_two(tile, responsibilities, factors, out):
    """Add, for every k, the triangle of r (x - mean, 1)(x - mean, 1)', row by row."""
    zero = splat(tile, 0.0)
    for k in range(len(factors.means)):
        weight = first_x = first_y = xx = xy = yy = zero
        for r in range(0, TILE, zero.width):
            responsibility = load(responsibilities, (k, r))
            x, y = centred_two(tile, r, factors, k)
            rx, ry = responsibility * x, responsibility * y
            weight, first_x, first_y = weight + responsibility, first_x + rx, first_y + ry
            xx, xy, yy = fma(rx, x, xx), fma(ry, x, xy), fma(ry, y, yy)
        add_quick_totals(out, (16 * k,), (xx, xy, yy, first_x, first_y, weight, zero, zero))
