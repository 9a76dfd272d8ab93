"""Compilation of kernels that neither a broken disk cache nor Ctrl-C can break.

A cached file that was cut short, by a full disk or a process killed while writing, made every later
call of its kernel fail (EOFError or UnpicklingError, Numba 0.68). An interrupt in the compiler was
lost where it met a callback from LLVM, or left Numba half made: a later compilation died with
``RuntimeError: generator raised StopIteration`` (2 of 15 processes, three interrupts each).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import Any

from numba import config
from numba.core.caching import FunctionCache, NullCache

SWITCH = "NUMBA_DISABLE_JIT"


def demand_compiler(error: type[Exception]) -> None:
    """Refuse to go on where Numba's compiler is turned off: kernels are nothing without it."""
    if not config.DISABLE_JIT:
        return
    if os.environ.get(SWITCH, "0") != "0":
        found = f"{SWITCH}={os.environ[SWITCH]} in the environment turns off; unset it"
    else:
        found = (
            f"numba.config.DISABLE_JIT={config.DISABLE_JIT} turns off; set it to 0 where your code "
            "or a .numba_config.yaml sets it"
        )
    raise error(f"fastgmm needs Numba's compiler, which {found}")


def safe(kernel: Any) -> Any:
    """Let no interrupt into the compilation of a kernel, and forgive its cache."""
    kernel.compile = _uninterrupted(kernel.compile)
    if type(kernel._cache) is FunctionCache:
        kernel._cache = _Forgiving(kernel._cache)
    return kernel


def _uninterrupted(compile_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(compile_)
    def compile_whole(signature: Any) -> Any:
        demand_compiler(RuntimeError)
        with later_interrupt():
            return compile_(signature)

    return compile_whole


@contextmanager
def later_interrupt() -> Iterator[None]:
    """Let the first interrupt wait for the end; a second one does not wait."""
    handler = signal.getsignal(signal.SIGINT)
    # Python runs handlers in the main thread alone; one that is none of Python's takes effect there
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if waiting:
            handler(number, frame)
        waiting.append((number, frame))

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(*waiting[0])


class _Forgiving:
    """A cache of one kernel; what it does not know, the cache that it wraps does."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return machine code, or None: then the kernel is compiled, and any fault shows there."""
        try:
            return self._cache.load_overload(signature, target)
        except Exception:  # unpickling garbage may raise anything
            try:
                self._cache.flush()  # an index that cannot be read cannot be added to either
            except OSError:
                self._cache = NullCache()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep machine code where there is room for it."""
        with suppress(OSError):
            self._cache.save_overload(signature, data)
