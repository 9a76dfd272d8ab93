"""Compiles kernels so that neither a broken disk cache nor Ctrl-C can break them.

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
from pathlib import Path
from types import FrameType
from typing import Any

from numba import config
from numba.core.caching import IndexDataCacheFile, NullCache

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


def kept(kernel: Any, target: str, stamp: str) -> Any:
    """Cache a kernel's machine code in files named by target processor and by source."""
    kernel._cache = _Stamped(kernel._cache, target, stamp)
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


class _Stamped:
    """The disk cache of one kernel; wraps Numba's.

    Numba stamps the index alone, and numbers the files it names from one: in a folder that several
    processes write to, a new index would for a while name old machine code. Here the stamp is in
    the names of all files, so that none holds another's, and those of old stamps are removed. What
    is for other processors stays.
    """

    def __init__(self, cache: Any, target: str, stamp: str) -> None:
        self._cache, self._folder = cache, Path(cache.cache_path)
        self._siblings = f"{cache._impl.filename_base}.{target}."
        self._name = self._siblings + stamp
        cache._cache_file = IndexDataCacheFile(cache.cache_path, self._name, stamp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return machine code, or None, upon which the kernel is compiled."""
        try:
            found = self._cache.load_overload(signature, target)
            # two processes that compile at once may give one number to two types of arguments
            return found if found is None or found.signature.args == signature else None
        except Exception:  # unpickling garbage may raise anything
            try:
                self._cache.flush()  # an index that cannot be read cannot be added to either
            except OSError:
                self._cache = NullCache()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Write machine code, if the disk has space for it."""
        with suppress(OSError):
            self._cache.save_overload(signature, data)
            for path in self._folder.iterdir():
                if path.name.startswith(self._siblings) and not path.name.startswith(self._name):
                    path.unlink(missing_ok=True)
