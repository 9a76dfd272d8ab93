"""The decorators that compile kernels; all compile options are here.

A kernel shows its formula and nothing else. No fast-math flag is ever set: what becomes a vector
instruction is written as one (see ``vectors``), so the order of every sum is in the source and the
bits do not depend on what the optimiser felt like.
"""

from functools import cache, partial

from numba import njit
from numba.extending import overload, register_jitable

from fastgmm.kernels.compilation import demand_compiler, safe
from fastgmm.kernels.disk_cache import CACHE, kept
from fastgmm.kernels.linked import LinkedCompiler

demand_compiler(ImportError)

# Nothing calls from C, so that there is no way in from there.
OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
# Nor does anything call pieces from Python, or as machine code of their own.
LINKED = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": LinkedCompiler}


def compiled(function=None, **options):
    """Compile when first called, and keep the result on disk until any kernel's file changes.

    Numba by itself notices an edit in the file of a kernel, not in those that it calls: after a
    pull, old machine code would fill arrays of the new layout, and did, past their ends. Nor does
    it see the width of registers, which such arrays follow.
    """
    if function is None:
        return partial(compiled, **options)
    options |= OPTIONS | {"forceinline": False, "_nrt": True}
    if not CACHE:
        return safe(njit(**options)(function))
    try:
        kernel = njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return safe(
            njit(**options)(function)
        )  # no folder to write to: compile in every process anew
    return kept(safe(kernel))


def piece(function, **options):
    """Compile for those kernels that call it, each of which is optimised with its own copy.

    The way into it from Python is left out: it held every piece once more. Without such ways, and
    those from C, the first fit compiled for 0.81 of the time, and passes took 0.97 to 1.01 of
    theirs. Nor is it optimised on its own (see ``linked``). Called from Python all the same, it
    gets a way.
    """
    found = njit(**OPTIONS | LINKED, **options)(function)
    # a call from Python never finds machine code, so that it asks for some
    found._insert = lambda *_: None
    found._compile_for_args = lambda *_: entry(found)
    return found


@cache
def entry(found):
    """Return a way into a piece from Python."""
    return njit(lambda *arguments: found(*arguments), nogil=True)


chosen_by_type = partial(overload, jit_options=LINKED)  # also a piece, of whichever type calls it
kernel = compiled
parallel = partial(compiled, parallel=True)
# Called once per tile, and left a function of its own: tied compiles in 4 s, inlined in 8. Options
# are set explicitly, because Numba otherwise hands those of the caller on.
subroutine = partial(piece, forceinline=False, _nrt=True)
# The same where references are not counted, so that it may return no array: of tuples of arrays,
# which the choice of centres hands on, it compiled in 0.9 of the time
quiet = partial(piece, forceinline=False, _nrt=False)
# Called once per register, and inlined by LLVM whatever its size: as a call the E step took 3.3
# times as long at d = 2, 1.3 at d = 32, since array arguments travel over the stack. References are
# not counted (``_nrt``), which took as long again; so it may return no array. Inlined by Numba,
# before types are known, the first fit compiled for 12.8 s instead of 7.3.
inline = partial(piece, forceinline=True, _nrt=False)
# Returns views of arrays, and is inlined by Numba.
view = partial(njit, **OPTIONS, inline="always")
# Called from Python, too, where it is not compiled: only kernels are cached, and compiling it in
# every process took 0.8 s, more than all else of the first fit.
either = register_jitable(nogil=True, error_model="numpy")
