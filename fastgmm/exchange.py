"""Exchanges: two components that share a cluster become one, one that holds two is split.

The merge and split of Ueda, Nakano, Ghahramani and Hinton (2000), with other measures of which: a
merge by the bound of Runnalls (2007) on what it loses, a split by the classification likelihood
that it gains when rows are cut in two along the component's invariant coordinate of lowest or of
highest kurtosis, or by their distance from its mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import coordinates
from fastgmm.blas import one_blas_thread
from fastgmm.parameters import Parameters
from fastgmm.sample import Sample
from fastgmm.statistics import Array

TRIALS = 3  # exchanges tried together
SHARE_OF_A_ROW = 0.02  # less of a row is not looked at in a split
CUTS = 5  # steps of k-means with two centres on a line


class Split(NamedTuple):
    """A cut of one component in two."""

    component: int
    gain: float  # nats a row of the sample
    above: npt.NDArray[np.bool_]  # (m,) rows that leave the component


def exchanges(sample: Sample, parameters: Parameters, responsibilities: Array) -> Iterator[Array]:
    """Walk what components have of the rows, (K, m), after the exchanges that promise most."""
    best = sorted(splits(sample, responsibilities), key=lambda split: -split.gain)[:TRIALS]
    pairs = merges(parameters)
    ranked = sorted(
        (
            (loss - split.gain, rank, (i, j), split)
            for split in best
            for rank, (loss, i, j) in enumerate(
                [pair for pair in pairs if split.component not in pair[1:]][:TRIALS]
            )
        ),
        key=lambda found: found[:3],
    )
    for _, _, pair, split in ranked[:TRIALS]:
        yield _exchanged(responsibilities, pair, split)


def _exchanged(responsibilities: Array, pair: tuple[int, int], split: Split) -> Array:
    """Give every component its shares of the rows after an exchange."""
    (i, j), k = pair, split.component
    shares = responsibilities.copy()
    shares[i] += shares[j]
    shares[j] = shares[k] * split.above
    shares[k] *= ~split.above
    return shares


@one_blas_thread()
def merges(parameters: Parameters) -> list[tuple[float, int, int]]:
    """Rank the pairs of components by what is lost, at most, if they become one."""
    weights, means = parameters.weights, parameters.means
    covariances = _matrices(parameters)
    volumes = np.linalg.slogdet(covariances)[1]
    found = []
    for i in range(len(weights) - 1):
        others = np.arange(i + 1, len(weights))
        total = np.maximum(weights[i] + weights[others], np.finfo(float).tiny)
        part = (weights[i] / total)[:, None, None]
        apart = means[others] - means[i]
        joined = part * covariances[i] + (1.0 - part) * covariances[others]
        joined += part * (1.0 - part) * apart[:, :, None] * apart[:, None, :]
        losses = 0.5 * (
            total * np.linalg.slogdet(joined)[1]
            - weights[i] * volumes[i]
            - weights[others] * volumes[others]
        )
        found += [(float(loss), i, int(j)) for loss, j in zip(losses, others, strict=True)]
    return sorted(found)


def _matrices(parameters: Parameters) -> Array:
    """Covariances of any structure as matrices (K, d, d)."""
    n_components, n_features = parameters.means.shape
    covariances = parameters.covariances
    if parameters.structure in ("tied", "full"):
        return np.broadcast_to(covariances, (n_components, n_features, n_features))
    variances = covariances[:, None] if parameters.structure == "spherical" else covariances
    return variances[:, :, None] * np.eye(n_features)


def splits(sample: Sample, responsibilities: Array) -> Iterator[Split]:
    """Walk the best cut of each component that has rows enough."""
    fewest = 2 * (sample.rows.shape[1] + 1)
    for k, shares in enumerate(responsibilities):
        held = np.flatnonzero(shares > SHARE_OF_A_ROW)
        weights = sample.weights[held] * shares[held]
        if len(held) < fewest or not weights.sum() > 0.0:
            continue
        mass = float(weights.sum())
        rows, weights = sample.rows[held], weights / mass
        with one_blas_thread():
            invariant = coordinates.whiten(rows - weights @ rows, weights).invariant
        if invariant.shape[1] == 0:
            continue
        lengths = np.sqrt((invariant**2).sum(axis=1))
        cuts = _cuts(np.stack([invariant[:, 0], invariant[:, -1], lengths]), weights)
        gains = _gains(invariant, weights, cuts)
        best = int(np.argmax(gains))
        above = np.zeros(len(shares), bool)
        above[held] = cuts[best]
        yield Split(k, mass * float(gains[best]), above)


@one_blas_thread()
def _cuts(lines: Array, weights: Array) -> npt.NDArray[np.bool_]:
    """Cut rows in two by k-means on each of some lines (3, m)."""
    weighted = lines * weights
    means = weighted.sum(axis=1)
    thresholds = means
    for _ in range(CUTS):
        above = lines > thresholds[:, None]
        upper = above @ weights
        parted = (upper > 0.0) & (upper < 1.0)
        upper = np.where(parted, upper, 0.5)
        sums = (above * weighted).sum(axis=1)
        middles = 0.5 * (sums / upper + (means - sums) / (1.0 - upper))
        thresholds = np.where(parted, middles, thresholds)
    return np.asarray(lines > thresholds[:, None])


@one_blas_thread()
def _gains(rows: Array, weights: Array, cuts: npt.NDArray[np.bool_]) -> Array:
    """Classification log-likelihood of two normal parts less that of one, for white rows (m, r)."""
    n_above = cuts.sum(axis=1)
    parts = weights * np.stack([cuts, ~cuts])  # (2, cuts, m)
    masses = parts.sum(axis=2)
    enough = np.minimum(n_above, len(rows) - n_above) > rows.shape[1]
    enough &= (masses > 0.0).all(axis=0)
    shares = parts / np.where(masses > 0.0, masses, 1.0)[:, :, None]
    means = shares @ rows
    scatters = (rows.T * shares[:, :, None, :]) @ rows - means[..., :, None] * means[..., None, :]
    signs, volumes = np.linalg.slogdet(scatters)
    enough &= (signs > 0).all(axis=0)
    gains = (masses * (np.log(np.maximum(masses, 1e-300)) - 0.5 * volumes)).sum(axis=0)
    return np.where(enough, gains, -np.inf)
