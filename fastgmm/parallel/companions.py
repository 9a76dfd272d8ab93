"""Threads that read or write beside the kernels, which leave them the processors they need."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

at_work = np.zeros(1, np.int64)  # companions that take a processor now; kernels look at it
BUSY = 0.5  # the share of its time that a companion computes, and does not wait
_lock = threading.Lock()


class Companion:
    """A thread that is counted while it computes.

    One that mostly waits, for a slow disk, needs no processor: where a kernel thread of two rested
    for it, a pass took half as long again. So a piece of work is counted if the one before was
    computed, not waited for.
    """

    def __init__(self) -> None:
        self._computes = True
        self._counted = 0
        self._began = 0.0, 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the thread that is in here, but for where it is also in `waiting`."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Do not count the thread for a while."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        self._counted = int(self._computes)
        self._began = time.perf_counter(), time.thread_time()
        _count(self._counted)

    def _end(self) -> None:
        _count(-self._counted)
        began, computed = self._began
        took = time.perf_counter() - began
        self._computes = time.thread_time() - computed > BUSY * took


def _count(more: int) -> None:
    with _lock:
        at_work[0] += more


def _after_fork() -> None:
    """Forget the companions, which stay with the parent."""
    global _lock
    _lock = threading.Lock()
    at_work[0] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
