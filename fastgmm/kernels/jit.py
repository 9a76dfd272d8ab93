"""How kernels are compiled: decided here, once.

A kernel shows its formula and nothing else. No fast-math flag is ever set: what becomes a vector
instruction is written as one (see ``vectors``), so the order of every sum is in the source and the
bits do not depend on what the optimiser felt like. ``contract`` and ``reassoc`` were measured in a
prototype and gain nothing over explicit vectors.
"""

import os
from functools import partial

from numba import njit

# Numba's disk cache notices an edit in the file of a kernel, not in the files that it calls:
# developers switch it off with FASTGMM_CACHE=0, users keep it (a warm start takes 0.3 s where
# compilation takes several).
CACHE = os.environ.get("FASTGMM_CACHE", "1") != "0"

kernel = partial(njit, cache=CACHE, nogil=True, error_model="numpy")
step = partial(njit, nogil=True, error_model="numpy")  # called once a tile: a call costs nothing
# Called once a register, and inlined by Numba before types are known: LLVM leaves functions of this
# size as calls, whose array arguments travel over the stack and are counted in and out: 3.3 times
# the E step's time at d = 2, 1.3 at d = 32.
inline = partial(njit, nogil=True, error_model="numpy", inline="always")
parallel = partial(njit, cache=CACHE, nogil=True, error_model="numpy", parallel=True)
