"""Tiles: the rows of a slice that are worked on while they sit in cache, one feature after another.

A tile is stored as (features, TILE): a register holds one feature of neighbouring rows, and kernels
sum across registers only at the end of a tile. Rows past the data repeat the last one, with weight
zero. Features past the data are zero.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from fastgmm.kernels.jit import chosen_by_type, either, subroutine, view
from fastgmm.kernels.simd.transposition import BLOCK, split_two, transpose_block
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
LINE = 64  # bytes of a cache line
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


@intrinsic
def view_at(typingctx, array, begin, shape):
    """View what begins at an element of an array in C order as an array of another shape.

    Slices and ``reshape`` do the same in far more instructions of LLVM's, all of them compiled.
    But scores of two features took 1.16 of the time where tiles were viewed so.
    """
    kind = types.Array(array.dtype, len(shape), "C")

    def generate(context, builder, signature, arguments):
        given, first, lengths = arguments
        itemsize = array.dtype.bitwidth // 8
        data = builder.gep(context.make_array(array)(context, builder, given).data, [first])
        lengths = cgutils.unpack_tuple(builder, lengths, len(shape))
        strides = [ir.Constant(ir.IntType(64), itemsize)]
        for length in lengths[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        found = context.make_array(kind)(context, builder)
        populate_array(found, data, lengths, strides, itemsize, meminfo=None)
        return found._getvalue()

    lengths = types.UniTuple(types.int64, len(shape))
    return kind(array, types.int64, lengths), generate


@intrinsic
def from_line(typingctx, array):
    """View a flat array from its first cache line on: in Python that took 3 microseconds."""
    kind = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, arguments):
        given = context.make_array(array)(context, builder, arguments[0])
        itemsize, long = array.dtype.bitwidth // 8, ir.IntType(64)
        place = builder.add(builder.ptrtoint(given.data, long), ir.Constant(long, LINE - 1))
        data = builder.inttoptr(builder.and_(place, ir.Constant(long, -LINE)), given.data.type)
        left = builder.sub(given.nitems, ir.Constant(long, LINE // itemsize))
        found = context.make_array(kind)(context, builder)
        stride = ir.Constant(long, itemsize)
        populate_array(found, data, [left], [stride], itemsize, meminfo=None)
        return found._getvalue()

    return kind(array), generate


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


def choosing_less(predicate):
    """Make an intrinsic for two integers: `min` is a function to compile for each pair of types."""

    @intrinsic
    def operation(typingctx, a, b):
        def generate(context, builder, signature, arguments):
            left, right = arguments
            return builder.select(builder.icmp_signed(predicate, left, right), left, right)

        return types.int64(types.int64, types.int64), generate

    return operation


lesser, greater = choosing_less("<"), choosing_less(">")


@intrinsic
def rows_up_to(typingctx, begin, end):
    """Return numbers of a block of rows: from ``begin`` on, ``end`` in the place of later ones."""
    several = types.UniTuple(types.int64, BLOCK)

    def generate(context, builder, signature, arguments):
        begin, end = arguments
        rows = []
        for i in range(BLOCK):
            row = builder.add(begin, ir.Constant(begin.type, i))
            rows.append(builder.select(builder.icmp_signed("<", row, end), row, end))
        return cgutils.pack_array(builder, rows)

    return several(types.int64, types.int64), generate


@intrinsic
def named_by(typingctx, numbers, places):
    """Return the numbers of an array of integers at a block of places."""
    several = types.UniTuple(types.int64, BLOCK)

    def generate(context, builder, signature, arguments):
        view = context.make_array(numbers)(context, builder, arguments[0])
        rows = []
        for place in cgutils.unpack_tuple(builder, arguments[1], BLOCK):
            found = builder.load(
                cgutils.get_item_pointer(context, builder, numbers, view, [place], wraparound=False)
            )
            rows.append(context.cast(builder, found, numbers.dtype, types.int64))
        return cgutils.pack_array(builder, rows)

    return several(numbers, several), generate


@subroutine
def load_tile(rows, begin, live, tile):
    """Transpose rows[begin : begin + live] into the tile, the last of them repeated to its end."""
    if rows.shape[1] == 2 and live == TILE:
        for r in range(0, TILE, splat(rows, 0.0).width):
            split_two(rows, begin + r, tile, r)
        return
    for r in range(0, TILE, BLOCK):
        places = rows_up_to(begin + r, begin + live - 1)
        for j in range(0, rows.shape[1], BLOCK):
            transpose_block(rows, places, j, tile, (j, r))


@subroutine
def gather_tile(rows, chosen, live, tile):
    """Transpose the first ``live`` chosen rows into a tile.

    The last of them is repeated to the end of its group; returns the number of columns written.
    """
    columns = whole(live, GROUP * splat(tile, 0.0).width)
    for r in range(0, columns, BLOCK):
        places = named_by(chosen, rows_up_to(r, live - 1))
        for j in range(0, rows.shape[1], BLOCK):
            transpose_block(rows, places, j, tile, (j, r))
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


@subroutine
def load_weighted(rows, row_weights, begin, stop, means, tile, weights):
    """Load a tile of rows, those of weight zero replaced by a mean, and their weights.

    Returns whether the tile is full and every weight is one.
    """
    live = lesser(TILE, stop - begin)
    load_tile(rows, begin, live, tile)
    load_weights(row_weights, begin, live, weights)
    if row_weights.size:
        hide_unweighted(tile, weights, means[0])
    return live == TILE and row_weights.size == 0


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
