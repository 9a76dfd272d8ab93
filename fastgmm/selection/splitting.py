"""Start K+1 components from K: divide the component that two describe best.

The rows of a component, weighted by responsibility, are cut in two along a few directions: the
longest axis, those of lowest and highest kurtosis (the generalised projection of Peña, Prieto and
Viladomat 2010), and the distance from the mean. The threshold is Otsu's (1979). The gain of each
cut in classification likelihood follows from the determinants of the halves, without a pass of EM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread

LEAST_RESPONSIBILITY = 1e-2  # of the rows that decide how a component is cut
LEAST_HALF = 1e-3  # of a component's weight


class Half(NamedTuple):
    """One side of a cut."""

    weight: float
    mean: Array  # (d,)
    scatter: Array  # (d, d) covariance about the mean


class Cut(NamedTuple):
    """A component in two halves, and the gain in nats per row."""

    component: int
    halves: tuple[Half, Half]
    pooled: Array  # (d, d) covariance within the components before the cut
    gain: float


def best_cuts(
    rows: Array, weights: Array, responsibilities: Array, parameters: Parameters
) -> list[Cut]:
    """Return the cuts of all components in all directions, the most promising first.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
        A sample, near zero.
    weights : ndarray of shape (m,)
        Of sum 1.
    responsibilities : ndarray of shape (m, K)
        Of the components for these rows.
    parameters : Parameters
    """
    shares = weights[:, None] * responsibilities
    wholes = [_half(rows, shares[:, k]) for k in range(parameters.n_components)]
    pooled = sum((whole.weight * whole.scatter for whole in wholes), np.zeros((rows.shape[1],) * 2))
    found = [
        cut
        for k in range(parameters.n_components)
        for cut in _cuts(k, rows, weights, responsibilities[:, k], pooled, parameters.structure)
    ]
    return sorted(found, key=lambda cut: -cut.gain)


def divided(parameters: Parameters, cuts: Sequence[Cut], rule: em.Maximisation) -> Parameters:
    """Replace each component that is cut by its halves; no component is cut twice.

    Raises
    ------
    DegenerateCovarianceError
        If a half's covariance is not positive definite.
    """
    weights, means = parameters.weights.copy(), parameters.means.copy()
    covariances, structure = parameters.covariances.copy(), parameters.structure
    added = rule.reg_covar * np.eye(means.shape[1])
    if structure.is_shared:
        # of the same rows as the halves, so that what is left is a covariance, too
        between = sum((_between(cut) for cut in cuts), -added)
        covariances = cuts[0].pooled - between
    for cut in cuts:
        shares = [half.weight for half in cut.halves]
        both = weights[cut.component] * np.array(shares) / sum(shares)
        weights[cut.component] = both[0]
        means[cut.component] = cut.halves[0].mean
        weights = np.append(weights, both[1])
        means = np.vstack([means, cut.halves[1].mean])
        if structure.is_shared:
            continue
        first, second = (structure.narrowed(half.scatter + added) for half in cut.halves)
        covariances[cut.component] = first
        covariances = np.concatenate([covariances, second[None]])
    return rule.family.parameters(weights / weights.sum(), means, covariances)


def _cuts(
    k: int,
    rows: Array,
    weights: Array,
    responsibilities: Array,
    pooled: Array,
    structure: Structure,
) -> Iterator[Cut]:
    """Yield the cut of one component along each direction."""
    good = responsibilities > LEAST_RESPONSIBILITY
    shares = weights[good] * responsibilities[good]
    if np.count_nonzero(good) < 4 or not shares.sum() > 0.0:
        return
    whole = _half(rows[good], shares)
    centred = rows[good] - whole.mean
    for along in _projections(centred, shares, whole.scatter):
        side = _upper_side(along, shares)
        halves = _half(rows[good][side], shares[side]), _half(rows[good][~side], shares[~side])
        if min(half.weight for half in halves) > LEAST_HALF * whole.weight:
            cut = Cut(k, halves, pooled, 0.0)
            yield cut._replace(gain=_gain(cut, whole, structure))


@one_blas_thread()
def _half(rows: Array, shares: Array) -> Half:
    weight = float(shares.sum())
    if weight == 0.0:
        return Half(0.0, np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2))
    mean = shares @ rows / weight
    centred = rows - mean
    return Half(weight, mean, np.einsum("mi,mj->ij", centred, centred * shares[:, None]) / weight)


@one_blas_thread()
def _projections(centred: Array, shares: Array, scatter: Array) -> list[Array]:
    """Return the coordinates along which to cut, (m,) each."""
    variances, axes = np.linalg.eigh(scatter)
    positive = variances > 1e-12 * variances[-1]
    whitened = centred @ (axes[:, positive] / np.sqrt(variances[positive]))
    squares = np.einsum("mi,mi->m", whitened, whitened)
    found = [centred @ axes[:, -1], squares]
    if whitened.shape[1] > 1:
        fourth = np.einsum("mi,mj->ij", whitened, whitened * (shares * squares)[:, None])
        directions = np.linalg.eigh(fourth)[1]
        found += [whitened @ directions[:, 0], whitened @ directions[:, -1]]
    return found


def _upper_side(along: Array, shares: Array) -> npt.NDArray[np.bool_]:
    """Mark the rows above Otsu's threshold, which maximises the variance between both sides."""
    order = np.argsort(along, kind="stable")
    weight, moment = np.cumsum(shares[order]), np.cumsum((shares * along)[order])
    rest = weight[-1] - weight[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = moment[:-1] / weight[:-1] - (moment[-1] - moment[:-1]) / rest
        between = np.nan_to_num(weight[:-1] * rest * distance**2, nan=0.0, posinf=0.0)
    return along > along[order[int(between.argmax())]]


@one_blas_thread()
def _gain(cut: Cut, whole: Half, structure: Structure) -> float:
    """Gain of the classification likelihood, in nats per row."""
    shares = np.array([half.weight for half in cut.halves]) / whole.weight
    sides = whole.weight * float(-shares @ np.log(shares))
    if structure.is_shared:
        after = structure.log_volume(cut.pooled - _between(cut))
        return 0.5 * (structure.log_volume(cut.pooled) - after) - sides
    after = sum(
        share * structure.log_volume(half.scatter)
        for share, half in zip(shares, cut.halves, strict=True)
    )
    before = structure.log_volume(whole.scatter)
    return 0.5 * whole.weight * (before - after) - sides


def _between(cut: Cut) -> Array:
    """Covariance between the halves, which the cut takes out of the pooled one, (d, d)."""
    first, second = cut.halves
    distance = first.mean - second.mean
    share = first.weight * second.weight / (first.weight + second.weight)
    return share * np.outer(distance, distance)
