"""Vectors of floating-point numbers as a Numba type: one processor register, written down.

A kernel that says ``fma(a, load(tile, j, r), b)`` compiles to the three instructions it names.
Nothing is left to an auto-vectoriser: the order of every sum is fixed by the source (the same bits
however the code around it is compiled), and accumulators stay in registers.

Every operation rounds as IEEE 754 says; ``fma`` rounds once. Vectors live inside compiled code
only.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, overload_attribute, register_model

from fastgmm.kernels.processor import WIDTH

REGISTER_BYTES = 8 * WIDTH


class VectorType(types.Type):
    """A register full of float64 or float32 numbers."""

    def __init__(self, element):
        self.element = element
        self.width = REGISTER_BYTES * 8 // element.bitwidth
        super().__init__(name=f"Vector({element} x {self.width})")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """An LLVM vector, kept as a value."""

    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_type(fe_type))


FLOATS = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}
MANTISSA_BITS = {types.float64: 52, types.float32: 23}
EXPONENT_BIAS = {types.float64: 1023, types.float32: 127}


def llvm_type(vector):
    """Return the LLVM type of a VectorType."""
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


def operands(context, builder, vector, signature, values):
    """Give every operand the type of ``vector``: scalars are converted and repeated."""
    for value, kind in zip(values, signature.args, strict=True):
        if is_vector(kind):
            yield value
        else:
            scalar = context.cast(builder, value, kind, vector.element)
            yield splat_value(builder, scalar, llvm_type(vector))


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


def register_pointer(context, builder, vector, array_type, array, indices):
    """Address the register that starts at an element, without a bounds check."""
    view = context.make_array(array_type)(context, builder, array)
    indices = cgutils.unpack_tuple(builder, indices, array_type.ndim)
    pointer = cgutils.get_item_pointer(
        context, builder, array_type, view, indices, wraparound=False
    )
    return builder.bitcast(pointer, llvm_type(vector).as_pointer())


@overload_attribute(VectorType, "width")
def width(vector):
    """Count the numbers in a register."""
    count = vector.width
    return lambda vector: count


@intrinsic
def load(typingctx, array, indices):
    """Read the register that starts at array[indices]; ``indices`` is a tuple."""
    vector = VectorType(array.dtype)

    def generate(context, builder, signature, arguments):
        pointer = register_pointer(context, builder, vector, array, *arguments)
        return builder.load(pointer, align=array.dtype.bitwidth // 8, typ=llvm_type(vector))

    return vector(array, indices), generate


@intrinsic
def store(typingctx, array, indices, vector):
    """Write a register to array[indices] and the elements after it."""

    def generate(context, builder, signature, arguments):
        pointer = register_pointer(context, builder, vector, array, *arguments[:2])
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, indices, vector), generate


@intrinsic
def splat(typingctx, array, scalar):
    """Repeat a scalar over a register of the element type of ``array``."""
    vector = VectorType(array.dtype)

    def generate(context, builder, signature, arguments):
        value = context.cast(builder, arguments[1], scalar, vector.element)
        return splat_value(builder, value, llvm_type(vector))

    return vector(array, scalar), generate


@intrinsic
def fma(typingctx, a, b, c):
    """Return a * b + c, rounded once; scalars among the operands are repeated."""
    vector = next(kind for kind in (a, b, c) if is_vector(kind))

    def generate(context, builder, signature, arguments):
        values = operands(context, builder, vector, signature, arguments)
        return call_llvm(builder, "fma", *values)

    return vector(a, b, c), generate


def binary(instruction):
    """Make an intrinsic of one LLVM instruction of two operands, at least one of them a vector."""

    @intrinsic
    def operation(typingctx, a, b):
        vector = a if is_vector(a) else b

        def generate(context, builder, signature, arguments):
            left, right = operands(context, builder, vector, signature, arguments)
            return getattr(builder, instruction)(left, right)

        return vector(a, b), generate

    return operation


_add, _subtract, _multiply, _divide = (binary(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


def for_vectors(operation):
    """Let an operator of Python mean ``operation`` where one of its sides is a vector."""

    def choose(a, b):
        if is_vector(a) or is_vector(b):
            return lambda a, b: operation(a, b)
        return None

    return choose


overload(operator.add)(for_vectors(_add))
overload(operator.sub)(for_vectors(_subtract))
overload(operator.mul)(for_vectors(_multiply))
overload(operator.truediv)(for_vectors(_divide))


@intrinsic
def where_less(typingctx, a, b, then, otherwise):
    """Return ``then`` where a < b and ``otherwise`` elsewhere, NaN included."""
    vector = next(kind for kind in (a, b, then, otherwise) if is_vector(kind))

    def generate(context, builder, signature, arguments):
        a, b, then, otherwise = operands(context, builder, vector, signature, arguments)
        return builder.select(builder.fcmp_ordered("<", a, b), then, otherwise)

    return vector(a, b, then, otherwise), generate


@intrinsic
def square_root(typingctx, vector):
    """Return the square root of every lane."""

    def generate(context, builder, signature, arguments):
        return call_llvm(builder, "sqrt", *arguments)

    return vector(vector), generate


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

    Every step lets the lanes of two registers cross, half of each: one shuffle and one blend. So
    many steps are taken before float32 is widened.
    """
    step = 1
    while len(registers) > 1:
        if step == 2**levels:
            registers = [widened(builder, register, vector) for register in registers]
        lanes = registers[0].type.count
        first = [lane // step % 2 == 0 for lane in range(lanes)]
        straight = [lane if a else lanes + lane for lane, a in enumerate(first)]
        crossed = [lane + step if a else lanes + lane - step for lane, a in enumerate(first)]
        registers = [
            builder.fadd(shuffle(builder, a, b, straight), shuffle(builder, a, b, crossed))
            for a, b in zip(registers[::2], registers[1::2], strict=True)
        ]
        step *= 2
    return registers[0] if step > 2**levels else widened(builder, registers[0], vector)


def adding_totals(levels):
    """Make an intrinsic that adds the sums of eight registers to float64 numbers."""

    @intrinsic
    def operation(typingctx, array, indices, vectors):
        vector = vectors.dtype
        sums_type = VectorType(types.float64)

        def generate(context, builder, signature, arguments):
            registers = cgutils.unpack_tuple(builder, arguments[2], 8)
            pointer = register_pointer(context, builder, sums_type, array, *arguments[:2])
            for first in range(0, 8, WIDTH):
                there = builder.gep(pointer, [ir.Constant(ir.IntType(64), first // WIDTH)])
                before = builder.load(there, align=8, typ=llvm_type(sums_type))
                sums = tree(builder, registers[first : first + WIDTH], vector, levels)
                builder.store(builder.fadd(before, sums), there, align=8)
            return context.get_dummy_value()

        return types.void(array, indices, vectors), generate

    return operation


# Both add the sum of each of eight registers to eight float64 from array[indices] on: the first in
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

    A lane that compares with NaN is written. ``array`` holds int32, with room for all lanes.
    """

    def generate(context, builder, signature, arguments):
        a_value, b_value, view, where, start = arguments
        numbers = ir.VectorType(ir.IntType(32), a.width)
        kept = builder.fcmp_unordered(">=", a_value, b_value)
        offset = splat_value(builder, builder.trunc(start, ir.IntType(32)), numbers)
        values = builder.add(offset, ir.Constant(numbers, list(range(a.width))))
        made = context.make_array(array)(context, builder, view)
        where = cgutils.unpack_tuple(builder, where, array.ndim)
        pointer = cgutils.get_item_pointer(context, builder, array, made, where, wraparound=False)
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
