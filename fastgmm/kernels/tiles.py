"""Tiles: the rows of a slice that are worked on while they sit in cache, one feature after another.

A tile is stored as (features, TILE): a register holds one feature of neighbouring rows, and kernels
sum across registers only at the end of a tile. Rows past the data repeat the last one, with weight
zero. Features past the data are zero.
"""

import numpy as np
from numba import types

from fastgmm.kernels.jit import chosen_by_type, either, subroutine, view
from fastgmm.kernels.simd.transposition import split_two, transpose_block
from fastgmm.kernels.simd.vectors import (
    add_totals,
    load_rows,
    loading,
    splat,
    zeros,
)

# Rows per tile: four groups of three registers in float32, eight in float64. Shorter tiles spend
# more on sums across registers (a quarter of the second moments at 96, an eighth at 192), longer
# ones leave the cache; of 96, 144, 192 and 288 none was clearly faster.
TILE = 192
# Registers worked on together: with four outputs they make twelve sums, which leaves four of
# sixteen registers for the operands.
GROUP = 3
load_group = loading(GROUP)
# Nats below the best density of a row: what lies lower counts as zero, in every kernel, so that a
# component far from all rows is dead in each. No sum can tell a responsibility under 2e-22 from
# zero; scikit-learn adds 2e-15 to the weight of every component, which hides it.
FAR = 50.0


@either
def whole(count, size):
    """Round a count up to whole groups of ``size``."""
    return (count + size - 1) // size * size


@subroutine
def new_tile(n_features, rows):
    """Make a tile of zeros with the element type of ``rows``, eight spare features at its end.

    It starts on a cache line: registers of 64 bytes that straddle two lines halve the rate of every
    load.
    """
    size = (n_features + 8) * TILE
    line = 64 // rows.itemsize
    flat = np.zeros(size + line, rows.dtype)
    start = -(flat.ctypes.data // rows.itemsize) % line
    return flat[start : start + size].reshape(n_features + 8, TILE)


def new_tiles(count, n_features, rows):
    """Make space for tiles of so many features, for each of some threads, all zeros."""
    size, line = count * n_features * TILE, 64 // rows.itemsize
    flat = np.zeros(size + line, rows.dtype)
    start = -(flat.ctypes.data // rows.itemsize) % line
    return flat[start : start + size].reshape(count, n_features * TILE)


@view
def tile_in(workspace, begin, n_features):
    """View features begin to begin + n_features of a workspace as a tile."""
    return workspace[begin * TILE : (begin + n_features) * TILE].reshape(n_features, TILE)


@view
def narrow(tile):
    """View a tile as rows of one group each: a group's features lie side by side."""
    return tile.reshape(-1, GROUP * splat(tile, 0.0).width)


def unwritable(array):
    """Return a view that nobody can write to: one type for kernels, where there would be two.

    A block of a source is such already, rows that were computed are not; kernels compiled for each.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@subroutine
def load_tile(rows, begin, live, tile):
    """Transpose rows[begin : begin + live] into the tile, the last of them repeated to its end."""
    end = begin + live - 1
    if rows.shape[1] == 2 and live == TILE:
        for r in range(0, TILE, splat(rows, 0.0).width):
            split_two(rows, begin + r, tile, r)
        return
    for r in range(0, TILE, 8):
        i = begin + r
        a, b, c, d = min(i, end), min(i + 1, end), min(i + 2, end), min(i + 3, end)
        e, f, g, h = min(i + 4, end), min(i + 5, end), min(i + 6, end), min(i + 7, end)
        for j in range(0, rows.shape[1], 8):
            transpose_block(rows, (a, b, c, d, e, f, g, h), j, tile, (j, r))


@subroutine
def gather_tile(rows, chosen, live, tile):
    """Transpose the first ``live`` chosen rows into a tile.

    The last of them is repeated to the end of its group; returns the number of columns written.
    """
    columns = whole(live, GROUP * splat(tile, 0.0).width)
    end = live - 1
    for r in range(0, columns, 8):
        a, b = chosen[min(r, end)], chosen[min(r + 1, end)]
        c, d = chosen[min(r + 2, end)], chosen[min(r + 3, end)]
        e, f = chosen[min(r + 4, end)], chosen[min(r + 5, end)]
        g, h = chosen[min(r + 6, end)], chosen[min(r + 7, end)]
        for j in range(0, rows.shape[1], 8):
            transpose_block(rows, (a, b, c, d, e, f, g, h), j, tile, (j, r))
    return columns


@subroutine
def load_weights(row_weights, begin, live, out):
    """Copy the weights of a tile's rows, 1 where none are given and 0 past the data."""
    for r in range(live):
        out[r] = row_weights[begin + r] if row_weights.size else 1.0
    for r in range(live, TILE):
        out[r] = 0.0


@subroutine
def hide_unweighted(tile, weights, stand_in):
    """Replace rows of weight zero: they may be so far away that 0 times them is NaN."""
    for r in range(TILE):
        if weights[r] == 0.0:
            for j in range(stand_in.size):
                tile[j, r] = stand_in[j]


def centred(registers, mean, mean_low):
    """Return registers minus a mean, which is in two parts so that float32 keeps its digits."""


@chosen_by_type(centred)
def _centred(registers, mean, mean_low):
    if registers.element == types.float32:
        return lambda registers, mean, mean_low: (registers - mean) - mean_low
    return lambda registers, mean, mean_low: registers - mean


@subroutine
def add_row_totals(tile, n_rows, out):
    """Add the sum of each of the first n_rows rows of a tile to out, whose size is in eights."""
    for k in range(0, n_rows, 8):
        sums = zeros(tile, 8)
        for r in range(0, TILE, sums.width):
            sums = sums + load_rows(tile, k, r, 8)
        add_totals(out, (k,), sums)


def two_parts(values, dtype):
    """Split float64 values into the nearest of ``dtype`` and what that leaves out."""
    # in C order, because LLVM compiles every kernel once more for another: 6 s for a picture
    nearest = values.astype(dtype, order="C")
    return nearest, (values - nearest).astype(dtype, order="C")


def with_columns(values, count):
    """Pad the last axis with zeros to ``count``."""
    # np.pad took 20 microseconds, a seventh of a pass over 300 rows
    wide = np.zeros((*values.shape[:-1], count), values.dtype)
    wide[..., : values.shape[-1]] = values
    return wide
