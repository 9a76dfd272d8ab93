"""Products with a triangular factor, held in registers, for full and tied covariances.

Columns of a triangle are padded to whole groups of four, so that no loop has a ragged end. A group
is the three registers of neighbouring rows that are worked on together.
"""

from functools import lru_cache

import numpy as np

from fastgmm.kernels.jit import either, inline, subroutine
from fastgmm.kernels.simd.vectors import (
    WIDTH,
    add_quick_totals,
    fma,
    fma_outer,
    fma_triangle,
    load,
    load_rows,
    store,
    zeros,
)
from fastgmm.kernels.tiles import GROUP, greater, lesser, load_group, whole

# Panels worked on together: AVX-512 has registers for the sums of two, which takes 0.88 of the
# time.
AT_ONCE = 2 if WIDTH == 8 else 1
BAND = 20  # rows of a tile that stay in the first-level cache while others pass by: 30 kB


@inline
def add_feature(panels, p, j, x, sums):
    """Add the products of feature j with the four columns of a panel."""
    a, b, c, d = sums
    a, b = fma(panels[p, j, 0], x, a), fma(panels[p, j, 1], x, b)
    c, d = fma(panels[p, j, 2], x, c), fma(panels[p, j, 3], x, d)
    return a, b, c, d


@inline
def add_corner(panels, p, i, centred, r, sums):
    """Add those of features i..i+3, where columns end in turn; negative ones are padding."""
    a, b, c, d = sums
    if i >= 0:
        x = load_group(centred, (i, r))
        a, b, c, d = add_feature(panels, p, i, x, (a, b, c, d))
    if i >= -1:
        x = load_group(centred, (i + 1, r))
        b = fma(panels[p, i + 1, 1], x, b)
        c, d = fma(panels[p, i + 1, 2], x, c), fma(panels[p, i + 1, 3], x, d)
    if i >= -2:
        x = load_group(centred, (i + 2, r))
        c, d = fma(panels[p, i + 2, 2], x, c), fma(panels[p, i + 2, 3], x, d)
    x = load_group(centred, (i + 3, r))
    return a, b, c, fma(panels[p, i + 3, 3], x, d)


@inline
def no_sums(centred):
    """Return four groups of zeros."""
    zero = zeros(centred, GROUP)
    return zero, zero, zero, zero


@inline
def four_rows(panels, p, centred, r):
    """Return four rows of upper.T @ centred, for the group of columns that starts at r."""
    i = 4 * (p - panels.shape[0]) + panels.shape[1]
    sums = no_sums(centred)
    for j in range(i):
        sums = add_feature(panels, p, j, load_group(centred, (j, r)), sums)
    return add_corner(panels, p, i, centred, r, sums)


@inline
def eight_rows(panels, p, centred, r):
    """Return eight rows, of two panels: 24 sums fit into 32 registers, with fewer loads per sum."""
    i = 4 * (p - panels.shape[0]) + panels.shape[1]
    low = high = no_sums(centred)
    for j in range(i):
        x = load_group(centred, (j, r))
        low, high = add_feature(panels, p, j, x, low), add_feature(panels, p + 1, j, x, high)
    for j in range(greater(i, 0), i + 4):
        high = add_feature(panels, p + 1, j, load_group(centred, (j, r)), high)
    low = add_corner(panels, p, i, centred, r, low)
    return low, add_corner(panels, p + 1, i + 4, centred, r, high)


@inline
def add_four_squares(total, sums):
    """Return total + the squares of four groups."""
    a, b, c, d = sums
    return fma(d, d, fma(c, c, fma(b, b, fma(a, a, total))))


@inline
def squared_lengths(panels, centred, r):
    """Return |upper.T @ centred|^2 of every column of the group that starts at r."""
    total = zeros(centred, GROUP)
    single = panels.shape[0] % 2 if AT_ONCE == 2 else panels.shape[0]
    for p in range(single):
        total = add_four_squares(total, four_rows(panels, p, centred, r))
    for p in range(single, panels.shape[0], 2):
        low, high = eight_rows(panels, p, centred, r)
        total = add_four_squares(add_four_squares(total, low), high)
    return total


@inline
def transform(panels, centred, r, out):
    """Write upper.T @ centred into out, for the group of columns that starts at r."""
    single = panels.shape[0] % 2 if AT_ONCE == 2 else panels.shape[0]
    for p in range(single):
        store_four(out, 4 * p, r, four_rows(panels, p, centred, r))
    for p in range(single, panels.shape[0], 2):
        low, high = eight_rows(panels, p, centred, r)
        store_four(out, 4 * p, r, low)
        store_four(out, 4 * p + 4, r, high)


@inline
def store_four(out, i, r, sums):
    """Write four rows of the group of columns that starts at r."""
    store(out, (i, r), sums[0])
    store(out, (i + 1, r), sums[1])
    store(out, (i + 2, r), sums[2])
    store(out, (i + 3, r), sums[3])


@inline
def add_square(left, i, right, j, n_columns, out, begin):
    """Add the products of rows i..i+3 of one tile with j..j+3 of another to sixteen numbers."""
    sums = zeros(left, 16)
    for r in range(0, n_columns, sums.width):
        sums = fma_outer(load_rows(left, i, r, 4), load_rows(right, j, r, 4), sums)
    add_quick_totals(out, (begin,), sums)


@inline
def add_own_triangle(tile, i, n_columns, out, begin):
    """Add the products of rows i..i+3 with themselves to the first ten of sixteen numbers."""
    sums = zeros(tile, 10)
    for r in range(0, n_columns, sums.width):
        rows = load_rows(tile, i, r, 4)
        sums = fma_triangle(rows, rows, sums)
    add_quick_totals(out, (begin,), sums)


@subroutine
def add_outer_products(tile, n_rows, n_columns, out):
    """Add the lower triangle of tile @ tile.T, four rows by four.

    Of the tile's columns the first are read, in whole registers. Rows j..j+3 stay in cache while
    BAND rows visit them. A single row that is left over is multiplied by eight columns at a time.
    The tile has scratch rows after ``n_rows``; what they contribute lands outside the triangle.
    """
    single = n_rows % 4 == 1
    fours = n_rows - single
    for top in range(0, fours, BAND):
        bottom = lesser(top + BAND, fours)
        for j in range(0, bottom, 4):
            if j >= top:
                add_own_triangle(tile, j, n_columns, out, place_of(j, j))
            for i in range(greater(top, j + 4), bottom, 4):
                add_square(tile, i, tile, j, n_columns, out, place_of(i, j))
    if single:
        for j in range(0, n_rows, 8):
            sums = zeros(tile, 8)
            for r in range(0, n_columns, sums.width):
                sums = fma(load(tile, (n_rows - 1, r)), load_rows(tile, j, r, 8), sums)
            add_quick_totals(out, (place_of(fours, 0) + j,), sums)


@inline
def place_of(i, j):
    """Return where the products of rows i..i+3 with j..j+3 begin: sixteen per square before."""
    return i * (i + 4) // 2 + 4 * j


@either
def triangle_size(n_rows):
    """Return the number of sums of add_outer_products."""
    single = n_rows % 4 == 1
    fours = (n_rows - single + 3) // 4
    return 8 * fours * (fours + 1) + single * (n_rows + 7) // 8 * 8


def panels_of(upper, dtype):
    """Cut upper triangular matrices (..., d, d) into panels of four columns, (..., P / 4, d, 4).

    P is d in whole fours; the columns that are missing stand before the first, where a triangle is
    narrow. A panel is read from its start to its end; columns of the matrix as it is would take
    half a cache line from each row.
    """
    n_features = upper.shape[-1]
    missing = whole(n_features, 4) - n_features
    wide = np.zeros((*upper.shape[:-1], missing + n_features), dtype)
    wide[..., missing:] = upper
    panels = wide.reshape(*wide.shape[:-1], -1, 4).swapaxes(-3, -2)
    return np.ascontiguousarray(panels)


@lru_cache(maxsize=4)  # of one fit or two: it is as large as a covariance
def places(n_rows):
    """Return where add_outer_products leaves the product of two rows, (n_rows, n_rows)."""
    i, a = np.divmod(np.arange(n_rows, dtype=np.int64), 4)
    kind = np.int32 if triangle_size(n_rows) < 2**31 else np.int64
    # squares left of the diagonal; the triangle on it; and the row that is left over
    found = np.add.outer((8 * i * (i + 1) + 4 * a).astype(kind), (16 * i + a).astype(kind))
    for row in range(n_rows):
        found[row, row - a[row] : row + 1] -= a[row] * (7 - a[row]) // 2
    if n_rows % 4 == 1:
        found[-1] = 8 * i[-1] * (i[-1] + 1) + np.arange(n_rows)
    for row in range(1, n_rows):
        found[:row, row] = found[row, :row]
    return found


def from_triangle(products, n_rows):
    """Return the symmetric matrices of the sums of add_outer_products."""
    return products[..., places(n_rows)]
