"""Identifies a fit by its arguments and its rows, so that a checkpoint can be matched to it.

Not where the rows are: a file may be moved, and an array be read from a file. Little is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.sources import Source
from fastgmm.version import __version__

Identity = dict[str, str | None]  # None where something is not known, which contradicts nothing

FIRST_ROWS = 4096  # are read and compared
SILENT = ("verbose", "verbose_interval")  # arguments that change no bit of a fit


def identity_of(settings: Mapping[str, Any], source: Source) -> Identity:
    """Describe a fit by its constructor's arguments, fastgmm's version and its rows."""
    arguments = {
        name: _said(value) for name, value in sorted(settings.items()) if name not in SILENT
    }
    return {**arguments, "fastgmm's version": __version__, **_rows(source)}


def differences(before: Mapping[str, Any], now: Identity) -> list[str]:
    """List the differences of two identities, in the order of the second."""
    names = dict.fromkeys([*now, *before])
    pairs = [(name, before.get(name), now.get(name)) for name in names]
    return [
        f"{name} was {one} and is {other}"
        for name, one, other in pairs
        if one is not None and other is not None and one != other
    ]


def digest(*arrays: npt.NDArray[Any]) -> str:
    """A few letters that stand for the shapes and the bits of some arrays."""
    found = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        found.update(f"{array.dtype.str} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:16]


def _rows(source: Source) -> Identity:
    return {
        "the number of features": str(source.n_features),
        "the names of the features": ", ".join(map(str, source.labels)),
        "the type of the rows": str(source.dtype),
        "the weights": "none" if source.weight is None else "given",
        "the number of rows": None if source.n_rows is None else str(source.n_rows),
        "the checksum of the first rows": _first_rows(source),
    }


def _first_rows(source: Source) -> str | None:
    block = source.first_rows(FIRST_ROWS)
    if block is None:
        return None
    return digest(block.rows, *(() if block.weights is None else (block.weights,)))


def _said(value: Any) -> str:
    """An argument as text: equal for equal numbers of any type; of an array, its checksum."""
    if isinstance(value, str | bool | np.bool_ | None):
        return str(value)
    if isinstance(value, Real):
        return repr(float(value)).removesuffix(".0")
    if isinstance(value, np.random.RandomState | np.random.Generator | np.random.SeedSequence):
        return f"a {type(value).__name__}"  # it has moved on, or is as it was: both go on alike
    return f"an array ({digest(np.asarray(value, np.float64))})"
