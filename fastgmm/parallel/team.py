"""Whether this call may use Numba's threads.

Two traps are guarded (Numba 0.68). With the ``workqueue`` layer, two Python threads inside parallel
kernels abort the process; and after a fork, a child whose parent used OpenMP is killed at its first
parallel kernel. In both cases the serial twin runs instead, which gives the same bits.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from numba import get_num_threads

_in_use = threading.Lock()
_started = False  # a parallel kernel has run in this process or in an ancestor
_forked = False


def _after_fork() -> None:
    global _in_use, _forked
    _in_use = threading.Lock()  # the parent's may be held by a thread that does not exist here
    _forked = _started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def team() -> Iterator[bool]:
    """Reserve the threads for one call: yield whether a parallel kernel may run."""
    global _started
    if _forked or get_num_threads() == 1 or not _in_use.acquire(blocking=False):
        yield False
        return
    try:
        _started = True
        yield True
    finally:
        _in_use.release()
