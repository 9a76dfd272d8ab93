"""Components with Student's t-distributions, in any structure: one more weight per pair.

The structure gives the squared distance D of a row, in its own way. With degrees of freedom v,

    log t = log_scale - (v + d) / 2 log(1 + D / v),    u = (v + d) / (v + D),

and the moments are those of responsibilities times u. Besides, per component, responsibilities are
summed as they are, with the logarithm, and with the square of v / (v + D). An infinite v makes a
normal component, with u = 1; there D and its square take the place of the last two, which tell
whether the likelihood rises as v comes back from infinity.
"""

import numpy as np

from fastgmm.kernels.expectation import KERNELS, SPARE, divide, normalise
from fastgmm.kernels.jit import inline, kernel, subroutine
from fastgmm.kernels.simd.vecmath import log
from fastgmm.kernels.simd.vectors import fma, load, splat, store, total, where_less
from fastgmm.kernels.structures.dispatch import add_moments, extended, normal_densities
from fastgmm.kernels.tiles import TILE, load_weighted, tile_in

SUMS = 3  # per component, besides the moments
FIELDS = (  # besides those of the structure, whose log_scale is 0, so that densities are -D / 2
    "heights",  # (K,) log weight, and the t-density at its centre
    "inverses",  # (K,) 1 / v; 0 of a normal component
    "powers",  # (K,) (v + d) / 2
    "gains",  # (K,) 1 + d / v, the largest u
)


@inline
def tail(half, inverse):
    """Return log(1 + D / v) and v / (v + D) of a register of -D / 2.

    What the sum 1 + D / v has lost is put back, so that the logarithm keeps its digits for a large
    v. It is infinite where D is.
    """
    ratio = half * (-2.0 * inverse)
    ratio = where_less(ratio, 0.0, 0.0, ratio)  # rounding of distances about an origin
    whole = ratio + 1.0
    share = 1.0 / whole
    length = log(whole) + (ratio - (whole - 1.0)) * share
    return where_less(whole, np.inf, length, np.inf), share


@inline
def write_densities(factors, densities):
    """Turn -D / 2 into log(weight_k t_k(x)), in place."""
    for k in range(factors.log_scale.size):
        inverse, power, scale = factors.inverses[k], factors.powers[k], factors.heights[k]
        for r in range(0, TILE, splat(densities, 0.0).width):
            half = load(densities, (k, r))
            if inverse > 0.0:
                length, _ = tail(half, inverse)
                store(densities, (k, r), fma(-power, length, scale))
            else:
                store(densities, (k, r), half + scale)


@subroutine
def write_densities_and_tails(factors, densities, lengths, shares):
    """Do the same, and keep the logarithms and v / (v + D)."""
    one = splat(densities, 1.0)
    for k in range(factors.log_scale.size):
        inverse, power, scale = factors.inverses[k], factors.powers[k], factors.heights[k]
        for r in range(0, TILE, one.width):
            half = load(densities, (k, r))
            if inverse > 0.0:
                length, share = tail(half, inverse)
                store(densities, (k, r), fma(-power, length, scale))
                store(lengths, (k, r), length)
                store(shares, (k, r), share)
            else:
                store(densities, (k, r), half + scale)
                store(lengths, (k, r), -2.0 * half)
                store(shares, (k, r), one)


@subroutine
def add_tails(factors, responsibilities, lengths, shares, out):
    """Add each component's three sums, and multiply responsibilities by u."""
    zero = splat(responsibilities, 0.0)
    for k in range(factors.log_scale.size):
        gain, is_normal = factors.gains[k], factors.inverses[k] == 0.0
        weight = first = second = zero
        for r in range(0, TILE, zero.width):
            responsibility, share = load(responsibilities, (k, r)), load(shares, (k, r))
            # 0 times a logarithm that is infinite is no number
            length = where_less(0.0, responsibility, load(lengths, (k, r)), 0.0)
            weight = weight + responsibility
            first = fma(responsibility, length, first)
            if is_normal:
                second = fma(responsibility * length, length, second)
            else:
                second = fma(responsibility * share, share, second)
            store(responsibilities, (k, r), responsibility * (share * gain))
        out[SUMS * k] += total(weight)
        out[SUMS * k + 1] += total(first)
        out[SUMS * k + 2] += total(second)


@inline
def log_densities_of_tails(tile, factors, scratch, out):
    """Write log(weight_k t_k(x)) into out[k, r], for every row x of the tile."""
    normal_densities(tile, factors, scratch, out)
    write_densities(factors, out)


@kernel
def tailed_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the moments of rows[start:stop], and after them the sums; return log-likelihood."""
    moments[:] = 0.0
    n_components, n_features = factors.log_scale.size, rows.shape[1]
    tile, scratch, densities, weights = divide(workspace, n_features, n_components)
    begin = 3 * n_features + n_components + 33
    lengths = tile_in(workspace, begin, n_components)
    shares = tile_in(workspace, begin + n_components, n_components)
    n_moments = moments.size - SUMS * n_components
    log_likelihood = 0.0
    for begin in range(start, stop, TILE):
        alike = load_weighted(rows, row_weights, begin, stop, factors.means, tile, weights)
        normal_densities(tile, factors, scratch, densities)
        write_densities_and_tails(factors, densities, lengths, shares)
        log_likelihood += normalise(n_components, densities, weights, alike)
        add_tails(factors, densities, lengths, shares, moments[n_moments:])
        add_moments(tile, densities, factors, scratch, moments[:n_moments])
    return log_likelihood


TAILS = extended("Tailed", FIELDS, log_densities_of_tails, 0, globals())
for _kind in TAILS.values():
    KERNELS[_kind] = tailed_slice
    SPARE[_kind] = 2  # arrays of pairs: the logarithms, and v / (v + D)
