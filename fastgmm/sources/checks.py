"""Refuses rows that no fit could use: not finite, too large to square, too alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.cells import NO_VALUE
from fastgmm.sources.rows import Rows
from fastgmm.sources.types import Block

# Beyond these a square, summed over as many rows as there may be, is no number any more: 1e290
# leaves room for 1e18 rows, and float32, whose squares are summed in tiles of 192 rows, for those.
LARGEST = {np.dtype(np.float32): 1e17, np.dtype(np.float64): 1e145}
SMALLEST = {np.dtype(np.float32): 1e-17, np.dtype(np.float64): 1e-140}  # so that squares are normal
FEW_NUMBERS = 10_000  # that are turned into columns: 300 x 2 took 28 microseconds, and 3 so
LOOP_NUMBERS = 512  # in one of NumPy's loops: fewer cost more to begin than to do


def check_finite(source: Rows, block: Block) -> None:
    """Refuse the first number that is not finite; NaN is one where values may be missing."""
    if sum_is_finite(block.rows):
        return
    good = np.isfinite(block.rows)
    if source.may_lack:
        good |= np.isnan(block.rows)
    if good.all():
        return
    row, column = divmod(int(good.argmin()), source.n_features)
    is_missing = np.isnan(block.rows[row, column])
    raise DataError(
        f"{source.place(block.start + row)} {NO_VALUE if is_missing else 'holds infinity'} in "
        f"column {source.labels[column]!r}; drop or impute it"
        + (", or expect it: GaussianMixture(missing='em')" if is_missing else "")
    )


def sum_is_finite(rows: npt.NDArray[Any]) -> bool:
    """Whether a sum is finite, so that all its numbers are: 1.5 to 2 times faster than to look."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(rows.sum()))


def check_range(source: Rows, block: Block) -> None:
    """Refuse the first number whose square is too large for a fit, in a row that counts."""
    largest = LARGEST[block.rows.dtype]
    flat = block.rows.reshape(-1)
    with np.errstate(all="ignore"):
        # A fraction of the time of looking at each. No BLAS: a fork of another thread while its
        # threads are at work hangs parent and child for ever (OpenBLAS 0.3.31).
        if float(np.einsum("i,i->", flat, flat)) <= largest**2:
            return
    beyond = np.abs(block.rows) > largest
    if block.weights is not None:
        beyond &= block.weights[:, None] > 0.0
    if not beyond.any():
        return
    row, column = divmod(int(beyond.argmax()), source.n_features)
    kind = block.rows.dtype
    way = "scale the feature" + (", or give it as float64" if kind == np.float32 else "")
    raise DataError(
        f"{source.place(block.start + row)} holds {block.rows[row, column]:g} in column "
        f"{source.labels[column]!r}; a fit squares its numbers, which must lie within "
        f"±{largest:g} in {kind}: {way}, or drop the row"
    )


def check_extents(source: Rows, rows: npt.NDArray[np.float64]) -> None:
    """Refuse a feature that varies, but by so little that its variance would be no number.

    `rows` are those of the source or a sample of them.
    """
    smallest = SMALLEST[source.dtype]
    extents = _extents(rows)  # exactly 0 for a constant, which may be of any size
    if np.isnan(extents).any():
        extents = _observed_extents(source, rows)
    tiny = (extents > 0.0) & (extents < smallest)
    if tiny.any():
        column = int(tiny.argmax())
        raise DataError(
            f"column {source.labels[column]!r} of {source.name} varies by {extents[column]:.2g} at "
            f"most; a fit squares its numbers, which must vary by {smallest:g} or more in "
            f"{source.dtype}: scale the feature, or leave it out"
        )


def _observed_extents(source: Rows, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest less smallest value of each feature, of those that are not missing."""
    observed = ~np.isnan(rows)
    if not observed.any(axis=0).all():
        column = int(observed.any(axis=0).argmin())
        raise DataError(
            f"column {source.labels[column]!r} of {source.name} holds no value in any row that was "
            "looked at; leave it out"
        )
    largest = np.max(rows, axis=0, where=observed, initial=-np.inf)
    return np.asarray(largest - np.min(rows, axis=0, where=observed, initial=np.inf))


def _extents(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest less smallest value of each feature.

    Several rows at a time: NumPy's loop over two features of each was ten times as slow.
    """
    if rows.size <= FEW_NUMBERS:
        columns = np.ascontiguousarray(rows.T)
        return np.asarray(columns.max(axis=1) - columns.min(axis=1))
    together = max(1, LOOP_NUMBERS // rows.shape[1])
    whole = len(rows) - len(rows) % together
    wide, rest = rows[:whole].reshape(-1, together * rows.shape[1]), rows[whole:]
    parts = [] if whole == 0 else [wide.max(axis=0), wide.min(axis=0)]
    folded = [part.reshape(together, -1) for part in parts]
    ends = np.concatenate([*folded, rest])
    return np.asarray(np.ptp(ends, axis=0))
