"""Compiles kernels so that Ctrl-C cannot break them.

An interrupt in the compiler was lost where it met a callback from LLVM, or left Numba half made: a
later compilation died with ``RuntimeError: generator raised StopIteration`` (2 of 15 processes,
three interrupts each).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

from numba import config

from fastgmm.kernels.processor import warn_without_fma

SWITCH = "NUMBA_DISABLE_JIT"


def demand_compiler(error: type[Exception]) -> None:
    """Raise an error where Numba's compiler is turned off: no kernel works without it."""
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
    """Keep interrupts out of the compilation of a kernel."""
    kernel.compile = _uninterrupted(kernel.compile)
    return kernel


def _uninterrupted(compile_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(compile_)
    def compile_whole(signature: Any) -> Any:
        demand_compiler(RuntimeError)
        warn_without_fma()  # a kernel that is read from disk passes by here, too
        with later_interrupt():
            return compile_(signature)

    return compile_whole


@contextmanager
def later_interrupt() -> Iterator[None]:
    """Delay the first interrupt to the end of the block; a second one is not delayed."""
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
