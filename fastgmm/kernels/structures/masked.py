"""Spherical and diagonal structure where rows lack values: NaN is a value that is not there.

Features are independent, so a row's density is the product over those that are observed, and a mask
of them is all that it takes. A missing value is expected at the mean, and adds its variance.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import (
    add_totals,
    fma,
    join,
    load,
    load_rows,
    splat,
    splat_each,
    store,
    zeros,
)
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    add_row_totals,
    centred,
    load_group,
    two_parts,
    whole,
    with_columns,
)

HALF_LOG_TWO_PI = 0.5 * np.log(2 * np.pi)


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features, rounded up to fours."""

    log_scale: np.ndarray  # (K,) log weight
    means: np.ndarray  # (K, P)
    means_low: np.ndarray  # (K, P) what float32 means leave out; zero in float64
    inverse_deviations: np.ndarray  # (K, P)
    log_peaks: np.ndarray  # (K, P) log density of a feature at its mean
    variances: np.ndarray  # (K, P) float64, what a missing value adds


def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of log weights (K,), means (K, d) and inverse deviations, (K, d) or (K,)."""
    n_features = means.shape[1]
    deviations = precisions_cholesky
    if deviations.ndim == 1:
        deviations = deviations[:, None]
    deviations = np.broadcast_to(deviations, means.shape)
    padded = whole(n_features, 4)
    peaks = np.log(deviations) - HALF_LOG_TWO_PI
    return Factors(
        log_weights.astype(dtype),
        *two_parts(with_columns(means, padded), dtype),
        with_columns(deviations, padded).astype(dtype),
        with_columns(peaks, padded).astype(dtype),
        with_columns(deviations**-2.0, padded),
    )


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) of what is observed into out[k, r], for every row of the tile.

    Missing values become 0 in the tile, and its mask stays in the scratch for the moments.
    """
    n_components, n_features = factors.means.shape
    hide_missing(tile, n_features, scratch)
    for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
        for k in range(n_components):
            squares = peaks = zeros(tile, GROUP)
            for j in range(n_features):
                seen = load_group(scratch, (j, r))
                mean, mean_low = factors.means[k, j], factors.means_low[k, j]
                apart = centred(load_group(tile, (j, r)), mean, mean_low)
                z = apart * factors.inverse_deviations[k, j] * seen
                squares = fma(z, z, squares)
                peaks = fma(factors.log_peaks[k, j], seen, peaks)
            store(out, (k, r), fma(-0.5, squares, peaks + factors.log_scale[k]))


@subroutine
def hide_missing(tile, n_features, mask):
    """Replace missing values by 0, and write 1 to the mask where one is observed, else 0."""
    for j in range(n_features):
        for r in range(TILE):
            value = tile[j, r]
            if value == value:
                mask[j, r] = 1.0
            else:
                mask[j, r] = 0.0
                tile[j, r] = 0.0


@subroutine
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add r (x - mean), r (x - mean)**2 and r of four features, where they are observed."""
    n_components, n_features = factors.means.shape
    for k in range(n_components):
        for j in range(0, n_features, 4):
            mean = splat_each(factors.means[k], (j,), 4)
            mean_low = splat_each(factors.means_low[k], (j,), 4)
            first = second = weight = zeros(tile, 4)
            for r in range(0, TILE, first.width):
                x = centred(load_rows(tile, j, r, 4), mean, mean_low)
                seen = load(responsibilities, (k, r)) * load_rows(scratch, j, r, 4)
                rx = seen * x
                first, second, weight = first + rx, fma(rx, x, second), weight + seen
            sums = join(join(first, second), join(weight, zeros(tile, 4)))
            add_totals(out, (4 * (k * n_features + j),), sums)
    add_row_totals(responsibilities, n_components, out[4 * n_components * n_features :])


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features = factors.means.shape
    return 10.0 * n_components * (n_features + 2)


def n_moments(factors):
    """Return the number of sums of add_moments."""
    n_components, n_features = factors.means.shape
    return 4 * n_components * n_features + whole(n_components, 8)


def unpack(moments, factors, n_features):
    """Return the expected moments about the means: weight (K,), first and second (K, d)."""
    n_components, padded = factors.means.shape
    size = 4 * n_components * padded
    sums = moments[:size].reshape(n_components, -1, 4, 4).transpose(2, 0, 1, 3)
    first, second, seen, _ = sums.reshape(4, n_components, padded)[:, :, :n_features]
    weight = moments[size:][:n_components]
    missing = np.maximum(weight[:, None] - seen, 0.0)
    return weight, first, second + missing * factors.variances[:, :n_features]


def cancels(moments, factors):
    """Return False: second moments are about the means, so nothing cancels."""
    return False
