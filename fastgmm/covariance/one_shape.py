"""One shape for all components, each with a volume of its own: what VEI, VEE and VEV share.

With S_k the covariance of each component's rows and p_k its part of them, Celeux and Govaert (1995)
alternate between the volumes l_k and what is common, C = M / |M|^(1/d), M = sum_k p_k S_k / l_k.
What is left to minimise once C is known,

    log |M| - d sum_k p_k x_k,    x_k = -log l_k,

is convex in x, since the determinant of a sum of e^(x_k) S_k is a sum of exponentials. So there is
one minimum, and Newton's steps need 2 to 6 rounds where alternating takes up to 40; where one does
not lower the objective, a round of alternating does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastgmm.covariance.family import constrained, turned
from fastgmm.mixture.arrays import Array, over
from fastgmm.mixture.structure import FULL
from fastgmm.parallel.blas import one_blas_thread

MOST_ROUNDS = 100
# Nats per row to gain by one more step, after which the square of it or so is left: in a first
# M-step, whose volumes are then right to 1e-12, and in one that the next pass goes on from
FIRST, LATER = 1e-12, 1e-8
FLAT = 1e-12


class _Round(NamedTuple):
    """Volumes l_k, but for a common factor, and what follows from them."""

    logs: Array  # (K,) of 1 / l_k
    value: float  # the objective
    shares: Array  # (K, m) of each component in M, in coordinates in which M is the identity
    traces: Array  # (K,) of these shares; their sum is d


@one_blas_thread()
def with_one_shape(covariances: Array, weights: Array, start: Array | None = None) -> Array:
    """Return covariances of one shape, diagonals (K, d) or matrices (K, d, d).

    From those of the rows, the components' weights, which may be 0, and covariances of the family
    whose volumes to start from.
    """
    held = weights > 0.0
    parts, own = weights[held] / weights[held].sum(), covariances[held]
    begun, enough = own, FIRST
    if start is not None and len(start) == len(covariances):
        begun, enough = start[held], LATER
    logs = _settled(own, parts, -np.log(_traces(begun)), enough)
    shape = (over(parts * np.exp(logs), own) * own).sum(axis=0)
    volumes = _whitened(covariances, shape)[1] / covariances.shape[-1]
    return np.asarray(over(volumes, covariances) * shape)


@one_blas_thread()
def _settled(covariances: Array, parts: Array, logs: Array, enough: float) -> Array:
    """Return x where the objective is least, but for little."""
    found, n_features = _round(covariances, parts, logs), covariances.shape[-1]
    for _ in range(MOST_ROUNDS):
        gradient = found.traces - n_features * parts
        bend = np.diag(found.traces) - found.shares @ found.shares.T
        # a common factor changes nothing, nor do others where components' rows share no direction;
        # what is added makes the system regular, and is orthogonal to the gradient or small
        bend += np.outer(parts, parts) + np.diag(FLAT * found.traces)
        try:
            step = -np.linalg.solve(bend, gradient)
        except np.linalg.LinAlgError:  # components whose rows are all equal have no volume
            return np.full_like(logs, np.nan)
        gain = -float(gradient @ step)
        if not gain > enough:
            return np.asarray(found.logs + step) if gain > 0.0 else found.logs
        trial = _round(covariances, parts, found.logs + step)
        if not trial.value < found.value:
            alternated = np.log(n_features * parts / found.traces)
            trial = _round(covariances, parts, found.logs + alternated)
        found = trial
    return found.logs


def _round(covariances: Array, parts: Array, logs: Array) -> _Round:
    scale = over(parts * np.exp(logs), covariances)
    pooled = (scale * covariances).sum(axis=0)
    log_determinant, traces, shares = _whitened(scale * covariances, pooled)
    value = log_determinant - covariances.shape[-1] * float((parts * logs).sum())
    return _Round(logs, value, shares, traces)


@one_blas_thread()
def _whitened(matrices: Array, by: Array) -> tuple[float, Array, Array]:
    """Return log |M|, and the matrices in coordinates in which M is the identity, with traces."""
    if by.ndim == 1:
        shares = matrices / by
        return float(np.log(by).sum()), shares.sum(axis=1), shares
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(by))
    except np.linalg.LinAlgError:  # singular: no covariance comes of it, as is found out later
        inverse = np.full_like(by, np.nan)
    shares = inverse @ matrices @ inverse.T
    log_determinant = -2.0 * float(np.log(np.diagonal(inverse)).sum())
    return log_determinant, np.einsum("kii->k", shares), shares.reshape(len(shares), -1)


def _traces(covariances: Array) -> Array:
    axes = "kii->k" if covariances.ndim == 3 else "ki->k"
    return np.asarray(np.einsum(axes, covariances))


@one_blas_thread()
def _of_own_axes(covariances: Array, weights: Array, start: Array | None = None) -> Array:
    """VEV: each component keeps its axes, in the order of its variances along them."""
    variances, axes = np.linalg.eigh(covariances)
    begun = None if start is None else _traces(start)[:, None]
    return turned(with_one_shape(np.maximum(variances, 0.0), weights, begun), axes)


VEE = constrained("VEE", FULL, with_one_shape, maximise_from=with_one_shape)
VEV = constrained("VEV", FULL, _of_own_axes, maximise_from=_of_own_axes)
