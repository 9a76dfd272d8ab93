"""Spherical structure: one variance for each component."""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels import diagonal
from fastgmm.kernels.jit import inline
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    add_squares,
    centred_group,
    log_density_group,
    no_group,
    store_group,
    two_parts,
    whole,
    with_columns,
)
from fastgmm.kernels.vectors import splat


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features in whole groups of four."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (K, P)
    means_low: np.ndarray  # (K, P) what float32 means leave out; zero in float64
    inverse_deviations: np.ndarray  # (K,)


def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of log weights (K,), means (K, d) and inverse deviations (K,), in float64."""
    n_features = means.shape[1]
    log_peaks = np.log(precisions_cholesky) - 0.5 * np.log(2 * np.pi)
    log_scale = log_weights + n_features * log_peaks
    means = with_columns(means, whole(n_features, 4))
    return Factors(
        log_scale.astype(dtype), *two_parts(means, dtype), precisions_cholesky.astype(dtype)
    )


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    n_components, n_features = factors.means.shape
    for k in range(n_components):
        scale = factors.inverse_deviations[k]
        for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
            squares = no_group(tile)
            for j in range(n_features):
                centred = centred_group(tile, j, r, factors.means[k, j], factors.means_low[k, j])
                squares = add_squares(squares, centred)
            a, b, c = squares
            squares = (a * scale) * scale, (b * scale) * scale, (c * scale) * scale
            store_group(out, k, r, log_density_group(factors.log_scale[k], squares))


add_moments = diagonal.add_moments
n_moments = diagonal.n_moments
row_operations = diagonal.row_operations


def unpack(moments, factors, n_features):
    """Name the sums that add_moments left: weight (K,), first (K, d), second (K,)."""
    weight, first, second = diagonal.unpack(moments, factors, n_features)
    return weight, first, second.sum(axis=1)
