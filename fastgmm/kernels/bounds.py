"""Upper bounds of log densities, from a few projections in float32: most pairs are not live.

The squared distance |U'(x - m)|^2 of a row to a component is at least the length of its projection
on a few directions B of that component's own coordinates, |B'U'(x - m)|^2. With a quarter of the
directions, and those along which rows at large lie farthest, most pairs are found to be nothing for
half the arithmetic that their densities would take.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import fma, load, splat, store, where_less, zeros
from fastgmm.kernels.structures.triangular import AT_ONCE, add_feature, add_four_squares, no_sums
from fastgmm.kernels.tiles import (
    GROUP,
    TILE,
    load_group,
    whole,
    with_columns,
)
from fastgmm.parallel.blas import one_blas_thread

# (1 - t) a^2 - (1/t - 1) b^2 <= (a - b)^2 for every t: with t = 1/64, the error of a length bounds
# that of its square, and no root is taken.
MARGIN = 1.0 / 64.0
RIDGE = 1e-10  # of a Gram matrix's trace: keeps it definite, and shortens directions by as much


class BoundFactors(NamedTuple):
    """Factors of the full structure, and a few directions per component in float32."""

    log_scale: np.ndarray  # (K,), and the rest of the Factors, in the dtype of the rows
    means: np.ndarray
    means_low: np.ndarray
    panels: np.ndarray
    origin: np.ndarray  # (d,) float64
    rough_log_scale: np.ndarray  # (K,) float32, as all that follows
    directions: np.ndarray  # (K, R / 4, d, 4) V = U B, in panels of four
    shifts: np.ndarray  # (K, R) V'(mean - origin)
    slack: np.ndarray  # (K,) bound of the rounding error of a squared length, over |x|^2 + reach
    reach: np.float32  # largest |mean - origin|^2


class TruncatedFactors(NamedTuple):
    """The same, for passes that leave out what lies farther than a margin below a row's best."""

    log_scale: np.ndarray
    means: np.ndarray
    means_low: np.ndarray
    panels: np.ndarray
    origin: np.ndarray
    rough_log_scale: np.ndarray
    directions: np.ndarray
    shifts: np.ndarray
    slack: np.ndarray
    reach: np.float32
    margin: float  # nats


@one_blas_thread()
def bound_factors(factors, rows, rank):
    """Return BoundFactors with ``rank`` directions per component, chosen for rows like these.

    With u the rounding of float32, a computed V'x - V'm is within (d + 5) u |V|_F (|x| + |m|) of
    the true one, both lengths about the origin (Higham 2002, section 3.1).
    """
    n_features = factors.means.shape[1]
    rows = rows.astype(np.float64)
    origin = rows.mean(axis=0)
    means = factors.means + factors.means_low.astype(np.float64) - origin
    error = (n_features + 5) * 2.0**-24
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows lets every pair through
        directions = widest(upper_of(factors.panels, n_features), means, rows - origin, rank)
        lengths = np.einsum("kij,kij->k", directions, directions)
        shifts = np.matmul(means[:, None], directions)[:, 0]
        panels = directions.reshape(*directions.shape[:2], -1, 4).swapaxes(1, 2)
        return BoundFactors(
            *factors,
            origin,
            factors.log_scale.astype(np.float32),
            np.ascontiguousarray(panels.astype(np.float32)),
            shifts.astype(np.float32),
            (error**2 * lengths * (1.0 / MARGIN - 1.0)).astype(np.float32),
            np.float32((means * means).sum(axis=1).max()),
        )


def upper_of(panels, n_features):
    """Return U (K, d, d) of panels (K, P / 4, d, 4), whose missing columns stand first."""
    wide = panels.swapaxes(1, 2).reshape(len(panels), n_features, -1)
    return wide[:, :, wide.shape[2] - n_features :].astype(np.float64, copy=False)


@one_blas_thread()
def widest(upper, means, rows, rank):
    """Return V = U B, with B' B <= 1, for directions along which the rows lie far from the means.

    B is one step of the power method on U'SU, with S the scatter of the rows about a mean, from the
    coordinates in which that is widest, were features uncorrelated. V has ``rank`` columns in whole
    fours. Rows and means are about the mean of the rows.
    """
    n_components, n_features = means.shape
    rank = min(rank, n_features)
    scatter = rows.T @ rows / len(rows)
    wide = np.matmul((np.diag(scatter) + means**2)[:, None], upper * upper)[:, 0]
    chosen = np.argsort(-wide, axis=1, kind="stable")[:, :rank]
    first = np.stack([each[:, columns] for each, columns in zip(upper, chosen, strict=True)])
    seen = np.matmul(scatter, first) + means[:, :, None] * np.matmul(means[:, None], first)
    found = np.matmul(upper.swapaxes(1, 2), seen)
    found /= np.maximum(np.abs(found).max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    gram = np.matmul(found.swapaxes(1, 2), found)
    ridge = RIDGE * np.einsum("kii->k", gram) + np.finfo(np.float64).tiny
    if not np.isfinite(gram).all():
        return np.full((n_components, n_features, whole(rank, 4)), np.nan)
    lower = np.linalg.cholesky(gram + ridge[:, None, None] * np.eye(rank))
    orthonormal = np.matmul(found, np.linalg.inv(lower).swapaxes(1, 2))
    return with_columns(np.matmul(upper, orthonormal), whole(rank, 4))


@one_blas_thread()
def upper_bounds(rows, factors):
    """Return an upper bound of the log density of every component and row, (K, n)."""
    centred = (rows - factors.origin).astype(np.float32)
    lengths = np.einsum("ij,ij->i", centred, centred)
    panels = factors.directions.swapaxes(1, 2).reshape(len(factors.shifts), centred.shape[1], -1)
    found = np.matmul(centred, panels) - factors.shifts[:, None]
    squares = np.einsum("kir,kir->ki", found, found)
    doubt = factors.slack[:, None] * (lengths + factors.reach)
    return factors.rough_log_scale[:, None] + 0.5 * (doubt - (1.0 - MARGIN) * squares)


@subroutine
def centre_in_float32(tile, origin, lengths, out):
    """Write the tile less an origin in float32, and its columns' squared lengths."""
    lengths[:] = 0.0
    for j in range(origin.size):
        for r in range(TILE):
            value = np.float32(tile[j, r] - origin[j])
            out[j, r] = value
            lengths[r] += value * value


@inline
def add_projections(total, sums, shifts, i):
    """Return total + the squares of four groups less shifts[i], shifts[i + 1], ..."""
    a, b = sums[0] - shifts[i], sums[1] - shifts[i + 1]
    c, d = sums[2] - shifts[i + 2], sums[3] - shifts[i + 3]
    return add_four_squares(total, (a, b, c, d))


@inline
def squared_projections(panels, shifts, centred, r):
    """Return |V'x - shift|^2 of every column x of the group that starts at r."""
    total = zeros(centred, GROUP)
    single = panels.shape[0] % 2 if AT_ONCE == 2 else panels.shape[0]
    for p in range(single):
        sums = no_sums(centred)
        for j in range(panels.shape[1]):
            sums = add_feature(panels, p, j, load_group(centred, (j, r)), sums)
        total = add_projections(total, sums, shifts, 4 * p)
    for p in range(single, panels.shape[0], 2):
        low = high = no_sums(centred)
        for j in range(panels.shape[1]):
            x = load_group(centred, (j, r))
            low, high = add_feature(panels, p, j, x, low), add_feature(panels, p + 1, j, x, high)
        total = add_projections(total, low, shifts, 4 * p)
        total = add_projections(total, high, shifts, 4 * p + 4)
    return total


@subroutine
def bound_tile(centred, lengths, factors, first, out):
    """Write the upper bound of every component k and column r of a tile into out[k, first + r]."""
    for k in range(factors.rough_log_scale.size):
        doubt = factors.rough_log_scale[k] + 0.5 * factors.slack[k] * factors.reach
        for r in range(0, TILE, GROUP * splat(centred, 0.0).width):
            squares = squared_projections(factors.directions[k], factors.shifts[k], centred, r)
            bound = fma(0.5 * factors.slack[k], load_group(lengths, (r,)), doubt)
            store(out, (k, first + r), fma(-0.5 * (1.0 - MARGIN), squares, bound))


@subroutine
def most_likely(bounds, n_rows, guesses):
    """Write the component of the largest bound of each of the first columns into guesses."""
    for r in range(0, n_rows, splat(bounds, 0.0).width):
        best, guess = load(bounds, (0, r)), splat(bounds, 0.0)
        for k in range(1, len(bounds)):
            bound = load(bounds, (k, r))
            guess = where_less(best, bound, np.float32(k), guess)
            best = where_less(best, bound, bound, best)
        store(guesses, (r,), guess)
