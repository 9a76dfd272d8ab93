"""Families whose ellipsoids all have the same axes: EVE and VVE.

Given the axes D, with v_k the diagonal of D' S_k D, the rest is closed. In VVE, Flury's common
principal components, the variances along the axes are v_k, and D minimises sum_k p_k log|v_k|; in
EVE they are l v_k / g(v_k), g the geometric mean, with the volume l = sum_k p_k g(v_k), which D
minimises. The axes are turned two at a time (Flury and Gautschi 1986), by a compiled loop.

The minimum need not be the only one. So a first M-step tries several axes, and later ones go on
from those of the last.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fastgmm.covariance.family import Family, constrained, pooled
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.structure import FULL
from fastgmm.parallel.blas import one_blas_thread

TRIALS = 3  # starts of the axes that are followed to their end
# Sweeps, of K d^3 turns of numbers each (a nanosecond), of a first step and of one that the next
# pass goes on from: with 300 for 5 components of 100 features, a first step took 4 s
FIRST = 10, 300, 3e7  # the least, the most, and the turns between
LATER = 3, 12, 1e6
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


@one_blas_thread()
def _with_common_axes(
    has_one_volume: bool, covariances: Array, weights: Array, start: Array | None = None
) -> Array:
    """Return covariances whose axes maximise the likelihood."""
    # the compiler is asked for by these families alone
    from fastgmm.kernels.common_axes import turn_to_minimum

    own, parts = np.array(covariances, order="C"), weights / weights.sum()
    n_features = own.shape[-1]
    if not np.einsum("kii->ki", own)[weights > 0.0].all():
        # the likelihood has no bound; turned to their end, the axes had a variance of 1e-154 here
        begun, n_sweeps = [np.eye(n_features)], 0
    else:
        begun = _some_axes(own, parts, has_one_volume) if start is None else [_axes(start)]
        least, most, turns = FIRST if start is None else LATER
        n_sweeps = int(min(max(least, turns / own.size / n_features), most))
    found = [np.empty(own.shape) for _ in begun]
    reached = [
        turn_to_minimum(own, parts, has_one_volume, n_sweeps, axes, each)
        for axes, each in zip(begun, found, strict=True)
    ]
    return found[int(np.argmin(reached))]


@one_blas_thread()
def _some_axes(covariances: Array, parts: Array, has_one_volume: bool) -> list[Array]:
    """Return those axes of components, of all rows or of features that are likeliest unturned."""
    own, its = covariances[parts > 0.0], parts[parts > 0.0]

    def objective(axes: Array) -> float:
        logs = _log_variances(axes, own)
        return float((its * (np.exp(logs.mean(1)) if has_one_volume else logs.sum(1))).sum())

    of_all = np.linalg.eigh(pooled(own, its))[1]
    begun = [of_all, np.eye(len(of_all)), *np.linalg.eigh(own)[1]]
    return sorted(begun, key=objective)[:TRIALS]


@one_blas_thread()
def _log_variances(axes: Array, covariances: Array) -> Array:
    """Return the logarithms of the variances along the axes, (K, d)."""
    return np.asarray(np.log(np.maximum(((covariances @ axes) * axes).sum(axis=1), 0.0)))


@one_blas_thread()
def _axes(covariances: Array) -> Array:
    """Return the axes that all have: of a mean, in which hardly any have the same variance."""
    factors = 1.0 + np.arange(len(covariances)) * GOLDEN % 1.0
    return np.linalg.eigh(pooled(covariances, factors / np.einsum("kii->k", covariances)))[1]


def _family(name: str, has_one_volume: bool) -> Family:
    maximise = partial(_with_common_axes, has_one_volume)
    return constrained(name, FULL, maximise, maximise_from=maximise)


EVE, VVE = _family("EVE", has_one_volume=True), _family("VVE", has_one_volume=False)
