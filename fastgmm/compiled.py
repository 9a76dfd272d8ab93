"""Numba's disk cache of kernels, forgiven its faults: a cache may cost time, never a fit.

A file that was cut short, by a full disk or a process killed while writing, made every later call
of its kernel fail (EOFError or UnpicklingError, Numba 0.68).
"""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any

from numba.core import dispatcher
from numba.core.caching import FunctionCache, NullCache

DISPATCHER: Any = dispatcher.Dispatcher


def forgive(*modules: ModuleType) -> None:
    """Let the kernels of some modules compile anew where their cache cannot be read or written."""
    kernels: list[Any] = [each for module in modules for each in vars(module).values()]
    for kernel in kernels:
        if isinstance(kernel, DISPATCHER) and type(kernel._cache) is FunctionCache:
            kernel._cache = _Forgiving(kernel._cache)


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
