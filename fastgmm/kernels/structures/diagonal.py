"""Diagonal structure: one variance per component and feature."""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import (
    add_quick_totals,
    add_totals,
    fma,
    fma_outer,
    join,
    load,
    load_rows,
    splat,
    splat_each,
    store,
    zeros,
)
from fastgmm.kernels.structures.common_origin import (
    LOSS,
    cancelled,
    centre,
    gaps,
    in_panels,
    middle,
)
from fastgmm.kernels.structures.triangular import no_sums
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


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features, rounded up to fours."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (K, P)
    means_low: np.ndarray  # (K, P) what float32 means leave out; zero in float64
    inverse_deviations: np.ndarray  # (K, P)
    origin: np.ndarray  # (2, P) the middle of the means, in two parts
    scales: np.ndarray  # (E / 4, P, 4) inverse deviations, E being K in whole fours
    shifts: np.ndarray  # (E / 4, P, 4) (origin - mean) / deviation
    about_origin: bool  # whether moments are taken about the origin

    def __reduce__(self):
        """Pickle only the fields that do not follow from others."""
        return arranged, (*self[:4], self.about_origin)


def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of log weights (K,), means (K, d) and inverse deviations (K, d), in float64."""
    n_features = means.shape[1]
    padded = whole(n_features, 4)
    half_log_det = np.log(precisions_cholesky).sum(axis=1)
    log_scale = log_weights + half_log_det - 0.5 * n_features * np.log(2 * np.pi)
    inverse_deviations = with_columns(precisions_cholesky, padded).astype(dtype)
    means, means_low = two_parts(with_columns(means, padded), dtype)
    made = arranged(log_scale.astype(dtype), means, means_low, inverse_deviations, True)
    far = np.square(made.shifts, dtype=np.float64).max()
    return made._replace(about_origin=bool(1 + far <= LOSS[np.dtype(dtype)]))


def arranged(log_scale, means, means_low, inverse_deviations, about_origin):
    """Add the fields that follow from the others, which need not travel to a worker."""
    exact = means.astype(np.float64) + means_low
    origin = middle(exact, means.dtype)
    shifts = -gaps(exact, origin) * inverse_deviations
    return Factors(
        log_scale,
        means,
        means_low,
        inverse_deviations,
        origin,
        in_panels(inverse_deviations, means.dtype),
        in_panels(shifts, means.dtype),
        about_origin,
    )


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
        if factors.about_origin:
            centre(tile, r, factors.origin)
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
            z = centred(load_group(tile, (j, r)), mean, mean_low) * factors.inverse_deviations[k, j]
            squares = fma(z, z, squares)
        store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))


@inline
def log_densities_about_origin(tile, r, factors, out):
    """Do the same for one group of columns, centred on the origin."""
    n_features = factors.means.shape[1]
    scales, shifts = factors.scales, factors.shifts
    for p in range(len(scales)):
        a, b, c, d = no_sums(tile)
        for j in range(n_features):
            x = load_group(tile, (j, r))
            a = add_square_of(fma(scales[p, j, 0], x, shifts[p, j, 0]), a)
            b = add_square_of(fma(scales[p, j, 1], x, shifts[p, j, 1]), b)
            c = add_square_of(fma(scales[p, j, 2], x, shifts[p, j, 2]), c)
            d = add_square_of(fma(scales[p, j, 3], x, shifts[p, j, 3]), d)
        store_density(out, 4 * p, r, factors, a)
        store_density(out, 4 * p + 1, r, factors, b)
        store_density(out, 4 * p + 2, r, factors, c)
        store_density(out, 4 * p + 3, r, factors, d)


@inline
def store_density(out, k, r, factors, squares):
    """Write the log density of a group, if there is such a component."""
    if k < factors.log_scale.size:
        store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))


@inline
def add_square_of(z, total):
    """Return z ** 2 + total."""
    return fma(z, z, total)


@inline
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add, for every k, responsibilities and their products with x - mean and its square.

    Where components lie near the origin, it is that in place of the mean.
    """
    if factors.about_origin:
        n_components, n_features = factors.means.shape
        add_moments_about_origin(tile, n_features, responsibilities, whole(n_components, 4), out)
        add_row_totals(
            responsibilities, n_components, out[whole(n_components, 4) * 2 * n_features :]
        )
    else:
        add_moments_about_means(tile, responsibilities, factors, out)


@inline
def add_moments_about_means(tile, responsibilities, factors, out):
    """Add responsibilities and their products with x - mean and its square."""
    n_components, n_features = factors.means.shape
    add_centred_moments(tile, responsibilities, factors.means, factors.means_low, out)
    add_row_totals(responsibilities, n_components, out[whole(n_components, 4) * 2 * n_features :])


@subroutine
def add_centred_moments(tile, responsibilities, means, means_low, out):
    """Add r (x - mean) of four features, then r (x - mean)**2 of the same four."""
    n_components, n_features = means.shape
    for k in range(n_components):
        for j in range(0, n_features, 4):
            mean, mean_low = splat_each(means[k], (j,), 4), splat_each(means_low[k], (j,), 4)
            first = second = zeros(tile, 4)
            for r in range(0, TILE, first.width):
                x = centred(load_rows(tile, j, r, 4), mean, mean_low)
                rx = load(responsibilities, (k, r)) * x
                first, second = first + rx, fma(rx, x, second)
            add_totals(out, (2 * (k * n_features + j),), join(first, second))


@subroutine
def add_moments_about_origin(tile, n_features, responsibilities, n_components, out):
    """Add r x and r x**2: sixteen sums for four components and two features."""
    block = 0
    for j in range(0, n_features, 2):
        for k in range(0, n_components, 4):
            sums = zeros(tile, 16)
            for r in range(0, TILE, sums.width):
                x = load_rows(tile, j, r, 2)
                sums = fma_outer(load_rows(responsibilities, k, r, 4), join(x, x * x), sums)
            add_quick_totals(out, (block,), sums)
            block += 16


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features = factors.means.shape
    return 6.0 * n_components * (n_features + 2)


def n_moments(factors):
    """Return the number of sums of add_moments."""
    n_components, n_features = factors.means.shape
    return 2 * whole(n_components, 4) * n_features + whole(n_components, 8)


def unpack_about_means(moments, factors, n_features):
    """Return the sums of add_moments_about_means: weight (K,), first (K, d), second (K, d)."""
    n_components, padded = factors.means.shape
    products = moments[: 2 * n_components * padded].reshape(n_components, -1, 2, 4)
    first = products[:, :, 0].reshape(n_components, padded)
    second = products[:, :, 1].reshape(n_components, padded)
    weight = moments[whole(n_components, 4) * 2 * padded :][:n_components]
    return weight, first[:, :n_features], second[:, :n_features]


def sums_about_origin(moments, factors):
    """Return the moments about the origin: weight (K,), first (K, P), second and gaps (K, P)."""
    n_components, padded = factors.means.shape
    size = 2 * whole(n_components, 4) * padded
    # (feature pairs, K / 4, 4, which moment, 2) to (which moment, K, features)
    blocks = moments[:size].reshape(padded // 2, -1, 2, 2).transpose(2, 1, 0, 3)
    first, second = blocks.reshape(2, -1, padded)[:, :n_components]
    means = factors.means.astype(np.float64) + factors.means_low
    return moments[size:][:n_components], first, second, gaps(means, factors.origin)


def unpack(moments, factors, n_features):
    """Return the moments about the means: weight (K,), first (K, d), second (K, d)."""
    if not factors.about_origin:
        return unpack_about_means(moments, factors, n_features)
    weight, sums, squares, gap = sums_about_origin(moments, factors)
    first = sums - weight[:, None] * gap
    return weight, first[:, :n_features], (squares - gap * (sums + first))[:, :n_features]


def cancels(moments, factors):
    """Tell whether moving the second moments to the means has cancelled too many digits."""
    if not factors.about_origin:
        return False
    weight, _, _, gap = sums_about_origin(moments, factors)
    return cancelled(unpack(moments, factors, None)[2], weight[:, None] * np.square(gap))
