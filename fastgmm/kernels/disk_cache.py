"""Machine code kept on disk, until any kernel's file or the processor changes.

A cached file that was cut short, by a full disk or a process killed while writing, made every later
call of its kernel fail (EOFError or UnpicklingError, Numba 0.68): here it is compiled anew.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import IndexDataCacheFile, NullCache

from fastgmm.kernels.processor import FEATURES, NAME, WIDTH

CACHE = os.environ.get("FASTGMM_CACHE", "1") != "0"

# Of Numba's settings, those that change machine code, beside the processor's
SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML", "BOUNDSCHECK")
SETTINGS += ("DEBUGINFO_DEFAULT",)


def digest(*parts: object) -> str:
    """Return a hash of some values, as text."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def contents() -> list[tuple[str, bytes]]:
    """Return the files of all kernels: their names and bytes, whatever the times of files say."""
    folder = Path(__file__).parent
    files = sorted(folder.rglob("*.py"))
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]


TARGET = digest(NAME, FEATURES, WIDTH, [str(getattr(config, each, None)) for each in SETTINGS])
STAMP = digest(numba.__version__, contents())


def kept(kernel: Any) -> Any:
    """Cache a kernel's machine code in files named by target processor and by source."""
    kernel._cache = _Stamped(kernel._cache, TARGET, STAMP)
    return kernel


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
