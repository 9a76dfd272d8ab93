"""A queue of numbered pieces of work, taken by whichever thread is free.

Numba gives every thread an equal part of a loop beforehand. Where another thread reads or writes
beside them, one of two kernel threads has half a core, and the other waited for it, spinning.
"""

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastgmm.kernels.jit import inline
from fastgmm.parallel import companions
from fastgmm.parallel.threads import cpus

CAN_REST = os.name == "posix"  # elsewhere no sleep is this short
REST = 200  # microseconds; with 50, waking took 6 % of the processor time of a pass over Parquet
ORDER = "monotonic"  # of memory: a counter says nothing of what else was written


class Queue(NamedTuple):
    """What the threads of one call share."""

    taken: npt.NDArray[np.int64]  # (1,) numbers taken so far
    companions: npt.NDArray[np.int64]  # (1,) threads of ours that compute beside the kernel
    processors: int


def new_queue() -> Queue:
    """Make a queue for one call; in Python, since in a kernel threads would make the zeros, too."""
    return Queue(np.zeros(1, np.int64), companions.at_work, cpus() if CAN_REST else 2**31)


@inline
def take_next(queue, thread, size):
    """Return to each caller, on whatever thread, the next number of the queue: 0, 1, 2, ...

    From ``size`` on there is no work. While companions need their processors, the last of the
    threads rest: with three on two processors one was stopped within a piece of work, for which
    the others then waited at the end of the call (a pass over Parquet took 1.27 of the time that
    two processors allow, and 1.13 so).
    """
    while thread > 0 and current(queue.taken) < size:
        n_companions = current(queue.companions)
        if n_companions == 0 or thread < queue.processors - n_companions:
            break
        rest()
    return increment(queue.taken)


if CAN_REST:
    sleep = types.ExternalFunction("usleep", types.int32(types.uint32))

    @inline
    def rest():
        """Sleep for a moment."""
        sleep(REST)

else:

    @inline
    def rest():
        """Never called."""


@intrinsic
def increment(_, counter):
    """Add one to a counter that all threads share, and return what it was."""
    signature = types.int64(counter)

    def codegen(context, builder, signature, values):
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", address(context, builder, signature, values), one, ORDER)

    return signature, codegen


@intrinsic
def current(_, counter):
    """Return what such a counter is now: LLVM moved plain loads out of the loop that waits."""
    signature = types.int64(counter)

    def codegen(context, builder, signature, values):
        return builder.load_atomic(address(context, builder, signature, values), ORDER, 8)

    return signature, codegen


def address(context, builder, signature, values):
    """Return where the only number of an array is."""
    (kind,) = signature.args
    return context.make_array(kind)(context, builder, values[0]).data
