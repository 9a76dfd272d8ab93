"""Lanes taken in turn, by whichever thread is free.

Numba gives every thread an equal share of a loop beforehand. Where another thread reads or writes
beside them, one of two kernel threads has half a core, and the other waited for it, spinning.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def new_turns():
    """Make a counter for one call; here, since a kernel would let threads share the zeros, too."""
    return np.zeros(1, np.int64)


@intrinsic
def take_turn(_, counter):
    """Return the next number of a counter (1,) of int64, to each caller another."""
    signature = types.int64(counter)

    def codegen(context, builder, signature, values):
        (kind,) = signature.args
        array = context.make_array(kind)(context, builder, values[0])
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return signature, codegen
