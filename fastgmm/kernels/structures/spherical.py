"""Spherical structure: one variance per component."""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline
from fastgmm.kernels.simd.vectors import fma, splat, store, zeros
from fastgmm.kernels.structures import diagonal
from fastgmm.kernels.structures.common_origin import (
    LOSS,
    add_products,
    cancelled,
    centre,
    from_products,
    gaps,
    in_panels,
    middle,
    write_products,
)
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    centred,
    load_group,
    two_parts,
    whole,
    with_columns,
)


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features, rounded up to fours."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (K, P)
    means_low: np.ndarray  # (K, P) what float32 means leave out; zero in float64
    inverse_deviations: np.ndarray  # (K,)
    origin: np.ndarray  # (2, P) the middle of the means, in two parts
    panels: np.ndarray  # (E / 4, P, 4) means less the origin, E being K in whole fours
    squares: np.ndarray  # (K,) their squared lengths
    about_origin: bool  # whether moments are taken about the origin


def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of log weights (K,), means (K, d) and inverse deviations (K,), in float64."""
    n_features = means.shape[1]
    log_peaks = np.log(precisions_cholesky) - 0.5 * np.log(2 * np.pi)
    log_scale = log_weights + n_features * log_peaks
    means = with_columns(means, whole(n_features, 4))
    origin = middle(means, dtype)
    from_origin = gaps(means, origin)
    squares = np.square(from_origin).sum(axis=1)
    far = np.max(squares * np.square(precisions_cholesky))
    return Factors(
        log_scale.astype(dtype),
        *two_parts(means, dtype),
        precisions_cholesky.astype(dtype),
        origin,
        in_panels(from_origin, dtype),
        squares.astype(dtype),
        bool(1 + far / n_features <= LOSS[np.dtype(dtype)]),
    )


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
        if factors.about_origin:
            log_densities_about_origin(tile, r, factors, out)
        else:
            log_densities_about_means(tile, r, factors, out)


@inline
def log_densities_about_means(tile, r, factors, out):
    """Do the same for one group of columns, centred on each mean."""
    n_components, n_features = factors.means.shape
    for k in range(n_components):
        squares = zeros(tile, GROUP)
        for j in range(n_features):
            mean, mean_low = factors.means[k, j], factors.means_low[k, j]
            gap = centred(load_group(tile, (j, r)), mean, mean_low)
            squares = fma(gap, gap, squares)
        store_density(out, k, r, factors, squares)


@inline
def log_densities_about_origin(tile, r, factors, out):
    """Do the same by |x - m|^2 = |x|^2 - 2 x m + |m|^2; leave x, 1 and |x|^2 in the tile."""
    n_features = factors.means.shape[1]
    centre(tile, r, factors.origin)
    lengths = zeros(tile, GROUP)
    for j in range(n_features):
        x = load_group(tile, (j, r))
        lengths = fma(x, x, lengths)
    store(tile, (n_features, r), zeros(tile, GROUP) + 1.0)
    store(tile, (n_features + 1, r), lengths)
    write_products(factors.panels, tile, r, out)
    for k in range(factors.log_scale.size):
        squares = fma(-2.0, load_group(out, (k, r)), lengths) + factors.squares[k]
        store_density(out, k, r, factors, squares)


@inline
def store_density(out, k, r, factors, squares):
    """Write the log density of a group, from its squared distances to a mean."""
    scale = factors.inverse_deviations[k]
    store(out, (k, r), fma(-0.5, (squares * scale) * scale, factors.log_scale[k]))


@inline
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add weights, first moments and squares: about the origin, or feature by feature."""
    if factors.about_origin:
        n_components, n_features = factors.means.shape
        add_products(responsibilities, whole(n_components, 4), tile, n_features + 4, out)
    else:
        diagonal.add_moments_about_means(tile, responsibilities, factors, out)


n_moments = diagonal.n_moments
row_operations = diagonal.row_operations


def sums_about_origin(moments, factors):
    """Return the moments about the origin: weight (K,), first (K, P), squares (K,), gaps (K, P)."""
    n_components, padded = factors.means.shape
    products = from_products(moments, whole(n_components, 4), padded + 4)[:n_components]
    means = factors.means.astype(np.float64) + factors.means_low
    weight, squares = products[:, padded], products[:, padded + 1]
    return weight, products[:, :padded], squares, gaps(means, factors.origin)


def unpack(moments, factors, n_features):
    """Return the moments about the means: weight (K,), first (K, d), second (K,)."""
    if factors.about_origin:
        weight, sums, squares, gap = sums_about_origin(moments, factors)
        first = sums - weight[:, None] * gap
        return weight, first[:, :n_features], squares - (gap * (sums + first)).sum(axis=1)
    weight, first, second = diagonal.unpack_about_means(moments, factors, n_features)
    return weight, first, second.sum(axis=1)


def cancels(moments, factors):
    """Tell whether moving the second moments to the means has cancelled too many digits."""
    if not factors.about_origin:
        return False
    weight, _, _, gap = sums_about_origin(moments, factors)
    return cancelled(unpack(moments, factors, None)[2], weight * np.square(gap).sum(axis=1))
