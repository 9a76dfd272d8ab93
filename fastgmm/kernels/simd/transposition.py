"""Rows turned into columns, a square of them at a time, in registers.

Eight rows by eight features take 24 shuffles of two registers: 1.2 to 4 times the rate of moving
number after number.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastgmm.kernels.simd.vectors import (
    FLOATS,
    VectorType,
    llvm_type,
    register_pointer,
    shuffle,
    splat_value,
)

BLOCK = 8  # rows, and features, that are transposed at a time


@intrinsic
def transpose_block(typingctx, rows, places, j, tile, indices):
    """Copy features j to j + 8 of the rows at eight places to eight neighbouring rows of a tile.

    Features past the data become zero; nothing past the end of a row is read.
    """
    element = FLOATS[rows.dtype]
    kind = ir.VectorType(element, BLOCK)
    suffix = f"v{BLOCK}f{rows.dtype.bitwidth}"

    def generate(context, builder, signature, arguments):
        rows_value, places_value, j_value, tile_value, at = arguments
        view = context.make_array(rows)(context, builder, rows_value)
        n_features = cgutils.unpack_tuple(builder, view.shape, 2)[1]
        mask_type = ir.VectorType(ir.IntType(1), BLOCK)
        longs = ir.VectorType(ir.IntType(64), BLOCK)
        left = splat_value(builder, builder.sub(n_features, j_value), longs)
        mask = builder.icmp_signed("<", ir.Constant(longs, list(range(BLOCK))), left)
        registers = []
        for place in cgutils.unpack_tuple(builder, places_value, BLOCK):
            pointer = cgutils.get_item_pointer(
                context, builder, rows, view, [place, j_value], wraparound=False
            )
            pointer = builder.bitcast(pointer, kind.as_pointer())
            read = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(kind, [pointer.type, ir.IntType(32), mask_type, kind]),
                f"llvm.masked.load.{suffix}.p0",
            )
            align = ir.Constant(ir.IntType(32), rows.dtype.bitwidth // 8)
            zero = ir.Constant(kind, [0.0] * BLOCK)
            registers.append(builder.call(read, [pointer, align, mask, zero]))
        target = context.make_array(tile)(context, builder, tile_value)
        feature, column = cgutils.unpack_tuple(builder, at, 2)
        for i, register in enumerate(transposed(builder, registers)):
            row = builder.add(feature, ir.Constant(ir.IntType(64), i))
            pointer = cgutils.get_item_pointer(
                context, builder, tile, target, [row, column], wraparound=False
            )
            pointer = builder.bitcast(pointer, kind.as_pointer())
            builder.store(register, pointer, align=rows.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(rows, places, types.int64, tile, indices), generate


@intrinsic
def split_pairs(typingctx, rows, begin, tile, r):
    """Copy as many rows of two features as a register has lanes to columns of a tile.

    The rows lie one after another, so that two registers hold them, and two shuffles part them.
    """
    vector = VectorType(rows.dtype)

    def generate(context, builder, signature, arguments):
        rows_value, first, tile_value, column = arguments
        zero = ir.Constant(ir.IntType(64), 0)
        at = cgutils.pack_array(builder, [first, zero])
        source = register_pointer(context, builder, vector, rows, rows_value, at)
        align, kind = rows.dtype.bitwidth // 8, llvm_type(vector)
        places = [source, builder.gep(source, [ir.Constant(ir.IntType(64), 1)])]
        low, high = (builder.load(place, align=align, typ=kind) for place in places)
        for j in range(2):
            at = cgutils.pack_array(builder, [ir.Constant(ir.IntType(64), j), column])
            target = register_pointer(context, builder, vector, tile, tile_value, at)
            part = shuffle(builder, low, high, list(range(j, 2 * vector.width, 2)))
            builder.store(part, target, align=align)
        return context.get_dummy_value()

    return types.void(rows, types.int64, tile, types.int64), generate


def transposed(builder, registers):
    """Transpose a square of as many registers as one has lanes: two by two, four by four, ..."""
    count, step = len(registers), 1
    while step < count:
        low = [(i & ~step) + (count if i & step else 0) for i in range(count)]
        high = [(i | step) + (count if i & step else 0) for i in range(count)]
        exchanged = list(registers)
        for i in range(count):
            if not i & step:
                a, b = registers[i], registers[i | step]
                exchanged[i] = shuffle(builder, a, b, low)
                exchanged[i | step] = shuffle(builder, a, b, high)
        registers = exchanged
        step *= 2
    return registers
