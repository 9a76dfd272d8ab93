"""Moments about one common origin for all components, where these lie near it.

Products of responsibilities and rows are then a product of two tiles: one multiply-add per
component and feature, where centring the rows on each component takes four or five. Moving the
squares to the mean of a component cancels digits by a factor 1 + (distance to the origin /
deviation)**2. ``LOSS`` says how much is allowed; ``cancelled`` finds out where deviations shrank by
orders of magnitude in one pass.
"""

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import store
from fastgmm.kernels.structures.triangular import (
    AT_ONCE,
    add_feature,
    add_square,
    no_sums,
    store_four,
)
from fastgmm.kernels.tiles import TILE, centred, load_group, two_parts, whole

# Float32 has no digit to spare: with a loss of 2, a pass over 64 features had 6.87 of 6.9 promised.
LOSS = {np.dtype(np.float64): 10.0, np.dtype(np.float32): 0.0}
# Of a second moment: at most six of sixteen digits may have gone, or the pass is made again.
LOST = 1e-6


def middle(means, dtype):
    """Return the middle of means (K, P) in two parts of ``dtype``, (2, P)."""
    return np.stack(two_parts(0.5 * (means.min(axis=0) + means.max(axis=0)), dtype))


def gaps(means, origin):
    """Return float64 means (K, P) minus the origin, which is in two parts (2, P)."""
    return means - origin.astype(np.float64).sum(axis=0)


def in_panels(values, dtype):
    """Cut the rows of (K, P) into panels of four, (K / 4, P, 4), which a loop reads in order."""
    n_rows, n_columns = values.shape
    wide = np.zeros((whole(n_rows, 4), n_columns), dtype)
    wide[:n_rows] = values
    return np.ascontiguousarray(wide.reshape(-1, 4, n_columns).swapaxes(1, 2))


@inline
def centre(tile, r, origin):
    """Subtract the origin from a group of columns, in place."""
    for j in range(origin.shape[1]):
        x = load_group(tile, (j, r))
        store(tile, (j, r), centred(x, origin[0, j], origin[1, j]))


@inline
def write_products(panels, tile, r, out):
    """Write the product of every row of the panels with every column of a group into out[k, r]."""
    single = len(panels) % 2 if AT_ONCE == 2 else len(panels)
    for p in range(single):
        sums = no_sums(tile)
        for j in range(panels.shape[1]):
            sums = add_feature(panels, p, j, load_group(tile, (j, r)), sums)
        store_four(out, 4 * p, r, sums)
    for p in range(single, len(panels), 2):
        low = high = no_sums(tile)
        for j in range(panels.shape[1]):
            x = load_group(tile, (j, r))
            low, high = add_feature(panels, p, j, x, low), add_feature(panels, p + 1, j, x, high)
        store_four(out, 4 * p, r, low)
        store_four(out, 4 * p + 4, r, high)


@subroutine
def add_products(left, n_left, right, n_right, out):
    """Add left @ right.T in squares of four rows by four, all of ``left`` for each of ``right``."""
    begin = 0
    for j in range(0, n_right, 4):
        for i in range(0, n_left, 4):
            add_square(left, i, right, j, TILE, out, begin)
            begin += 16


def from_products(sums, n_left, n_right):
    """Return the matrix (n_left, n_right), in whole fours, from the sums of add_products."""
    squares = sums[: n_left * n_right].reshape(n_right // 4, n_left // 4, 4, 4)
    return squares.transpose(1, 2, 0, 3).reshape(n_left, n_right)


def cancelled(second, between):
    """Tell whether second moments are the small difference of much larger ones."""
    return bool(np.any(second < LOST * between))
