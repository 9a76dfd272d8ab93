"""Processor registers as a Numba type, with the instructions that kernels are written in.

A kernel that says ``fma(a, load(tile, (j, r)), b)`` compiles to the instructions it names. Nothing
is left to an auto-vectoriser: the source fixes the order of every sum (the same bits however the
code around it is compiled), and sums stay in registers.

A vector is one register or a tuple of them. Operators and ``fma`` work register by register, and
repeat scalars and single registers. Every operation rounds as IEEE 754 says; ``fma`` rounds once.
Vectors live inside compiled code only.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    lower_builtin,
    models,
    overload_attribute,
    register_model,
    type_callable,
)

from fastgmm.kernels.processor import WIDTH

REGISTER_BYTES = 8 * WIDTH


class VectorType(types.Type):
    """A register full of float64 or float32 numbers, or a tuple of ``count`` such registers."""

    def __init__(self, element, count=1):
        self.element, self.count = element, count
        self.width = REGISTER_BYTES * 8 // element.bitwidth
        super().__init__(name=f"Vector({element} x {self.width} x {count})")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """An LLVM vector, or an LLVM array of vectors, kept as a value."""

    def __init__(self, dmm, fe_type):
        register = llvm_type(fe_type)
        several = ir.ArrayType(register, fe_type.count)
        super().__init__(dmm, fe_type, register if fe_type.count == 1 else several)


FLOATS = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}
MANTISSA_BITS = {types.float64: 52, types.float32: 23}
EXPONENT_BIAS = {types.float64: 1023, types.float32: 127}


def llvm_type(vector):
    """Return the LLVM type of one register of a VectorType."""
    return ir.VectorType(FLOATS[vector.element], vector.width)


def integers_like(vector):
    """Return the LLVM type of integers of a vector's size."""
    return ir.VectorType(ir.IntType(vector.element.bitwidth), vector.width)


def is_vector(kind):
    """Tell whether a Numba type is a vector."""
    return isinstance(kind, VectorType)


def shuffle(builder, a, b, lanes):
    """Pick lanes of a (0, 1, ...) and of b (counted on from a's last)."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def splat_value(builder, scalar, kind):
    """Repeat an LLVM scalar over a register."""
    first = ir.Constant(ir.IntType(32), 0)
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, first)
    return shuffle(builder, single, single, [0] * kind.count)


def widest(*kinds):
    """Return the type with the most registers among the vectors of some Numba types."""
    return max(filter(is_vector, kinds), key=lambda kind: kind.count)


def unpacked(builder, value, kind):
    """Return the registers of a value as a list."""
    return [value] if kind.count == 1 else cgutils.unpack_tuple(builder, value, kind.count)


def packed(builder, registers):
    """Return the value that has these registers."""
    return registers[0] if len(registers) == 1 else cgutils.pack_array(builder, registers)


def broadcast(context, builder, vector, kind, value):
    """Return as many registers as ``vector`` has: a scalar or a single register is repeated."""
    if is_vector(kind):
        registers = unpacked(builder, value, kind)
    else:
        scalar = context.cast(builder, value, kind, vector.element)
        registers = [splat_value(builder, scalar, llvm_type(vector))]
    return registers * (vector.count if len(registers) == 1 else 1)


def elementwise(vector, operation):
    """Return the code of an operation that takes one register of each operand at a time."""

    def generate(context, builder, signature, arguments):
        kinds = zip(signature.args, arguments, strict=True)
        operands = [broadcast(context, builder, vector, *each) for each in kinds]
        return packed(builder, [operation(builder, *each) for each in zip(*operands, strict=True)])

    return generate


def call_llvm(builder, name, *values):
    """Call an intrinsic function of LLVM on registers of one type."""
    kind = values[0].type
    suffix = "f64" if kind.element == ir.DoubleType() else "f32"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [kind] * len(values)),
        f"llvm.{name}.v{kind.count}{suffix}",
    )
    return builder.call(function, values)


def element_pointer(context, builder, array_type, array, indices, kind):
    """Address what starts at an element as an LLVM type, without a bounds check."""
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(
        context, builder, array_type, view, indices, wraparound=False
    )
    return builder.bitcast(pointer, kind.as_pointer())


def register_pointer(context, builder, vector, array_type, array, indices):
    """Address the register that starts at array[indices]; ``indices`` is a tuple."""
    indices = cgutils.unpack_tuple(builder, indices, array_type.ndim)
    return element_pointer(context, builder, array_type, array, indices, llvm_type(vector))


@overload_attribute(VectorType, "width")
def width(vector):
    """Count the numbers in a register."""
    count = vector.width
    return lambda vector: count


def neighbours(builder, pointer, count):
    """Return the addresses of as many registers that lie side by side."""
    return [builder.gep(pointer, [ir.Constant(ir.IntType(64), i)]) for i in range(count)]


def following(builder, indices, count):
    """Return indices and those of the next elements along the first axis."""
    first, *rest = indices
    for i in range(count):
        yield [builder.add(first, ir.Constant(first.type, i)), *rest]


def loading(count):
    """Make an intrinsic that reads neighbouring registers from array[indices] on, a tuple."""

    @intrinsic
    def operation(typingctx, array, indices):
        vector = VectorType(array.dtype, count)

        def generate(context, builder, signature, arguments):
            pointer = register_pointer(context, builder, vector, array, *arguments)
            align, kind = array.dtype.bitwidth // 8, llvm_type(vector)
            places = neighbours(builder, pointer, count)
            return packed(builder, [builder.load(at, align=align, typ=kind) for at in places])

        return vector(array, indices), generate

    return operation


load = loading(1)


@intrinsic(prefer_literal=True)
def load_rows(typingctx, tile, i, r, count):
    """Read one register of each of the rows i, i + 1, ... of a tile, from column r on."""
    vector = VectorType(tile.dtype, count.literal_value)

    def generate(context, builder, signature, arguments):
        view, *indices, _ = arguments
        align, kind = tile.dtype.bitwidth // 8, llvm_type(vector)
        registers = []
        for place in following(builder, indices, vector.count):
            pointer = element_pointer(context, builder, tile, view, place, kind)
            registers.append(builder.load(pointer, align=align, typ=kind))
        return packed(builder, registers)

    return vector(tile, types.int64, types.int64, count), generate


@intrinsic(prefer_literal=True)
def load_chosen(typingctx, array, rows, i, j, count):
    """Read one register of each of the rows that rows[i], rows[i + 1], ... name, from column j."""
    vector = VectorType(array.dtype, count.literal_value)
    signature = vector(array, rows, types.int64, types.int64, count)

    def generate(context, builder, signature, arguments):
        view, chosen, first, column, _ = arguments
        number = context.get_value_type(rows.dtype)
        align, kind = array.dtype.bitwidth // 8, llvm_type(vector)
        registers = []
        for (place,) in following(builder, [first], vector.count):
            at = element_pointer(context, builder, rows, chosen, [place], number)
            row = builder.sext(builder.load(at), ir.IntType(64))
            pointer = element_pointer(context, builder, array, view, [row, column], kind)
            registers.append(builder.load(pointer, align=align, typ=kind))
        return packed(builder, registers)

    return signature, generate


@intrinsic
def store(typingctx, array, indices, vector):
    """Write registers to array[indices] and the elements after it."""

    def generate(context, builder, signature, arguments):
        pointer = register_pointer(context, builder, vector, array, *arguments[:2])
        registers = unpacked(builder, arguments[2], vector)
        for place, register in zip(
            neighbours(builder, pointer, vector.count), registers, strict=True
        ):
            builder.store(register, place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, indices, vector), generate


@intrinsic
def splat(typingctx, array, scalar):
    """Repeat a scalar over a register of the element type of ``array``."""
    vector = VectorType(array.dtype)

    def generate(context, builder, signature, arguments):
        return packed(builder, broadcast(context, builder, vector, scalar, arguments[1]))

    return vector(array, scalar), generate


@intrinsic(prefer_literal=True)
def zeros(typingctx, array, count):
    """Return ``count`` registers of zeros of the element type of ``array``."""
    vector = VectorType(array.dtype, count.literal_value)

    def generate(context, builder, signature, arguments):
        return packed(builder, [ir.Constant(llvm_type(vector), None)] * vector.count)

    return vector(array, count), generate


@intrinsic(prefer_literal=True)
def splat_each(typingctx, array, indices, count):
    """Repeat each of the numbers array[i], array[i + 1], ... over a register of its own.

    ``indices`` is the tuple of the first; where it is longer, its other indices stay.
    """
    vector = VectorType(array.dtype, count.literal_value)
    places = types.UniTuple(types.int64, array.ndim)

    def generate(context, builder, signature, arguments):
        view, start, _ = arguments
        indices = cgutils.unpack_tuple(builder, start, array.ndim)
        registers = []
        for place in following(builder, indices, vector.count):
            at = element_pointer(context, builder, array, view, place, FLOATS[array.dtype])
            registers.append(splat_value(builder, builder.load(at), llvm_type(vector)))
        return packed(builder, registers)

    return vector(array, places, count), generate


@intrinsic
def join(typingctx, a, b):
    """Return the registers of a, then those of b."""
    vector = VectorType(a.element, a.count + b.count)

    def generate(context, builder, signature, arguments):
        left, right = (
            unpacked(builder, value, kind)
            for value, kind in zip(arguments, signature.args, strict=True)
        )
        return packed(builder, left + right)

    return vector(a, b), generate


@intrinsic
def fma(typingctx, a, b, c):
    """Return a * b + c, rounded once; scalars and single registers are repeated."""
    vector = widest(a, b, c)
    return vector(a, b, c), elementwise(vector, fused)


def fused(builder, a, b, c):
    """Return a * b + c of single registers."""
    return call_llvm(builder, "fma", a, b, c)


def adding_products(pairs):
    """Make an intrinsic that adds a product of two registers to each of some sums.

    ``pairs`` says which registers of how many rows and columns are multiplied, in the sums' order.
    """

    @intrinsic
    def operation(typingctx, rows, columns, sums):
        def generate(context, builder, signature, arguments):
            left, right, before = (
                unpacked(builder, value, kind)
                for value, kind in zip(arguments, signature.args, strict=True)
            )
            places = zip(pairs(rows.count, columns.count), before, strict=True)
            after = [fused(builder, left[i], right[j], total) for (i, j), total in places]
            return packed(builder, after)

        return sums(rows, columns, sums), generate

    return operation


# sums + rows x columns, row by row: of all pairs, and of the lower triangle of a square
fma_outer = adding_products(lambda m, n: [(i, j) for i in range(m) for j in range(n)])
fma_triangle = adding_products(lambda m, n: [(i, j) for i in range(m) for j in range(i + 1)])


def for_vectors(symbol, instruction):
    """Let an operator of Python mean one LLVM instruction where one of its sides is a vector.

    It is lowered at once: `overload` made 28 functions of the operators in a first fit, one for
    each pair of types, which took 0.04 of its time to compile.
    """

    def of_registers(builder, a, b):
        return getattr(builder, instruction)(a, b)

    def generate(context, builder, signature, arguments):
        vector = signature.return_type
        return elementwise(vector, of_registers)(context, builder, signature, arguments)

    @type_callable(symbol)
    def typed(context):
        return lambda a, b: widest(a, b) if is_vector(a) or is_vector(b) else None

    for kinds in ((VectorType, VectorType), (VectorType, types.Any), (types.Any, VectorType)):
        lower_builtin(symbol, *kinds)(generate)


for_vectors(operator.add, "fadd")
for_vectors(operator.sub, "fsub")
for_vectors(operator.mul, "fmul")
for_vectors(operator.truediv, "fdiv")


@intrinsic
def where_less(typingctx, a, b, then, otherwise):
    """Return ``then`` where a < b and ``otherwise`` elsewhere, NaN included."""
    vector = widest(a, b, then, otherwise)

    def of_registers(builder, a, b, then, otherwise):
        return builder.select(builder.fcmp_ordered("<", a, b), then, otherwise)

    return vector(a, b, then, otherwise), elementwise(vector, of_registers)


@intrinsic
def square_root(typingctx, vector):
    """Return the square root of every lane."""

    def of_registers(builder, register):
        return call_llvm(builder, "sqrt", register)

    return vector(vector), elementwise(vector, of_registers)


@intrinsic
def add_in_order(typingctx, start, vectors):
    """Return start + the first register + the second + ..., added in this order."""

    def generate(context, builder, signature, arguments):
        running = arguments[0]
        for register in unpacked(builder, arguments[1], vectors):
            running = builder.fadd(running, register)
        return running

    return start(start, vectors), generate


@intrinsic
def power_of_two(typingctx, shifted):
    """Return 2**n for the integer n that adding 1.5 * 2**mantissa_bits left in the low bits."""
    bits = MANTISSA_BITS[shifted.element]

    def generate(context, builder, signature, arguments):
        kind = integers_like(shifted)
        biased = builder.add(
            builder.bitcast(arguments[0], kind),
            ir.Constant(kind, [EXPONENT_BIAS[shifted.element]] * shifted.width),
        )
        exponent = builder.shl(biased, ir.Constant(kind, [bits] * shifted.width))
        return builder.bitcast(exponent, llvm_type(shifted))

    return shifted(shifted), generate


@intrinsic
def exponent(typingctx, vector):
    """Return e, as floating point, of every positive normal x = m * 2**e with 1 <= m < 2."""
    bits = MANTISSA_BITS[vector.element]

    def generate(context, builder, signature, arguments):
        kind = integers_like(vector)
        raw = builder.lshr(
            builder.bitcast(arguments[0], kind), ir.Constant(kind, [bits] * vector.width)
        )
        unbiased = builder.sub(
            raw, ir.Constant(kind, [EXPONENT_BIAS[vector.element]] * vector.width)
        )
        return builder.sitofp(unbiased, llvm_type(vector))

    return vector(vector), generate


@intrinsic
def mantissa(typingctx, vector):
    """Return m of every positive normal x = m * 2**e with 1 <= m < 2."""
    bits = MANTISSA_BITS[vector.element]

    def generate(context, builder, signature, arguments):
        kind = integers_like(vector)
        low = builder.and_(
            builder.bitcast(arguments[0], kind), ir.Constant(kind, [(1 << bits) - 1] * vector.width)
        )
        one = ir.Constant(kind, [EXPONENT_BIAS[vector.element] << bits] * vector.width)
        return builder.bitcast(builder.or_(low, one), llvm_type(vector))

    return vector(vector), generate


def widened(builder, value, vector):
    """Return float64 sums of a register's halves, or the register if it has float64."""
    if vector.element == types.float64:
        return value
    half = vector.width // 2
    double = ir.VectorType(ir.DoubleType(), half)
    low = shuffle(builder, value, value, list(range(half)))
    high = shuffle(builder, value, value, list(range(half, vector.width)))
    return builder.fadd(builder.fpext(low, double), builder.fpext(high, double))


def tree(builder, registers, vector, levels):
    """Turn a few registers into one of float64, whose lane i sums up register i.

    In every round the lanes of two registers cross, half of each: one shuffle and one blend. So
    many rounds are made before float32 is widened.
    """
    apart = 1
    while len(registers) > 1:
        if apart == 2**levels:
            registers = [widened(builder, register, vector) for register in registers]
        lanes = registers[0].type.count
        first = [lane // apart % 2 == 0 for lane in range(lanes)]
        straight = [lane if a else lanes + lane for lane, a in enumerate(first)]
        crossed = [lane + apart if a else lanes + lane - apart for lane, a in enumerate(first)]
        registers = [
            builder.fadd(shuffle(builder, a, b, straight), shuffle(builder, a, b, crossed))
            for a, b in zip(registers[::2], registers[1::2], strict=True)
        ]
        apart *= 2
    return registers[0] if apart > 2**levels else widened(builder, registers[0], vector)


def adding_totals(levels):
    """Make an intrinsic that adds the sum of each register to float64 numbers, in whole eights."""

    @intrinsic
    def operation(typingctx, array, indices, vectors):
        vector = vectors.dtype if isinstance(vectors, types.UniTuple) else vectors
        sums_type = VectorType(types.float64)

        def generate(context, builder, signature, arguments):
            registers = cgutils.unpack_tuple(builder, arguments[2], vectors.count)
            registers += [ir.Constant(llvm_type(vector), None)] * (-vectors.count % 8)
            pointer = register_pointer(context, builder, sums_type, array, *arguments[:2])
            places = neighbours(builder, pointer, len(registers) // WIDTH)
            for i, place in enumerate(places):
                before = builder.load(place, align=8, typ=llvm_type(sums_type))
                sums = tree(builder, registers[i * WIDTH : (i + 1) * WIDTH], vector, levels)
                builder.store(builder.fadd(before, sums), place, align=8)
            return context.get_dummy_value()

        return types.void(array, indices, vectors), generate

    return operation


# Both add the sum of each register to the float64 numbers from array[indices] on: the first in
# float64 throughout, the second lets lanes of float32 cross once in float32. That is one rounding
# more for each lane's dozen, and 37 instructions in place of 53; with two or four roundings, 33
# features had 6.88 or 6.89 digits where 6.9 are promised.
add_totals, add_quick_totals = adding_totals(0), adding_totals(1)


@intrinsic
def total(typingctx, vector):
    """Return the float64 sum of a register's lanes, halves first."""

    def generate(context, builder, signature, arguments):
        value = widened(builder, arguments[0], vector)
        count = WIDTH
        while count > 1:
            count //= 2
            low = shuffle(builder, value, value, list(range(count)))
            high = shuffle(builder, value, value, list(range(count, 2 * count)))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float64(vector), generate


@intrinsic
def append_where_not_less(typingctx, a, b, array, indices, first):
    """Write first, first + 1, ... of the lanes where not a < b, one after another; count them.

    A lane that compares with NaN is written. ``array`` holds int32, with space for all lanes.
    """

    def generate(context, builder, signature, arguments):
        a_value, b_value, numbers_value, where, start = arguments
        numbers = ir.VectorType(ir.IntType(32), a.width)
        kept = builder.fcmp_unordered(">=", a_value, b_value)
        offset = splat_value(builder, builder.trunc(start, ir.IntType(32)), numbers)
        values = builder.add(offset, ir.Constant(numbers, list(range(a.width))))
        where = cgutils.unpack_tuple(builder, where, array.ndim)
        single = ir.IntType(32)
        pointer = element_pointer(context, builder, array, numbers_value, where, single)
        mask = ir.VectorType(ir.IntType(1), a.width)
        write = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [numbers, pointer.type, mask]),
            f"llvm.masked.compressstore.v{a.width}i32",
        )
        builder.call(write, [values, pointer, kept])
        bits = ir.IntType(a.width)
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(bits, [bits]), f"llvm.ctpop.i{a.width}"
        )
        return builder.zext(builder.call(count, [builder.bitcast(kept, bits)]), ir.IntType(64))

    return types.int64(a, b, array, indices, types.int64), generate


@intrinsic
def lanes_not_less(typingctx, a, b):
    """Return an integer with a bit for each lane of a few registers, set where not a < b."""

    def generate(context, builder, signature, arguments):
        bits = ir.Constant(ir.IntType(64), 0)
        pairs = zip(*(unpacked(builder, each, a) for each in arguments), strict=True)
        for i, (left, right) in enumerate(pairs):
            kept = builder.fcmp_unordered(">=", left, right)
            lanes = builder.zext(builder.bitcast(kept, ir.IntType(a.width)), ir.IntType(64))
            bits = builder.or_(bits, builder.shl(lanes, ir.Constant(ir.IntType(64), i * a.width)))
        return bits

    return types.int64(a, a), generate


@intrinsic
def lowest_bit(typingctx, bits):
    """Return the place of the lowest bit that is set, of an integer that is not zero."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
