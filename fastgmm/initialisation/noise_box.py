"""The box that noise comes from: the smaller of those along features and along principal axes.

Banfield and Raftery (1993) take the ranges of all rows. Then one far row makes the box as large as
it is far, and its density as low: `LEFT_OUT` of the weight, and one row at least, is left out at
both ends of every axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastgmm.errors import DataError
from fastgmm.mixture.arrays import Array
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

# Of the weight of all rows, at each end. Where a row in twenty is noise from anywhere in a box of
# two features, this takes 0.08 off the logarithm of its volume; a row at a million times the
# range adds 0.00 where the range of all rows adds 13.8
LEFT_OUT = 0.001


@one_blas_thread()
def log_volume(sample: Sample, names: Sequence[str] | None) -> float:
    """Return the logarithm of the volume of the box.

    Raises
    ------
    DataError
        If a feature has one value in all rows, so that there is no volume.
    """
    low, high = _ends(sample.rows, sample.weights)
    constant = np.flatnonzero(high <= low)
    if len(constant):
        j = int(constant[0])
        said = f"{names[j]!r}" if names is not None else f"{j}"
        raise DataError(
            f"feature {said} has one value in all rows, so that noise has no volume; leave the "
            "feature out, or give the volume: noise=1000.0"
        )
    along_features = float(np.log(high - low).sum())
    inside = np.all((sample.rows >= low) & (sample.rows <= high), axis=1)
    if sample.rows.shape[1] == 1 or inside.sum() <= sample.rows.shape[1]:
        return along_features
    rows, weights = sample.rows[inside], sample.weights[inside]
    away = rows - (weights @ rows) / weights.sum()
    _, axes = np.linalg.eigh((away * weights[:, None]).T @ away)
    low, high = _ends(sample.rows @ axes, sample.weights)
    if np.any(high <= low):  # rows on a plane have no volume there, and need another answer
        return along_features
    return min(along_features, float(np.log(high - low).sum()))


def _ends(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Return the lower and upper ends of rows along every axis, but for what is left out."""
    low, high = np.empty(rows.shape[1]), np.empty(rows.shape[1])
    for j, column in enumerate(rows.T):
        order = np.argsort(column, kind="stable")
        values, masses = column[order], np.cumsum(weights[order])
        first = int(np.searchsorted(masses, LEFT_OUT * masses[-1], side="right"))
        above = masses[-1] - masses  # of the rows after each
        last = int(np.searchsorted(-above, -LEFT_OUT * masses[-1], side="left"))
        first, last = max(first, 1), min(last, len(values) - 2)
        if last <= first or values[last] <= values[first]:  # nearly all rows have one value
            first, last = 0, len(values) - 1
        low[j], high[j] = values[first], values[last]
    return low, high
