"""Factored structure: A A' + D for each component, A of d x q loadings, D a diagonal.

With M = 1 + A' D^-1 A, a row x less the mean has the factors z = M^-1 A' D^-1 x on average, and
leaves the residual x - A z. Its squared distance is that of the residual under D, plus |z|^2: a sum
of squares, in which nothing cancels. No matrix of d x d is made anywhere.

The same distance is |y|^2 - |u|^2, with y = D^-1/2 x and u = M^-1/2 A' D^-1 x, at half the price.
It loses the digits of the largest eigenvalue of M, and so it is taken of components, four at a
time, where that costs fewer than four of sixteen; never in float32.

Sums are those of z, of residuals, and of their products: per component (q + 1)(d + q + 1) numbers
and d squares. The moments of rows follow from them in float64, where the loadings cancel exactly.
Of components whose distances are differences, rows stand in the place of residuals.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import (
    add_quick_totals,
    add_totals,
    fma,
    fma_outer,
    load,
    load_rows,
    splat,
    store,
    zeros,
)
from fastgmm.kernels.structures.common_origin import centre, gaps, in_panels, middle
from fastgmm.kernels.structures.triangular import (
    add_feature,
    add_square,
    no_sums,
    store_four,
)
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    centred,
    load_group,
    narrow,
    two_parts,
    whole,
    with_columns,
)
from fastgmm.parallel.blas import one_blas_thread

# The largest eigenvalue of M, and the deviations of a mean from the common origin times its root,
# up to which distances are differences: log densities of a component's own rows err by some 5e-11.
LARGEST_GAIN = 1e4
FARTHEST = 3e4


class Factors(NamedTuple):
    """Parameters ready to multiply; P, E and Q are d, K and q, rounded up to fours."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (K, P)
    means_low: np.ndarray  # (K, P) what float32 means leave out; zero in float64
    inverse_deviations: np.ndarray  # (K, P) D^-1/2
    loadings: np.ndarray  # (K, P, q) A
    panels: np.ndarray  # (K, q // 4, P, 4) M^-1 A' D^-1, four factors at a time
    singles: np.ndarray  # (K, q % 4, P) the same of those that are left
    origin: np.ndarray  # (2, P) the middle of the means, in two parts
    about_origin: bool  # whether tiles are centred on it
    gaps: np.ndarray  # (2, K, P) means of rows in a tile, in two parts
    is_near: np.ndarray  # (K,) whether distances are differences
    near: np.ndarray  # components of which they are, in whole fours: -1 for none
    others: np.ndarray  # the other components
    scales: np.ndarray  # (N / 4, P, 4) D^-1/2 of near components
    shifts: np.ndarray  # (N / 4, P, 4) D^-1/2 (origin - mean)
    directions: np.ndarray  # (N / 4, q, P, 4) D^-1 A M^-1/2, factor by factor
    offsets: np.ndarray  # (N / 4, q, 4) those times origin - mean


@one_blas_thread()
def factors(log_weights, means, whitened, dtype):
    """Make Factors of float64 parameters: log weights (K,), means (K, d), and (K, d, q + 1).

    These hold D^-1/2 A, and in the last column the diagonal of D^-1/2.
    """
    n_features = means.shape[1]
    padded, dtype = whole(n_features, 4), np.dtype(dtype)
    scaled, inverse_deviations = whitened[..., :-1], whitened[..., -1]
    gains, axes = np.linalg.eigh(scaled.swapaxes(1, 2) @ scaled)
    gains = 1.0 + np.maximum(gains, 0.0)
    half_log_det = np.log(inverse_deviations).sum(axis=1) - 0.5 * np.log(gains).sum(axis=1)
    log_scale = log_weights + half_log_det - 0.5 * n_features * np.log(2 * np.pi)
    turned = scaled @ axes
    projections = ((turned / gains[:, None]) @ axes.swapaxes(1, 2)) * inverse_deviations[..., None]
    directions = (turned / np.sqrt(gains)[:, None]) * inverse_deviations[..., None]
    loadings = scaled / inverse_deviations[..., None]
    means = with_columns(means, padded)
    origin = middle(means, dtype)
    apart = gaps(means, origin)
    scales = with_columns(inverse_deviations, padded)
    shifts = -apart * scales
    offsets = -np.einsum("kjf,kj->kf", directions, apart[:, :n_features])
    gain = gains.max(axis=1)
    far = np.abs(shifts).max(axis=1) * np.sqrt(gain)
    is_near = (far <= FARTHEST) & (gain <= LARGEST_GAIN) & (dtype == np.float64)
    near, about_origin = np.flatnonzero(is_near), bool(is_near.any())
    n_panels = projections.shape[2] // 4
    projections = _rows_padded(projections, padded)
    return Factors(
        log_scale.astype(dtype),
        *two_parts(means, dtype),
        scales.astype(dtype),
        _rows_padded(loadings, padded).astype(dtype, order="C"),
        _panels_of_factors(projections[..., : 4 * n_panels], dtype),
        projections[..., 4 * n_panels :].swapaxes(1, 2).astype(dtype, order="C"),
        origin,
        about_origin,
        np.stack(two_parts(apart if about_origin else means, dtype)),
        is_near,
        np.append(near, np.full(-len(near) % 4, -1)),
        np.flatnonzero(~is_near),
        in_panels(scales[near], dtype),
        in_panels(shifts[near], dtype),
        _panels_of_components(_rows_padded(directions[near], padded), dtype),
        in_panels(offsets[near], dtype),
    )


def _rows_padded(values, padded):
    """Pad the features of (K, d, q) with zeros."""
    return with_columns(values.swapaxes(1, 2), padded).swapaxes(1, 2)


def _panels_of_factors(values, dtype):
    """Cut the columns of (K, P, q), which are whole fours, into panels, (K, q / 4, P, 4)."""
    n_components, padded, n_factors = values.shape
    panels = values.reshape(n_components, padded, n_factors // 4, 4).swapaxes(1, 2)
    return panels.astype(dtype, order="C")


def _panels_of_components(values, dtype):
    """Lay four components of (K, P, q) side by side, (E / 4, q, P, 4)."""
    n_components, padded, n_factors = values.shape
    wide = np.zeros((whole(n_components, 4), padded, n_factors), dtype)
    wide[:n_components] = values
    return np.ascontiguousarray(wide.reshape(-1, 4, padded, n_factors).transpose(0, 3, 2, 1))


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    width = GROUP * splat(tile, 0.0).width
    if factors.about_origin:
        for r in range(0, TILE, width):
            centre(tile, r, factors.origin)
    for p in range(len(factors.scales)):
        for r in range(0, TILE, width):
            write_differences(p, tile, r, factors, out)
    group = narrow(scratch)
    for k in factors.others:
        for r in range(0, TILE, width):
            write_centred(tile, r, factors.gaps[0, k], factors.gaps[1, k], group)
            write_factors(k, group, 0, factors, 0)
            squares = squares_of_residuals(k, group, 0, factors)
            store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))


@inline
def write_differences(p, tile, r, factors, out):
    """Write the log densities of four components, by |y|^2 - |u|^2."""
    scales, shifts = factors.scales, factors.shifts
    a, b, c, d = no_sums(tile)
    for j in range(scales.shape[1]):
        x = load_group(tile, (j, r))
        a = plus_square(a, fma(scales[p, j, 0], x, shifts[p, j, 0]))
        b = plus_square(b, fma(scales[p, j, 1], x, shifts[p, j, 1]))
        c = plus_square(c, fma(scales[p, j, 2], x, shifts[p, j, 2]))
        d = plus_square(d, fma(scales[p, j, 3], x, shifts[p, j, 3]))
    directions, offsets = factors.directions[p], factors.offsets[p]
    for f in range(directions.shape[0]):
        sums = no_sums(tile)
        for j in range(directions.shape[1]):
            sums = add_feature(directions, f, j, load_group(tile, (j, r)), sums)
        a = less_square(a, sums[0] + offsets[f, 0])
        b = less_square(b, sums[1] + offsets[f, 1])
        c = less_square(c, sums[2] + offsets[f, 2])
        d = less_square(d, sums[3] + offsets[f, 3])
    store_density(out, factors.near[4 * p], r, factors, a)
    store_density(out, factors.near[4 * p + 1], r, factors, b)
    store_density(out, factors.near[4 * p + 2], r, factors, c)
    store_density(out, factors.near[4 * p + 3], r, factors, d)


@inline
def plus_square(total, z):
    """Return total + z ** 2."""
    return fma(z, z, total)


@inline
def less_square(total, z):
    """Return total - z ** 2."""
    return total - z * z


@inline
def store_density(out, k, r, factors, squares):
    """Write the log density of a group, if there is such a component."""
    if k >= 0:
        store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))


@inline
def write_centred(tile, r, mean, mean_low, group):
    """Write the group of columns that starts at r, less a mean."""
    for j in range(mean.size):
        store(group, (j, 0), centred(load_group(tile, (j, r)), mean[j], mean_low[j]))


@inline
def write_centred_and_factors(k, tile, mean, mean_low, rows, r, factors):
    """Write a group of columns less a mean, and the first four of z if so many are; count panels.

    Both at once, since columns do not stay in the nearest cache: of 64 features and five factors,
    all moments of a pair of row and component took 33.9 ns before and 31.3 so.
    """
    panels = factors.panels[k]
    if not len(panels):
        for j in range(mean.size):
            store(rows, (j, r), centred(load_group(tile, (j, r)), mean[j], mean_low[j]))
        return 0
    sums = no_sums(tile)
    for j in range(mean.size):
        x = centred(load_group(tile, (j, r)), mean[j], mean_low[j])
        store(rows, (j, r), x)
        sums = add_feature(panels, 0, j, x, sums)
    store_four(rows, mean.size, r, sums)
    return 1


@inline
def write_factors(k, rows, r, factors, begun):
    """Write z of a group of centred columns after their features, but for the panels begun."""
    panels, singles = factors.panels[k], factors.singles[k]
    n_features = singles.shape[1]
    for p in range(begun, len(panels)):
        sums = no_sums(rows)
        for j in range(n_features):
            sums = add_feature(panels, p, j, load_group(rows, (j, r)), sums)
        store_four(rows, n_features + 4 * p, r, sums)
    for f in range(len(singles)):
        a, b, c, d = no_sums(rows)  # one sum would wait for itself
        for j in range(0, n_features, 4):
            a = fma(singles[f, j], load_group(rows, (j, r)), a)
            b = fma(singles[f, j + 1], load_group(rows, (j + 1, r)), b)
            c = fma(singles[f, j + 2], load_group(rows, (j + 2, r)), c)
            d = fma(singles[f, j + 3], load_group(rows, (j + 3, r)), d)
        store(rows, (n_features + 4 * len(panels) + f, r), (a + b) + (c + d))


@inline
def squares_of_residuals(k, rows, r, factors):
    """Turn a group of centred columns, after which z stands, into residuals; return distances."""
    n_features, n_factors = factors.loadings.shape[1:]
    squares = zeros(rows, GROUP)
    for f in range(n_factors):
        squares = plus_square(squares, load_group(rows, (n_features + f, r)))
    for j in range(n_features):
        x = load_group(rows, (j, r))
        for f in range(n_factors):
            z = load_group(rows, (n_features + f, r))
            x = fma(-factors.loadings[k, j, f], z, x)
        store(rows, (j, r), x)
        squares = plus_square(squares, x * factors.inverse_deviations[k, j])
    return squares


@subroutine
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add, for every k, the products of r (1, z) with (residual, z, 1), and r residual^2."""
    n_components = factors.log_scale.size
    size = out.size // n_components
    for k in range(n_components):
        mean, mean_low = factors.gaps[0, k], factors.gaps[1, k]
        own, sums = responsibilities[k], out[k * size : (k + 1) * size]
        add_moments_of(k, tile, own, TILE, mean, mean_low, factors, scratch, sums)


@subroutine
def add_moments_of(k, tile, responsibilities, n_columns, mean, mean_low, factors, scratch, out):
    """Do the same for one component and the first columns of a tile, in whole groups."""
    n_features, n_factors = factors.loadings.shape[1:]
    n_right, n_left = sizes(n_features, n_factors)
    rows, left = scratch[:n_right], scratch[n_right : n_right + n_left]
    one = splat(tile, 1.0)
    for r in range(0, n_columns, GROUP * one.width):
        begun = write_centred_and_factors(k, tile, mean, mean_low, rows, r, factors)
        write_factors(k, rows, r, factors, begun)
        if not factors.is_near[k]:
            squares_of_residuals(k, rows, r, factors)
        responsibility = load_group(responsibilities, (r,))
        store(left, (0, r), responsibility)
        for f in range(n_factors):
            z = load_group(rows, (n_features + f, r))
            store(left, (1 + f, r), responsibility * z)
    for r in range(0, n_columns, one.width):
        store(rows, (n_features + n_factors, r), one)
    begin = 0
    for j in range(0, n_right, 4):
        # of rows in the place of residuals, z is not multiplied by z: only r by one is left
        is_asked_for = j < n_features or not factors.is_near[k]
        for i in range(0, n_left, 4):
            if is_asked_for or (i == 0 and j + 4 == n_right):
                if i + 2 > n_factors:
                    add_oblong(left, i, rows, j, n_columns, out, begin)
                else:
                    add_square(left, i, rows, j, n_columns, out, begin)
            begin += 16
    for j in range(0, n_features, 8):
        squares = zeros(tile, 8)  # perhaps with four of z, which are left alone
        for r in range(0, n_columns, squares.width):
            x = load_rows(rows, j, r, 8)
            squares = fma(load(left, (0, r)) * x, x, squares)
        add_totals(out, (begin + j,), squares)


@inline
def add_oblong(left, i, right, j, n_columns, out, begin):
    """Add the products of rows i, i + 1 of one tile with j..j+3 of another to eight numbers."""
    sums = zeros(left, 8)
    for r in range(0, n_columns, sums.width):
        sums = fma_outer(load_rows(left, i, r, 2), load_rows(right, j, r, 4), sums)
    add_quick_totals(out, (begin,), sums)


@inline
def sizes(n_features, n_factors):
    """Return how many rows are multiplied, of residuals, z and ones, and how many by them."""
    return whole(n_features + n_factors + 1, 4), whole(n_factors + 1, 4)


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features, n_factors = factors.loadings.shape
    return float(2 * n_components * (n_features + 2) * (n_factors + 3))


def n_moments(factors):
    """Return the number of sums of add_moments."""
    n_components, n_features, n_factors = factors.loadings.shape
    n_right = whole(n_features + n_factors + 1, 4)
    return n_components * (n_right * whole(n_factors + 1, 4) + whole(n_features, 8))


def projections(factors, n_features):
    """Return M^-1 A' D^-1, (K, q, d), as the kernel has it."""
    n_components, padded, _ = factors.loadings.shape
    fours = factors.panels.transpose(0, 1, 3, 2).reshape(n_components, -1, padded)
    found = np.concatenate([fours, factors.singles], axis=1)
    return found[..., :n_features].astype(np.float64)


@one_blas_thread()
def unpack(moments, factors, n_features):
    """Return the moments about the means: weight (K,), first (K, d), second (K, d, q + 1).

    The second are summed products r x x', times the transposed projections, and their diagonal.
    """
    n_components, padded, n_factors = factors.loadings.shape
    n_right, n_left = whole(padded + n_factors + 1, 4), whole(n_factors + 1, 4)
    each = moments.reshape(n_components, -1)
    blocks = each[:, : n_right * n_left].reshape(n_components, n_right // 4, n_left // 4, 4, 4)
    products = blocks.transpose(0, 1, 4, 2, 3).reshape(n_components, n_right, n_left)
    loadings = factors.loadings[:, :n_features].astype(np.float64)
    loadings[factors.is_near] = 0.0  # no residuals were taken
    residuals, of_factors = products[:, :n_features], products[:, padded : padded + n_factors]
    mixed, scatter = residuals[..., 1 : 1 + n_factors], of_factors[..., 1 : 1 + n_factors]
    seen = loadings @ scatter
    second = np.empty((n_components, n_features, n_factors + 1))
    second[..., :-1] = mixed + seen
    squares = each[:, n_right * n_left :][:, :n_features]
    second[..., -1] = squares + (loadings * (2.0 * mixed + seen)).sum(axis=-1)
    first = residuals[..., 0] + (loadings @ of_factors[..., :1])[..., 0]
    return products[:, padded + n_factors, 0], first, second


def cancels(moments, factors):
    """Return False: second moments are about the means, so nothing cancels."""
    return False
