"""Diagonal structure: one variance for each component and feature."""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, step
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    add_row_totals,
    add_squares,
    centred_group,
    log_density_group,
    no_group,
    store_group,
    two_parts,
    whole,
    with_columns,
)
from fastgmm.kernels.vectors import add_totals, fma, load, splat


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features in whole groups of four."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (K, P)
    means_low: np.ndarray  # (K, P) what float32 means leave out; zero in float64
    inverse_deviations: np.ndarray  # (K, P)


def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of log weights (K,), means (K, d) and inverse deviations (K, d), in float64."""
    n_features = means.shape[1]
    padded = whole(n_features, 4)
    half_log_det = np.log(precisions_cholesky).sum(axis=1)
    log_scale = log_weights + half_log_det - 0.5 * n_features * np.log(2 * np.pi)
    inverse_deviations = with_columns(precisions_cholesky, padded).astype(dtype)
    means = with_columns(means, padded)
    return Factors(log_scale.astype(dtype), *two_parts(means, dtype), inverse_deviations)


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    n_components, n_features = factors.means.shape
    for k in range(n_components):
        for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
            squares = no_group(tile)
            for j in range(n_features):
                a, b, c = centred_group(tile, j, r, factors.means[k, j], factors.means_low[k, j])
                scale = factors.inverse_deviations[k, j]
                squares = add_squares(squares, (a * scale, b * scale, c * scale))
            store_group(out, k, r, log_density_group(factors.log_scale[k], squares))


@inline
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add, for every k, responsibilities and their products with x - mean and its square."""
    n_components, n_features = factors.means.shape
    add_centred_moments(tile, responsibilities, factors.means, factors.means_low, out)
    add_row_totals(responsibilities, n_components, out[2 * n_components * n_features :])


@inline
def centred(tile, j, r, mean, mean_low):
    """Return one register of feature j less its mean."""
    return (load(tile, (j, r)) - mean) - mean_low


@step
def add_centred_moments(tile, responsibilities, means, means_low, out):
    """Add r (x - mean) and r (x - mean)**2, four features of the one, then of the other."""
    n_components, n_features = means.shape
    zero = splat(tile, 0.0)
    block = 0
    for k in range(n_components):
        for j in range(0, n_features, 4):
            a = b = c = d = aa = bb = cc = dd = zero
            for r in range(0, TILE, zero.width):
                share = load(responsibilities, (k, r))
                x = centred(tile, j, r, means[k, j], means_low[k, j])
                rx = share * x
                a, aa = a + rx, fma(rx, x, aa)
                x = centred(tile, j + 1, r, means[k, j + 1], means_low[k, j + 1])
                rx = share * x
                b, bb = b + rx, fma(rx, x, bb)
                x = centred(tile, j + 2, r, means[k, j + 2], means_low[k, j + 2])
                rx = share * x
                c, cc = c + rx, fma(rx, x, cc)
                x = centred(tile, j + 3, r, means[k, j + 3], means_low[k, j + 3])
                rx = share * x
                d, dd = d + rx, fma(rx, x, dd)
            add_totals(out, (block,), (a, b, c, d, aa, bb, cc, dd))
            block += 8


def row_operations(factors):
    """Estimate the multiply-adds that a row costs, exponentials included."""
    n_components, n_features = factors.means.shape
    return 6.0 * n_components * (n_features + 2)


def n_moments(factors):
    """Count the numbers that add_moments adds to."""
    n_components, n_features = factors.means.shape
    return 2 * n_components * n_features + whole(n_components, 8)


def unpack(moments, factors, n_features):
    """Name the sums that add_moments left: weight (K,), first (K, d), second (K, d)."""
    n_components, padded = factors.means.shape
    products = moments[: 2 * n_components * padded].reshape(n_components, -1, 2, 4)
    first = products[:, :, 0].reshape(n_components, padded)
    second = products[:, :, 1].reshape(n_components, padded)
    weight = moments[2 * n_components * padded :][:n_components]
    return weight, first[:, :n_features], second[:, :n_features]
