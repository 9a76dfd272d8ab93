"""Families whose ellipsoids all have the same axes: EVE and VVE.

Given the axes D, with v_k the diagonal of D' S_k D, the rest is closed. In VVE, Flury's common
principal components, the variances along the axes are v_k, and D minimises sum_k p_k log|v_k|; in
EVE they are l v_k / g(v_k), g the geometric mean, with the volume l = sum_k p_k g(v_k), which D
minimises. The axes are turned two at a time (Flury and Gautschi 1986), by a compiled loop.

The minimum need not be the only one. So a first M-step tries several axes, and later ones go on
from those of the last.
"""

from __future__ import annotations

import numpy as np

from fastgmm.covariance.family import constrained, pooled, turned
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
def _own_volumes(covariances: Array, weights: Array, start: Array | None = None) -> Array:
    """VVE: volumes and shapes are each component's own."""
    axes = _common_axes(covariances, weights, start, has_one_volume=False)
    return turned(_along(axes, covariances), axes)


@one_blas_thread()
def _one_volume(covariances: Array, weights: Array, start: Array | None = None) -> Array:
    """EVE: only shapes are each component's own."""
    axes = _common_axes(covariances, weights, start, has_one_volume=True)
    variances = _along(axes, covariances)
    volumes = _geometric_means(variances)
    return turned(variances * (pooled(volumes, weights) / volumes)[:, None], axes)


@one_blas_thread()
def _common_axes(
    covariances: Array, weights: Array, start: Array | None, has_one_volume: bool
) -> Array:
    """Return the axes that maximise the likelihood, the columns of (d, d)."""
    # the compiler is asked for by these families alone
    from fastgmm.kernels.common_axes import turn_to_minimum

    held = weights > 0.0
    own, parts = covariances[held], weights[held] / weights[held].sum()
    if not np.einsum("kii->ki", own).all():
        # the likelihood has no bound; turned to their end, the axes had a variance of 1e-154 here
        return np.eye(own.shape[-1])

    def objective(axes: Array) -> float:
        variances = _along(axes, own)
        of_each = _geometric_means(variances) if has_one_volume else np.log(variances).sum(axis=1)
        return float((parts * of_each).sum())

    if start is not None:
        begun = [np.linalg.eigh(_mixed(start))[1]]
    else:
        of_each = np.linalg.eigh(own)[1]
        of_all = np.linalg.eigh(pooled(own, parts))[1]
        begun = sorted([of_all, np.eye(len(of_all)), *of_each], key=objective)[:TRIALS]
    least, most, turns = FIRST if start is None else LATER
    n_sweeps = int(min(max(least, turns / own.size / own.shape[1]), most))
    found = []
    for each in begun:
        axes = each.copy()
        products = np.ascontiguousarray(np.moveaxis(axes.T @ own @ axes, 0, 2))
        turn_to_minimum(products, parts, has_one_volume, n_sweeps, axes)
        found.append(axes)
    return min([*found, *begun], key=objective)


def _mixed(covariances: Array) -> Array:
    """Return a matrix with the common axes, and no two variances equal that all have unequal."""
    factors = 1.0 + np.arange(len(covariances)) * GOLDEN % 1.0
    return pooled(covariances, factors / np.einsum("kii->k", covariances))


@one_blas_thread()
def _along(axes: Array, covariances: Array) -> Array:
    """Return the variances along the axes, (K, d)."""
    return np.maximum(((covariances @ axes) * axes).sum(axis=1), 0.0)


def _geometric_means(variances: Array) -> Array:
    return np.asarray(np.exp(np.log(variances).mean(axis=1)))


EVE = constrained("EVE", FULL, _one_volume, maximise_from=_one_volume)
VVE = constrained("VVE", FULL, _own_volumes, maximise_from=_own_volumes)
