"""Full structure: one covariance matrix per component."""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline
from fastgmm.kernels.simd.vectors import fma, splat, square_root, store
from fastgmm.kernels.structures import full_2d
from fastgmm.kernels.structures.triangular import (
    add_outer_products,
    from_triangle,
    panels_of,
    squared_lengths,
    triangle_size,
)
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    centred,
    load_group,
    narrow,
    two_parts,
    view_at,
)


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features, rounded up to fours."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (K, d)
    means_low: np.ndarray  # (K, d) what float32 means leave out; zero in float64
    panels: np.ndarray  # (K, P / 4, d, 4) U, where the precision is U U', in panels of four columns


def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of float64 parameters: log weights (K,), means (K, d), U (K, d, d)."""
    n_features = means.shape[1]
    kind = full_2d.Factors if n_features == 2 else Factors
    half_log_det = np.log(np.einsum("kii->ki", precisions_cholesky)).sum(axis=1)
    log_scale = log_weights + half_log_det - 0.5 * n_features * np.log(2 * np.pi)
    return kind(
        log_scale.astype(dtype), *two_parts(means, dtype), panels_of(precisions_cholesky, dtype)
    )


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    group = narrow(scratch)
    for k in range(len(factors.means)):
        log_densities_of(k, tile, TILE, factors, group, view_at(out, k * TILE, (TILE,)))


@inline
def log_densities_of(k, tile, n_columns, factors, group, out):
    """Do the same for one component and the first columns of a tile, in whole groups."""
    for r in range(0, n_columns, GROUP * splat(tile, 0.0).width):
        write_centred(k, tile, r, factors, group)
        squares = squared_lengths(factors.panels[k], group, 0)
        store(out, (r,), fma(-0.5, squares, factors.log_scale[k]))


@inline
def write_centred(k, tile, r, factors, group):
    """Write the group of columns that starts at r, less the mean of one component.

    As a part of its caller it let LLVM copy that four times: 1.2 of the time to compile.
    """
    for j in range(factors.means.shape[1]):
        mean, mean_low = factors.means[k, j], factors.means_low[k, j]
        store(group, (j, 0), centred(load_group(tile, (j, r)), mean, mean_low))


@inline
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add, for every k, the products of sqrt(responsibility) * (x - mean, 1) with themselves.

    The last of these features is the square root itself, so that one triangle of products holds the
    second moments, the first ones and the weight.
    """
    n_components = len(factors.means)
    size = out.size // n_components
    for k in range(n_components):
        its_responsibilities = view_at(responsibilities, k * TILE, (TILE,))
        its_moments = view_at(out, k * size, (size,))
        add_moments_of(k, tile, its_responsibilities, TILE, factors, scratch, its_moments)


@inline
def add_moments_of(k, tile, responsibilities, n_columns, factors, scratch, out):
    """Do the same for one component and the first columns of a tile, in whole groups."""
    n_features = factors.means.shape[1]
    for r in range(0, n_columns, GROUP * splat(tile, 0.0).width):
        root = square_root(load_group(responsibilities, (r,)))
        for j in range(n_features):
            mean, mean_low = factors.means[k, j], factors.means_low[k, j]
            x = centred(load_group(tile, (j, r)), mean, mean_low)
            store(scratch, (j, r), root * x)
        store(scratch, (n_features, r), root)
    add_outer_products(scratch, n_features + 1, n_columns, out)


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features = factors.means.shape
    return float(n_components * (n_features + 2) ** 2)


def n_moments(factors):
    """Return the number of sums of add_moments."""
    n_components, n_features = factors.means.shape
    return n_components * triangle_size(n_features + 1)


def unpack(moments, factors, n_features):
    """Return the moments about the means: weight (K,), first (K, d), second (K, d, d)."""
    products = from_triangle(moments.reshape(len(factors.means), -1), n_features + 1)
    return products[:, -1, -1], products[:, -1, :-1], products[:, :-1, :-1]


def cancels(moments, factors):
    """Return False: second moments are about the means, so nothing cancels."""
    return False
