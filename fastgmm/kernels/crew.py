"""A crew of threads that share rounds of short work, of which one leads and waits for no other.

Each round is cut into numbered pieces, which whoever is free takes; between rounds the leader does
what cannot be shared. A thread that comes late, because others use its processor, finds the work
done: only pieces that somebody has begun are waited for. With a ``prange`` in each round, 3200
rounds of 0.2 ms took 1.4 to 2.2 s on a busy machine, 0.6 on one thread and 0.7 to 0.8 so.
"""

from functools import partial

import numpy as np
from llvmlite import ir
from numba import get_num_threads, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastgmm.kernels.by_address import entry_of
from fastgmm.kernels.jit import inline, quiet
from fastgmm.kernels.work_queue import CAN_REST, rest
from fastgmm.parallel.threads import run_in_parallel

# What a crew shares, each on a cache line of its own. All but the first and the last count pieces
# of all rounds: those before this round, those up to its end, those begun, those done
ARRIVED, BEFORE, UP_TO, BEGUN, DONE, OVER = range(0, 48, 8)
# Then a thread that waits rests: after 5 microseconds. With ten times as many, two threads took 1.2
# times as long where others had their processors
POLLS = 20_000


def new_crew():
    """Make what a crew shares for one call."""
    return np.zeros(48, np.int64)


def run(parallel, kernel, is_small, *arguments):
    """Call a kernel with a crew as its last argument: of one, or on all threads.

    ``parallel`` calls an entry of the kernel, which is given first, once on each of some threads.
    """
    arguments = *arguments, new_crew()
    if is_small or not CAN_REST:
        kernel(*arguments)
    else:
        run_in_parallel(partial(_on_threads, parallel, kernel), kernel, *arguments)


def _on_threads(parallel, kernel, *arguments):
    parallel(entry_of(kernel, *arguments), get_num_threads(), *arguments)


@intrinsic
def get(typingctx, numbers, place):
    """Read a number that other threads write, and see what they wrote before it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(pointer(context, builder, signature, arguments), "acquire", 8)

    return types.int64(numbers, types.int64), generate


@intrinsic
def put(typingctx, numbers, place, value):
    """Write a number, after all that was written before."""

    def generate(context, builder, signature, arguments):
        at = pointer(context, builder, signature, arguments)
        builder.store_atomic(arguments[2], at, "release", 8)
        return context.get_dummy_value()

    return types.void(numbers, types.int64, types.int64), generate


@intrinsic
def count(typingctx, numbers, place):
    """Add one to a number; return what it was."""

    def generate(context, builder, signature, arguments):
        at, one = pointer(context, builder, signature, arguments), ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", at, one, "acq_rel")

    return types.int64(numbers, types.int64), generate


@intrinsic
def claim(typingctx, numbers, place, expected):
    """Add one to a number if it is what is expected; tell whether it was."""

    def generate(context, builder, signature, arguments):
        at, known = pointer(context, builder, signature, arguments), arguments[2]
        more = builder.add(known, ir.Constant(known.type, 1))
        found = builder.cmpxchg(at, known, more, "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(numbers, types.int64, types.int64), generate


def pointer(context, builder, signature, arguments):
    """Return where a number of an array is."""
    kind = signature.args[0]
    view = context.make_array(kind)(context, builder, arguments[0])
    return cgutils.get_item_pointer(context, builder, kind, view, [arguments[1]], wraparound=False)


@inline
def arrive(crew):
    """Count this thread in; the first, 0, leads."""
    return count(crew, ARRIVED)


@inline
def begin_round(crew, n_pieces):
    """Offer pieces of work; all before are done."""
    before = get(crew, UP_TO)
    put(crew, BEFORE, before)
    put(crew, UP_TO, before + n_pieces)


@quiet
def take_piece(crew, member):
    """Return the number of a piece to do, or -1: to the leader, if none is left in this round."""
    polls = 0
    while True:
        begun = get(crew, BEGUN)
        if begun < get(crew, UP_TO):
            if claim(crew, BEGUN, begun):
                return begun - get(crew, BEFORE)
        elif member == 0 or get(crew, OVER) == 1:
            return -1
        else:
            polls += 1
            if polls > POLLS:
                rest()


@inline
def finish_piece(crew):
    """Say that a piece is done."""
    count(crew, DONE)


@quiet
def end_round(crew):
    """Wait for the pieces that others have begun."""
    polls = 0
    while get(crew, DONE) < get(crew, UP_TO):
        polls += 1
        if polls > POLLS:
            rest()


@inline
def dismiss(crew):
    """Let the others go."""
    put(crew, OVER, 1)
