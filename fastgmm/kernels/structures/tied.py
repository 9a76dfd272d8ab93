"""Tied structure: one covariance matrix for all components.

Rows are whitened once, not once per component, and the scatter within components is summed once per
row:

    sum_k r_k (x - m_k)(x - m_k)' = (x - c)(x - c)' + sum_{k<l} r_k r_l (m_k - m_l)(m_k - m_l)',   c
    = sum_k r_k m_k

so a pass costs d^2 + K d + K^2 / 2 per row, instead of K d^2. Both terms are sums of squares, so
nothing cancels, as it would in the difference of two scatters.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import (
    add_in_order,
    add_totals,
    fma,
    load,
    load_rows,
    splat,
    splat_each,
    square_root,
    store,
    where_less,
    zeros,
)
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
from fastgmm.kernels.structures.triangular import (
    add_outer_products,
    from_triangle,
    panels_of,
    squared_lengths,
    transform,
    triangle_size,
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
from fastgmm.parallel.blas import one_blas_thread

# Beyond this many deviations between components, whitening once would lose more than two of sixteen
# digits (one of seven in float32), and every component whitens its own centred rows.
FAR = {np.dtype(np.float64): 300.0, np.dtype(np.float32): 30.0}


class Factors(NamedTuple):
    """Parameters ready to multiply; P is the number of features, rounded up to fours."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2
    means: np.ndarray  # (E, P), E being K in whole groups of eight
    means_low: np.ndarray  # (E, P) what float32 means leave out; zero in float64
    panels: np.ndarray  # (P / 4, P, 4) U, where the precision is U U', in panels of four columns
    whitened: np.ndarray  # (K, P) U' (mean - origin)
    origin: np.ndarray  # (2, P) the middle of the means, in two parts
    far: bool  # components so far apart that each needs its own centred rows
    squares: np.ndarray  # (K,) squared lengths of whitened means
    directions: np.ndarray  # (E / 4, P, 4) whitened means in panels
    about_origin: bool  # whether moments are taken about the origin


@one_blas_thread()
def factors(log_weights, means, precisions_cholesky, dtype):
    """Make Factors of float64 parameters: log weights (K,), means (K, d), U (d, d)."""
    n_features = means.shape[1]
    padded = whole(n_features, 4)
    upper = np.zeros((padded, padded))
    upper[:n_features, :n_features] = precisions_cholesky
    means = with_columns(means, padded)
    origin = middle(means, dtype)
    from_origin = gaps(means, origin)
    whitened = from_origin @ upper
    squares = np.square(whitened).sum(axis=1)
    variances = np.square(np.linalg.inv(precisions_cholesky)).sum(axis=0)
    apart = (np.square(from_origin[:, :n_features]) / variances).max()
    means = np.pad(means, [(0, whole(len(means), 8) - len(means)), (0, 0)])
    half_log_det = np.log(np.diagonal(precisions_cholesky)).sum()
    log_scale = log_weights + half_log_det - 0.5 * n_features * np.log(2 * np.pi)
    return Factors(
        log_scale.astype(dtype),
        *two_parts(means, dtype),
        panels_of(upper, dtype),
        whitened.astype(dtype),
        origin,
        bool(np.abs(whitened).max() > FAR[np.dtype(dtype)]),
        squares.astype(dtype),
        in_panels(whitened, dtype),
        bool(1 + max(apart, squares.max() / n_features) <= LOSS[np.dtype(dtype)]),
    )


@inline
def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""
    n_components, n_features = factors.whitened.shape
    for r in range(0, TILE, GROUP * splat(tile, 0.0).width):
        if factors.about_origin:
            centre(tile, r, factors.origin)
            transform(factors.panels, tile, r, scratch)
            log_densities_about_origin(scratch, r, factors, out)
        elif factors.far:
            for k in range(n_components):
                for j in range(n_features):
                    mean, mean_low = factors.means[k, j], factors.means_low[k, j]
                    store(scratch, (j, r), centred(load_group(tile, (j, r)), mean, mean_low))
                squares = squared_lengths(factors.panels, scratch, r)
                store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))
        else:
            for j in range(n_features):
                mean, mean_low = factors.origin[0, j], factors.origin[1, j]
                x = centred(load_group(tile, (j, r)), mean, mean_low)
                store(scratch, (n_features + j, r), x)
            transform(factors.panels, scratch[n_features:], r, scratch)
            for k in range(n_components):
                squares = zeros(tile, GROUP)
                for j in range(n_features):
                    gap = load_group(scratch, (j, r)) - factors.whitened[k, j]
                    squares = fma(gap, gap, squares)
                store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))


@inline
def log_densities_about_origin(whitened, r, factors, out):
    """Do the same by |w - v|^2 = |w|^2 - 2 w v + |v|^2, for a group of whitened columns."""
    lengths = zeros(whitened, GROUP)
    for j in range(factors.whitened.shape[1]):
        w = load_group(whitened, (j, r))
        lengths = fma(w, w, lengths)
    write_products(factors.directions, whitened, r, out)
    for k in range(factors.log_scale.size):
        squares = fma(-2.0, load_group(out, (k, r)), lengths) + factors.squares[k]
        store(out, (k, r), fma(-0.5, squares, factors.log_scale[k]))


@inline
def add_moments(tile, responsibilities, factors, scratch, out):
    """Add weights, first moments and products of rows: about the origin, or about c.

    About c, products of responsibilities follow.
    """
    n_components, n_features = factors.whitened.shape
    first, products, pairs, _ = sections(n_components, n_features)
    add_row_totals(responsibilities, n_components, out[:first])
    if factors.about_origin:
        n_sums = whole(n_components, 4)
        add_products(responsibilities, n_sums, tile, n_features, out[first:products])
        multiply_by_root_weight(responsibilities, n_components, tile, n_features)
        add_outer_products(tile, n_features, TILE, out[products:pairs])
    else:
        add_first_moments(tile, responsibilities, factors, scratch, out[first:products])
        divide_by_root_weight(responsibilities, n_components, scratch, n_features)
        add_outer_products(scratch, n_features, TILE, out[products:pairs])
        add_outer_products(responsibilities, n_components, TILE, out[pairs:])


@inline
def sections(n_components, n_features):
    """Return where first moments, products of rows and of responsibilities start, and the end."""
    first = whole(n_components, 8)
    products = first * (1 + n_features)
    pairs = products + triangle_size(n_features)
    return first, products, pairs, pairs + triangle_size(n_components)


@subroutine
def add_first_moments(tile, responsibilities, factors, scratch, out):
    """Add r (x - mean_k) to out[j, k], and write its sum over k into scratch[j]."""
    eights, n_features = factors.means.shape
    zero = splat(tile, 0.0)
    for j in range(n_features):
        for r in range(0, TILE, zero.width):
            store(scratch, (j, r), zero)
        for k in range(0, eights, 8):
            means = splat_each(factors.means, (k, j), 8)
            means_low = splat_each(factors.means_low, (k, j), 8)
            sums = zeros(tile, 8)
            for r in range(0, TILE, zero.width):
                gaps_to_means = centred(load(tile, (j, r)), means, means_low)
                products = load_rows(responsibilities, k, r, 8) * gaps_to_means
                sums = sums + products
                store(scratch, (j, r), add_in_order(load(scratch, (j, r)), products))
            add_totals(out, (j * eights + k,), sums)


@subroutine
def multiply_by_root_weight(responsibilities, n_components, tile, n_features):
    """Multiply rows by the square root of their weight."""
    zero = splat(tile, 0.0)
    for r in range(0, TILE, zero.width):
        weight = zero
        for k in range(n_components):
            weight = weight + load(responsibilities, (k, r))
        root = square_root(weight)
        for j in range(n_features):
            store(tile, (j, r), load(tile, (j, r)) * root)


@subroutine
def divide_by_root_weight(responsibilities, n_components, scratch, n_features):
    """Divide rows and responsibilities by the square root of their weight; 0 / 0 is 0."""
    zero = splat(scratch, 0.0)
    for r in range(0, TILE, zero.width):
        weight = zero
        for k in range(n_components):
            weight = weight + load(responsibilities, (k, r))
        scale = where_less(zero, weight, 1.0 / square_root(weight), zero)
        for j in range(n_features):
            store(scratch, (j, r), load(scratch, (j, r)) * scale)
        for k in range(n_components):
            store(responsibilities, (k, r), load(responsibilities, (k, r)) * scale)


def row_operations(factors):
    """Estimate the multiply-adds per row, exponentials included."""
    n_components, n_features = factors.whitened.shape
    return float((n_features + 2) ** 2 + 4 * n_components * (n_features + n_components))


def n_moments(factors):
    """Return the number of sums of add_moments."""
    return sections(*factors.whitened.shape)[-1]


def sums_about_origin(moments, factors):
    """Return moments about the origin: weight (K,), first (K, P), second (P, P), gaps (K, P)."""
    n_components, padded = factors.whitened.shape
    first, products, pairs, _ = sections(n_components, padded)
    sums = from_products(moments[first:products], whole(n_components, 4), padded)[:n_components]
    means = factors.means[:n_components].astype(np.float64) + factors.means_low[:n_components]
    second = from_triangle(moments[products:pairs], padded)
    return moments[:n_components], sums, second, gaps(means, factors.origin)


def unpack(moments, factors, n_features):
    """Return the moments about the means: weight (K,), first (K, d), pooled second (d, d)."""
    if factors.about_origin:
        weight, sums, second, gap = sums_about_origin(moments, factors)
        moved = weight[:, None] * gap
        with one_blas_thread():
            half = gap.T @ (sums - 0.5 * moved)  # and its transpose: symmetric to the last bit
        second = second - (half + half.T)
        return weight, (sums - moved)[:, :n_features], second[:n_features, :n_features]
    n_components, padded = factors.whitened.shape
    first, products, pairs, _ = sections(n_components, padded)
    sums = moments[first:products].reshape(padded, -1)[:n_features, :n_components].T
    within = from_triangle(moments[products:pairs], padded)[:n_features, :n_features]
    shared = from_triangle(moments[pairs:], n_components)
    means = factors.means.astype(np.float64) + factors.means_low
    apart = means[:n_components, None, :n_features] - means[None, :n_components, :n_features]
    between = 0.25 * np.einsum("kl,kli,klj->ij", shared * (1 - np.eye(n_components)), apart, apart)
    return moments[:n_components], sums, within + (between + between.T)


def cancels(moments, factors):
    """Tell whether moving the second moments to the means has cancelled too many digits."""
    if not factors.about_origin:
        return False
    weight, sums, second, gap = sums_about_origin(moments, factors)
    moved = weight[:, None] * gap
    left = np.diagonal(second) - 2.0 * np.einsum("kj,kj->j", gap, sums - 0.5 * moved)
    return cancelled(left, np.einsum("kj,kj->j", moved, gap))
