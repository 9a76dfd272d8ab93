"""Triangular products held in registers: the arithmetic of full and tied covariances.

Features are padded with zeros to whole groups of four, so that no loop has a ragged end. A group is
the three registers of neighbouring rows that are worked on together.
"""

from functools import lru_cache

import numpy as np

from fastgmm.kernels.jit import either, inline, step
from fastgmm.kernels.tiles import (
    add_multiple,
    add_squares,
    load_group,
    no_group,
    store_group,
    whole,
)
from fastgmm.kernels.vectors import add_totals, fma, load, splat


@inline
def four_rows(panels, centred, i, r):
    """Return rows i..i+3 of upper.T @ centred, for the group of columns that starts at r."""
    p = i // 4
    a = b = c = d = no_group(centred)
    for j in range(i):
        x = load_group(centred, j, r)
        a = add_multiple(a, panels[p, j, 0], x)
        b = add_multiple(b, panels[p, j, 1], x)
        c = add_multiple(c, panels[p, j, 2], x)
        d = add_multiple(d, panels[p, j, 3], x)
    x = load_group(centred, i, r)  # from here on, the triangle on the diagonal
    a = add_multiple(a, panels[p, i, 0], x)
    b = add_multiple(b, panels[p, i, 1], x)
    c = add_multiple(c, panels[p, i, 2], x)
    d = add_multiple(d, panels[p, i, 3], x)
    x = load_group(centred, i + 1, r)
    b = add_multiple(b, panels[p, i + 1, 1], x)
    c = add_multiple(c, panels[p, i + 1, 2], x)
    d = add_multiple(d, panels[p, i + 1, 3], x)
    x = load_group(centred, i + 2, r)
    c = add_multiple(c, panels[p, i + 2, 2], x)
    d = add_multiple(d, panels[p, i + 2, 3], x)
    x = load_group(centred, i + 3, r)
    d = add_multiple(d, panels[p, i + 3, 3], x)
    return a, b, c, d


@inline
def squared_lengths(panels, centred, r):
    """Return |upper.T @ centred|^2 of every column of the group that starts at r."""
    total = no_group(centred)
    for i in range(0, panels.shape[1], 4):
        a, b, c, d = four_rows(panels, centred, i, r)
        total = add_squares(add_squares(add_squares(add_squares(total, a), b), c), d)
    return total


@inline
def transform(panels, centred, r, out):
    """Write upper.T @ centred into out, for the group of columns that starts at r."""
    for i in range(0, panels.shape[1], 4):
        a, b, c, d = four_rows(panels, centred, i, r)
        store_group(out, i, r, a)
        store_group(out, i + 1, r, b)
        store_group(out, i + 2, r, c)
        store_group(out, i + 3, r, d)


@step
def add_outer_products(tile, n_rows, n_columns, out):
    """Add the lower triangle of tile @ tile.T, a block of four by four after another.

    Of the tile's columns the first are read, in whole registers. A single row that is left over is
    multiplied by eight columns at a time. The tile has scratch rows after ``n_rows``; what they
    contribute lands outside the triangle.
    """
    zero = splat(tile, 0.0)
    block = 0
    single = n_rows % 4 == 1
    for i in range(0, n_rows - single, 4):
        for j in range(0, i + 4, 4):
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = zero
            for r in range(0, n_columns, zero.width):
                a, b = load(tile, (i, r)), load(tile, (i + 1, r))
                c, d = load(tile, (i + 2, r)), load(tile, (i + 3, r))
                x = load(tile, (j, r))
                a0, b0, c0, d0 = fma(a, x, a0), fma(b, x, b0), fma(c, x, c0), fma(d, x, d0)
                x = load(tile, (j + 1, r))
                a1, b1, c1, d1 = fma(a, x, a1), fma(b, x, b1), fma(c, x, c1), fma(d, x, d1)
                x = load(tile, (j + 2, r))
                a2, b2, c2, d2 = fma(a, x, a2), fma(b, x, b2), fma(c, x, c2), fma(d, x, d2)
                x = load(tile, (j + 3, r))
                a3, b3, c3, d3 = fma(a, x, a3), fma(b, x, b3), fma(c, x, c3), fma(d, x, d3)
            add_totals(out, (block,), (a0, a1, a2, a3, b0, b1, b2, b3))
            add_totals(out, (block + 8,), (c0, c1, c2, c3, d0, d1, d2, d3))
            block += 16
    if single:
        for j in range(0, n_rows, 8):
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
            for r in range(0, n_columns, zero.width):
                a = load(tile, (n_rows - 1, r))
                a0, a1 = fma(a, load(tile, (j, r)), a0), fma(a, load(tile, (j + 1, r)), a1)
                a2, a3 = fma(a, load(tile, (j + 2, r)), a2), fma(a, load(tile, (j + 3, r)), a3)
                b0, b1 = fma(a, load(tile, (j + 4, r)), b0), fma(a, load(tile, (j + 5, r)), b1)
                b2, b3 = fma(a, load(tile, (j + 6, r)), b2), fma(a, load(tile, (j + 7, r)), b3)
            add_totals(out, (block,), (a0, a1, a2, a3, b0, b1, b2, b3))
            block += 8


@either
def triangle_size(n_rows):
    """Count the numbers that add_outer_products adds to."""
    single = n_rows % 4 == 1
    fours = (n_rows - single + 3) // 4
    return 8 * fours * (fours + 1) + single * (n_rows + 7) // 8 * 8


def panels_of(upper, dtype):
    """Cut upper triangular matrices (..., d, d) into panels of four columns, (..., P / 4, P, 4).

    P is d in whole fours. A panel is read from its start to its end; columns of the matrix as it is
    would take half a cache line from each row.
    """
    size = whole(upper.shape[-1], 4)
    missing = size - upper.shape[-1]
    square = np.pad(upper, [(0, 0)] * (upper.ndim - 2) + [(0, missing)] * 2).astype(dtype)
    panels = square.reshape(*square.shape[:-1], size // 4, 4).swapaxes(-3, -2)
    return np.ascontiguousarray(panels)


@lru_cache(maxsize=32)
def places(n_rows):
    """Say where add_outer_products leaves the product of each row and column, (n_rows, n_rows)."""
    single = n_rows % 4 == 1
    corners = [(i, j) for i in range(0, n_rows - single, 4) for j in range(0, i + 4, 4)]
    left = [(i + a, j + b) for i, j in corners for a in range(4) for b in range(4)]
    if single:
        left += [(n_rows - 1, j) for j in range((n_rows + 7) // 8 * 8)]
    rows, columns = np.array(left).T
    found = np.zeros((n_rows + 4, n_rows + 8), np.intp)
    found[rows, columns] = np.arange(len(left))
    lower = np.tril(found[:n_rows, :n_rows])
    return lower + np.tril(lower, -1).T


def from_triangle(products, n_rows):
    """Return the symmetric matrices whose lower triangles add_outer_products left."""
    return products[..., places(n_rows)]
