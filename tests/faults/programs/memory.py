"""Memory that runs out: at the n-th allocation of NumPy, for every n, and under a real limit.

python memory.py injected   through NumPy's own allocator, which is replaced by one that counts
python memory.py limited    by the system: RLIMIT_AS, ever closer
"""

import ctypes
import resource
import sys
import warnings
from pathlib import Path

import numba
import numpy as np
from numba.types import uintp, void, voidptr
from sklearn.exceptions import ConvergenceWarning

import fastgmm
from fastgmm import GaussianMixture

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(0)
rows = rng.normal(size=(300, 3)) + 8 * rng.integers(2, size=(300, 1))


# NumPy's structure PyDataMem_Handler, and the place of the function that sets it in NumPy's table.
ADDRESS, SIZE = ctypes.c_void_p, ctypes.c_size_t
SET_HANDLER = 304
HUGE = 2**62  # what no allocator has


class Handler(ctypes.Structure):
    """An allocator, as NumPy wants it described."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ADDRESS),
        ("malloc", ADDRESS),
        ("calloc", ADDRESS),
        ("realloc", ADDRESS),
        ("free", ADDRESS),
    )


def of_libc(name, result, *arguments):
    """A function of the C library, for compiled code."""
    function = getattr(ctypes.CDLL(None), name)
    function.restype, function.argtypes = result, arguments
    return function


c_malloc = of_libc("malloc", ADDRESS, SIZE)
c_calloc = of_libc("calloc", ADDRESS, SIZE, SIZE)
c_realloc = of_libc("realloc", ADDRESS, ADDRESS, SIZE)
c_free = of_libc("free", None, ADDRESS)


@numba.njit
def is_refused(context, size):
    """Count an allocation, and tell whether it is the one to fail.

    Small ones always succeed: of a failed scalar NumPy itself says SystemError.
    """
    left = numba.carray(context, 1, np.int64)
    if size < 64 or left[0] < 0:
        return False
    left[0] -= 1
    return left[0] < 0


# Compiled, since NumPy also frees while an exception is on its way, where Python cannot run.
@numba.cfunc(voidptr(voidptr, uintp))
def malloc(context, size):
    return c_malloc(HUGE if is_refused(context, size) else size)


@numba.cfunc(voidptr(voidptr, uintp, uintp))
def calloc(context, count, size):
    return c_calloc(count, HUGE if is_refused(context, count * size) else size)


@numba.cfunc(voidptr(voidptr, voidptr, uintp))
def realloc(context, old, size):
    return c_realloc(old, HUGE if is_refused(context, size) else size)


@numba.cfunc(void(voidptr, voidptr, uintp))
def free(context, old, size):
    c_free(old)


class Allocator:
    """The C library's allocator, which fails once when told to."""

    def __init__(self):
        self.left = np.array([-1])  # allocations before one fails; none does while negative
        self.handler = Handler(
            b"counting",
            1,
            self.left.ctypes.data,
            *(function.address for function in (malloc, calloc, realloc, free)),
        )
        api = ctypes.pythonapi
        api.PyCapsule_GetPointer.restype = ADDRESS
        api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
        api.PyCapsule_New.restype = ctypes.py_object
        api.PyCapsule_New.argtypes = [ADDRESS, ctypes.c_char_p, ADDRESS]
        table = api.PyCapsule_GetPointer(np._core._multiarray_umath._ARRAY_API, None)
        address = ctypes.cast(table, ctypes.POINTER(ADDRESS))[SET_HANDLER]
        self.name = b"mem_handler"
        capsule = api.PyCapsule_New(ctypes.addressof(self.handler), self.name, None)
        ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)(capsule)

    def fail_after(self, n):
        """Let the n allocations that come succeed, and the next one fail."""
        self.left[0] = n

    def has_failed(self):
        """Tell whether the failure has come; none comes from here on."""
        failed, self.left[0] = self.left[0] < 0, -1
        return bool(failed)


def model(**settings):
    return GaussianMixture(2, random_state=0, max_iter=6, tol=0.0, **settings)


def same(a, b):
    """Whether two dictionaries of attributes hold the same objects."""
    return a.keys() == b.keys() and all(a[name] is b[name] for name in a)


def injected():
    """Fail at every n until a whole run goes by without a failure."""
    folder = Path(sys.argv[2])
    allocator = Allocator()
    fitted = model().fit(rows)
    big = GaussianMixture.from_parameters([1.0], [np.zeros(100)], [np.eye(100)])
    path = folder / "model.npz"
    big.save(path)
    written = path.read_bytes()

    calls = {
        "fit": lambda: fitted.set_params(init_params="random_from_data").fit(rows),
        "k-means": lambda: fitted.set_params(init_params="kmeans").fit(rows),
        # of three components, which are exchanged, too
        "auto": lambda: fitted.set_params(init_params="auto", n_components=3).fit(rows),
        "predict": lambda: fitted.predict(rows),
        "predict_proba": lambda: fitted.predict_proba(rows),
        "score": lambda: fitted.score(rows),
        "chunks": lambda: fitted.set_params(init_params="random").fit([rows[:100], rows[100:]]),
        "save": lambda: big.save(path),
        "load": lambda: fastgmm.load(path),
    }
    for name, call in calls.items():
        call()  # compiled, imported, remembered
        n, step = -1, 1
        while True:
            n += step
            # every one of the first hundred, then ever fewer, which the loops below repeat anyhow
            step = max(1, n // 30)
            before, scores = dict(vars(fitted)), fitted.score_samples(rows[:5])
            allocator.fail_after(n)
            try:
                call()
            except MemoryError:
                failed = True
            else:
                failed = False
            reached = allocator.has_failed()
            if reached:
                assert failed, f"{name} went on after allocation {n} failed"
                assert same(vars(fitted), before), f"{name} left a half-made object at {n}"
            assert path.read_bytes() == written
            assert [each.name for each in folder.iterdir()] == [path.name]
            if not reached:
                break
            np.testing.assert_array_equal(fitted.score_samples(rows[:5]), scores)
        print(name, n)


def used():
    """Bytes of address space that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def limited():
    """Allow ever more memory until a fit goes through; what it needs is not there before."""
    many = rng.normal(size=(60_000, 40))
    fitted = model(init_params="random_from_data").fit(many)  # code and threads are there now
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    failures, room = 0, 1 << 16
    while True:
        before, scores = dict(vars(fitted)), fitted.score_samples(many[:5])
        resource.setrlimit(resource.RLIMIT_AS, (used() + room, hard))
        try:
            fitted.fit(many)
        except MemoryError:
            failed = True
        else:
            failed = False
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        if not failed:
            break
        failures, room = failures + 1, 2 * room
        assert same(vars(fitted), before)
        np.testing.assert_array_equal(fitted.score_samples(many[:5]), scores)
    assert failures > 3, failures
    print("failed", failures, "times, then went through with", room, "bytes")


if __name__ == "__main__":
    {"injected": injected, "limited": limited}[sys.argv[1]]()
