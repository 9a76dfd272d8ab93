"""Fit where another library has changed how this processor rounds, or what it does with denormals.

Its control word (MXCSR, of x86-64) is loaded by eight bytes of machine code; threads that are
started afterwards inherit it, those that were started before do not. Both are tried.
"""

import ctypes
import mmap
import warnings

import numba
import numpy as np

from fastgmm import GaussianMixture

warnings.simplefilter("ignore")  # not converged, of course
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("0fae17c30fae1fc3"))  # ldmxcsr [rdi]; ret; stmxcsr [rdi]; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
function = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint))
load, store = function(address), function(address + 4)
CHANGES = {"flush to zero": 0x8040, "up": 0x4000, "down": 0x2000, "towards zero": 0x6000}
EPSILON = {np.float64: 2.0**-52, np.float32: 2.0**-23}


def control():
    word = ctypes.c_uint()
    store(ctypes.byref(word))
    return word.value & ~0x3F  # without the flags of what has happened


def changed(change, call):
    """Call with another control word; it must still be the same one afterwards."""
    before = control()
    load(ctypes.byref(ctypes.c_uint(before | change)))
    try:
        found = call()
        assert control() == before | change, "the caller's own setting was changed"
    finally:
        load(ctypes.byref(ctypes.c_uint(before)))
    return found


def fitted(kind, rows):
    model = GaussianMixture(
        3, covariance_type=kind, init_params="random_from_data", random_state=0, tol=0.0, max_iter=8
    ).fit(rows)
    return (
        model.means_,
        model.covariances_,
        model.score_samples(rows),
        model.predict_proba(rows),
    )


def compare(dtype, kind):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(20_000, 4)) + 6 * rng.integers(3, size=(20_000, 1))).astype(dtype)
    rows[::50, 0] *= 1e-310 if dtype is np.float64 else 1e-42  # denormals
    numba.set_num_threads(2)
    expected = None  # with threads that come after those of the first change
    for name, change in CHANGES.items():
        found = changed(change, lambda: fitted(kind, rows))
        expected = expected or fitted(kind, rows)
        for one, other in zip(found, expected, strict=True):
            error = np.abs(one - other).max() / max(1.0, np.abs(other).max())
            bound = 0.0 if name == "flush to zero" else 200 * EPSILON[dtype]
            assert error <= bound, (dtype, kind, name, error)


if __name__ == "__main__":
    for dtype in EPSILON:
        for kind in ("full", "tied", "diag", "spherical"):
            compare(dtype, kind)
    print("right")
