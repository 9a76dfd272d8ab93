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
from fastgmm.covariance import Family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.parameters import Parameters
from fastgmm.partitions import Share, maximise
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


def exchanges(
    sample: Sample,
    parameters: Parameters,
    responsibilities: Array,
    family: Family,
    reg_covar: float | Array,
) -> Iterator[Parameters]:
    """Walk the parameters after the exchanges that promise most; singular ones are left out."""
    best = sorted(splits(sample, responsibilities), key=lambda split: -split.gain)[:TRIALS]
    pairs = _merges(parameters)
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
        shares = _exchanged(sample, responsibilities, pair, split)
        try:
            yield maximise(sample, shares, family, reg_covar)
        except DegenerateCovarianceError:
            continue


def _exchanged(
    sample: Sample, responsibilities: Array, pair: tuple[int, int], split: Split
) -> Iterator[Share]:
    """Give every component its shares of the rows after an exchange."""
    i, j = pair
    centre = np.zeros(sample.rows.shape[1])
    for k in range(responsibilities.shape[1]):
        if k == i:
            share = responsibilities[:, i] + responsibilities[:, j]
        elif k == j:
            share = responsibilities[:, split.component] * split.above
        elif k == split.component:
            share = responsibilities[:, k] * ~split.above
        else:
            share = responsibilities[:, k]
        yield Share(sample.rows, sample.weights * share, centre)


def _merges(parameters: Parameters) -> list[tuple[float, int, int]]:
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
    for k, shares in enumerate(responsibilities.T):
        held = np.flatnonzero(shares > SHARE_OF_A_ROW)
        weights = sample.weights[held] * shares[held]
        if len(held) < fewest or not weights.sum() > 0.0:
            continue
        mass = float(weights.sum())
        rows, weights = sample.rows[held], weights / mass
        invariant = coordinates.whiten(rows - weights @ rows, weights).invariant
        if invariant.shape[1] == 0:
            continue
        lengths = np.sqrt((invariant**2).sum(axis=1))
        cuts = [_cut(line, weights) for line in (invariant[:, 0], invariant[:, -1], lengths)]
        gains = [_gain(invariant, weights, cut) for cut in cuts]
        best = int(np.argmax(gains))
        above = np.zeros(len(shares), bool)
        above[held] = cuts[best]
        yield Split(k, mass * gains[best], above)


def _cut(line: Array, weights: Array) -> npt.NDArray[np.bool_]:
    """Cut rows in two by k-means on a line."""
    threshold = weights @ line
    for _ in range(CUTS):
        above = line > threshold
        upper = float(weights[above].sum())
        if not 0.0 < upper < 1.0:
            break
        mean = weights @ line
        mean_above = weights[above] @ line[above] / upper
        threshold = 0.5 * (mean_above + (mean - upper * mean_above) / (1.0 - upper))
    return line > threshold


def _gain(rows: Array, weights: Array, above: npt.NDArray[np.bool_]) -> float:
    """Classification log-likelihood of two normal parts less that of one, for white rows."""
    gain = 0.0
    for part in (above, ~above):
        mass = float(weights[part].sum())
        if part.sum() <= rows.shape[1] or mass <= 0.0:
            return -np.inf
        share = weights[part] / mass
        centred = rows[part] - share @ rows[part]
        sign, volume = np.linalg.slogdet((centred * share[:, None]).T @ centred)
        if sign <= 0:
            return -np.inf
        gain += mass * (np.log(mass) - 0.5 * volume)
    return float(gain)
