"""A queue of numbered pieces of work, taken by whichever thread is free.

Numba gives every thread an equal part of a loop beforehand. Where another thread reads or writes
beside them, one of two kernel threads has half a core, and the other waited for it, spinning.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def new_queue():
    """Make a queue for one call; in Python, since in a kernel threads would make the zeros, too."""
    return np.zeros(1, np.int64)


@intrinsic
def take_next(_, queue):
    """Return 0, 1, 2, ...: to each caller, on whatever thread, the next number of the queue."""
    signature = types.int64(queue)

    def codegen(context, builder, signature, values):
        (kind,) = signature.args
        array = context.make_array(kind)(context, builder, values[0])
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return signature, codegen
