"""Runs kernels on as many threads as the process may use, or on one where they are not safe.

Numba by itself counts processors and reads ``NUMBA_NUM_THREADS``. Here OpenMP's limit counts as
well (``OMP_NUM_THREADS``, threadpoolctl, joblib's workers), and a container's quota of processors.
Whatever the number, results have the same bits.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from joblib import cpu_count
from numba import get_num_threads, set_num_threads
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError
from numba.np.ufunc import parallel as numba_threads
from threadpoolctl import LibController, ThreadpoolController

from fastgmm.errors import ThreadsWarning, warn

# How often a thread asks for work before it sleeps: 10 000 times take about half a millisecond, the
# 300 000 by default 15. That is longer than a block, so that one of two threads kept its core from
# the thread that reads: a pass over a file took 72 ms, and 57 so.
SPINS = "GOMP_SPINCOUNT"
_compilation: Any = global_compiler_lock  # of all threads
# Who launches Numba's threads holds this one, some milliseconds, and may compile before
_launching: Any = getattr(numba_threads, "_backend_init_thread_lock", threading.RLock())
_usable = True  # until they fail, or until a fork leaves them behind
_in_use = threading.Lock()


def _after_fork() -> None:
    """Do without threads that some kernel, of ours or not, has started in the parent.

    With OpenMP a parallel kernel would kill the child, also where the parent had only asked Numba
    how many threads there are.
    """
    global _usable, _in_use
    _usable = _usable and not getattr(numba_threads, "_is_initialized", True)
    _in_use = threading.Lock()  # the parent's may be held by a thread that does not exist here
    _release()


def _acquire() -> None:
    """Wait for a compilation or a launch in another thread: a child would wait for it for ever."""
    _compilation.acquire()
    _launching.acquire()


def _release() -> None:
    _launching.release()
    _compilation.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_after_fork)


def run_in_parallel(
    parallel: Callable[..., None], serial: Callable[..., None], *arguments: Any
) -> None:
    """Call the parallel kernel where Numba's threads may be used, else the serial one."""
    with _threads() as are_ours:
        if not (are_ours and _attempt(parallel, arguments)):
            serial(*arguments)


@contextmanager
def _threads() -> Iterator[bool]:
    """Reserve the threads for one call, no more of them than allowed; yield whether they are ours.

    One call at a time: with the ``workqueue`` layer, two Python threads inside parallel kernels
    abort the process (Numba 0.68). The others run the serial kernel, which gives the same bits.
    """
    most = allowed_threads()
    if most == 1 or not (_usable and _launch()):
        yield False
        return
    before = get_num_threads()
    set_num_threads(min(before, most))
    try:
        with reserved() as are_ours:
            yield are_ours
    finally:
        set_num_threads(before)


@contextmanager
def reserved() -> Iterator[bool]:
    """Take the threads if there are several and nobody has them; yield whether they were taken."""
    if not _usable or get_num_threads() == 1 or not _in_use.acquire(blocking=False):
        yield False
        return
    lock = _in_use
    try:
        yield True
    finally:
        lock.release()


def allowed_threads() -> int:
    """How many threads this process may use, whatever Numba has."""
    told = [library.num_threads for library in _openmp()]
    # OpenMP's number means something only where somebody has made it less than it is by itself
    return min([_processors(), *(n for n in told if 0 < n < cpus())])


@functools.cache
def _processors() -> int:
    """Count the processors for this process: those it may run on, within its container's quota.

    Or as many as were asked for by name.
    """
    if "NUMBA_NUM_THREADS" in os.environ:
        return int(os.environ["NUMBA_NUM_THREADS"])
    return cpus()


@functools.cache
def cpus() -> int:
    """Count the processors that this process may run on, within its container's quota."""
    return max(1, cpu_count())  # reads files of the system: 50 microseconds


@functools.cache
def _openmp() -> list[LibController]:
    found: list[LibController] = ThreadpoolController().select(user_api="openmp").lib_controllers
    return found


def _launch() -> bool:
    """Start Numba's threads; tell whether there are any."""
    if getattr(numba_threads, "_is_initialized", False):
        return _usable
    try:
        with _briefly_spinning():
            get_num_threads()
    except ValueError as failure:  # "No threading layer could be loaded"
        _forgo(failure)
    return _usable


@contextmanager
def _briefly_spinning() -> Iterator[None]:
    """Have threads of GNU's OpenMP sleep soon when they wait, unless the user has said how long.

    They read it when they are loaded, and no later.
    """
    if SPINS in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ[SPINS] = "10000"
    try:
        yield
    finally:
        os.environ.pop(SPINS, None)


def _attempt(parallel: Callable[..., None], arguments: tuple[Any, ...]) -> bool:
    """Call the parallel kernel; tell whether it could be compiled."""
    try:
        parallel(*arguments)
    except (NumbaError, ValueError) as failure:
        _forgo(failure)
    return _usable


def _forgo(failure: Exception) -> None:
    """Say once why threads cannot be used, and use none from here on."""
    global _usable
    _usable = False
    warn(
        f"Numba cannot run kernels on several threads ({_first_line(failure)}); this process goes "
        "on with one, which gives the same results. NUMBA_THREADING_LAYER=workqueue works "
        "wherever Numba does.",
        ThreadsWarning,
    )


def _first_line(failure: Exception) -> str:
    return next(iter(str(failure).splitlines()), type(failure).__name__)
