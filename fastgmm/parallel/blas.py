"""Runs BLAS on one thread, so that no bit of a result depends on the number of threads."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ContextDecorator
from functools import partial

import numpy.linalg
import scipy.linalg.lapack
from threadpoolctl import LibController, ThreadpoolController

OURS = (numpy.linalg, scipy.linalg.lapack)  # each brings a BLAS; both are here to be counted
PARALLEL_OPERATIONS = 1e6  # multiply-adds: 0.3 ms of small matrices; two threads start in 0.12 ms


class _OneThread:
    """Limits the process-wide thread pools to one thread while any Python thread is inside.

    If each caller restored what it had found, the first to leave would free a pool under the
    others, and the last would leave it limited. (threadpoolctl 3.7 lets only one Python thread set
    the number, and silently ignores the others.)
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.found: dict[LibController, int] = {}  # kept where an interrupt prevents putting back

    def __enter__(self) -> None:
        with self.lock:
            self.found = self.found or {pool: pool.num_threads for pool in _pools(True)}
            self.limit()
            self.inside += 1

    def limit(self) -> None:
        """Limit the pools, which somebody else may have set meanwhile."""
        for pool in self.found:
            if pool.num_threads != 1:  # to ask is a third of the time of setting it
                _set(pool, 1)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.put_back()

    def put_back(self) -> None:
        for pool, n_threads in self.found.items():
            if n_threads != 1:
                _set(pool, n_threads)
            _let_go(pool)
        self.found = {}

    def after_fork(self) -> None:
        """Forget, in a child, the threads that were inside in the parent."""
        self.lock, self.inside = threading.Lock(), 0
        _here.depth = 0
        self.put_back()


_one_thread = _OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_thread.after_fork)


class _Guard(ContextDecorator):
    """What `one_blas_thread` returns: a block, or a decorator, that counts for this Python thread.

    A thread that is inside already only looks whether somebody else has set the number since.
    """

    def __enter__(self) -> None:
        if _here.depth == 0:
            own = {pool: pool.num_threads for pool in _pools(False)}
            for pool in own:
                pool.set_num_threads(1)
            _one_thread.__enter__()
            _here.own = own
        else:
            _one_thread.limit()
        _here.depth += 1

    def __exit__(self, *_: object) -> None:
        _here.depth -= 1
        if _here.depth == 0:
            try:
                _one_thread.__exit__()
            finally:
                for pool, n_threads in _here.own.items():
                    pool.set_num_threads(n_threads)


class _Here(threading.local):
    """How many blocks this Python thread is inside, and what it found in its own pools."""

    def __init__(self) -> None:
        self.depth = 0
        self.own: dict[LibController, int] = {}


_guard, _here = _Guard(), _Here()


def one_blas_thread() -> _Guard:
    """Limit BLAS to one thread: from d = 128 on, OpenBLAS's dpotrf rounds differently with two.

    Every call of BLAS is inside such a block, or in a function decorated with it (16 microseconds,
    4 if nested); `tests/test_layers.py` checks that.
    """
    return _guard


def each_matrix(work: Callable[[int], None], count: int, operations: float) -> None:
    """Call ``work`` for 0, 1, ... ``count`` - 1, each call with BLAS at one thread.

    If ``operations`` multiply-adds are worth it, as many calls run at a time as BLAS would have
    threads: matrices of a hundred features are too small for BLAS itself to use several. Of several
    calls that fail, the first raises its error.
    """
    n_threads = 1
    if operations >= PARALLEL_OPERATIONS:
        n_threads = min([count, *map(_threads_outside, _pools(True) + _pools(False))])
    if n_threads < 2:
        _in_turn(work, range(count))
        return
    parts = [range(count * i // n_threads, count * (i + 1) // n_threads) for i in range(n_threads)]
    with one_blas_thread(), ThreadPoolExecutor(n_threads) as threads:
        for _ in threads.map(partial(_in_turn, work), parts):
            pass


def _in_turn(work: Callable[[int], None], part: range) -> None:
    with one_blas_thread():
        for k in part:
            work(k)


def _threads_outside(pool: LibController) -> int:
    """Return the threads that BLAS has where nobody limits it."""
    found = _one_thread.found | _here.own if _here.depth else {}
    return found.get(pool, pool.num_threads)


@functools.cache
def _pools(shared: bool, /) -> list[LibController]:
    """Return the BLAS libraries: their number of threads is the process's, or each caller's own."""
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [pool for pool in found if shared == (_layer(pool) != "openmp")]


def _layer(pool: LibController) -> str | None:
    return getattr(pool, "threading_layer", None)


def _set(pool: LibController, n_threads: int) -> None:
    """Set the number from whatever Python thread this is."""
    _let_go(pool)
    pool.set_num_threads(n_threads)


def _let_go(pool: LibController) -> None:
    """Let any Python thread set the number."""
    let_go = getattr(pool, "clear_controlling_thread", None)
    if let_go is not None:
        let_go(force=True)
