"""Exchanges: merge two components that share a cluster, and split one that holds two.

Split and merge EM (Ueda, Nakano, Ghahramani and Hinton 2000) with other criteria: a merge by the
bound of Runnalls (2007) on its loss; a split by the gain in classification likelihood when rows are
cut in two along the component's invariant coordinate of lowest or highest kurtosis, or by their
distance from its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.covariance import Family
from fastgmm.initialisation import coordinates
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

TRIALS = 3  # exchanges tried together
LEAST_RESPONSIBILITY = 0.02  # of the rows that a split looks at
# What a cut of a normal cluster through its middle loses per row: log 2 + log(1 - 2 / pi) / 2.
# Without it, where all cuts lose, those of the smallest components lose least: of 20 components of
# 1 000 000 x 10 the one that held two clusters came fourth, and so is the first by far. Where rows
# are few, starts that are likelier for it predict others no better: of 42 sets four were more than
# 0.01 nats per row below scikit-learn on held-out rows, two without it.
NORMAL = 0.187
CUTS = 5  # rounds of k-means with two centres on a line
PARTNERS = 50  # nearest components that one may be merged with: all pairs would be K squared


class Held(NamedTuple):
    """The rows that a component is responsible for, but for the least of them."""

    rows: npt.NDArray[np.intp]  # their places in the sample
    shares: Array


def held_by(
    owners: Sequence[npt.NDArray[np.intp]],
    rows: Sequence[npt.NDArray[np.intp]],
    shares: Sequence[Array],
    n_components: int,
) -> list[Held]:
    """Return the rows of each component, of pieces that name a component, a row and its share."""
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    place, share = np.concatenate(rows)[order], np.concatenate(shares)[order]
    ends = np.searchsorted(owner[order], np.arange(n_components + 1))
    return [Held(place[a:b], share[a:b]) for a, b in pairwise(ends)]


class Split(NamedTuple):
    """A cut of one component in two."""

    component: int
    gain: float  # nats per row of the sample
    held: Held
    leaving: npt.NDArray[np.bool_]  # which of the rows held go to the new component

    def above(self, n_rows: int) -> npt.NDArray[np.bool_]:
        """Mark the rows of the sample that leave the component."""
        found = np.zeros(n_rows, bool)
        found[self.held.rows] = self.leaving
        return found


Pair = tuple[int, int]
Merge = tuple[float, int, int]  # a bound of the loss, in nats per row, and the pair


def held(responsibilities: Array) -> Iterator[Held]:
    """Yield the rows that each component is responsible for, given responsibilities (K, m)."""
    for shares in responsibilities:
        rows = np.flatnonzero(shares > LEAST_RESPONSIBILITY)
        yield Held(rows, shares[rows])


def exchanges(
    sample: Sample, parameters: Parameters, responsibilities: Array, normal: float = 0.0
) -> Iterator[Callable[[], Array]]:
    """Yield the responsibilities (K, m) after each of the most promising exchanges.

    `normal` is what a split gains more than is counted, in nats per row that is split.
    """
    best = splits(sample, held(responsibilities), normal)[:TRIALS]
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
        yield partial(_exchanged, responsibilities, pair, split)


def _exchanged(responsibilities: Array, pair: Pair, split: Split) -> Array:
    """Return the responsibilities after an exchange."""
    (i, j), k = pair, split.component
    shares, above = responsibilities.copy(), split.above(responsibilities.shape[1])
    shares[i] += shares[j]
    shares[j] = shares[k] * above
    shares[k] *= ~above
    return shares


def together(best: Sequence[Split], pairs: Iterable[Merge]) -> list[tuple[Pair, Split]]:
    """Pair splits with the merges that lose least, so that no component takes part in two.

    With hundreds of components several are misplaced at once, independently of each other.
    """
    left = iter(pairs)
    taken, found = {split.component for split in best}, list[tuple[Pair, Split]]()
    for split in best:
        pair = next((each[1:] for each in left if taken.isdisjoint(each[1:])), None)
        if pair is not None:
            found.append((pair, split))
            taken.update(pair)
    return found


def merged(parameters: Parameters, pairs: Iterable[Pair], family: Family) -> Parameters:
    """Give the first of each pair the moments of both; the second keeps its own at weight 0."""
    structure = parameters.structure
    weights, means = parameters.weights.copy(), parameters.means.copy()
    covariances = parameters.covariances.copy()
    for i, j in pairs:
        both = weights[i] + weights[j]
        part = weights[i] / max(both, np.finfo(float).tiny)
        apart = means[j] - means[i]
        weights[i], weights[j] = both, 0.0
        means[i] += (1.0 - part) * apart
        if structure.is_shared:
            continue
        between = structure.narrowed(np.outer(apart, apart))
        within = part * covariances[i] + (1.0 - part) * covariances[j]
        covariances[i] = within + part * (1.0 - part) * between
    return family.parameters(weights, means, covariances)


def apart(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the first of these pairs that have no component in common."""
    taken, found = set[int](), list[Pair]()
    for pair in pairs:
        if taken.isdisjoint(pair):
            taken.update(pair)
            found.append(pair)
    return found


@one_blas_thread()
def merges(parameters: Parameters) -> list[Merge]:
    """Rank pairs of components by the bound of what a merge loses, the least first."""
    weights, means = parameters.weights, parameters.means
    covariances = parameters.matrices
    volumes = np.linalg.slogdet(covariances)[1]
    variances = np.einsum("kii->ki", covariances)
    found = []
    for i in range(len(weights) - 1):
        others = np.arange(i + 1, len(weights))
        if len(others) > PARTNERS:
            apart = (means[others] - means[i]) ** 2 / (variances[others] + variances[i])
            others = np.sort(others[np.argpartition(apart.sum(axis=1), PARTNERS)[:PARTNERS]])
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


def splits(sample: Sample, its: Iterable[Held], normal: float = 0.0) -> list[Split]:
    """Return the best cut of each component with enough rows, the largest gain first."""
    return sorted(_splits(sample, its, normal), key=lambda split: -split.gain)


def _splits(sample: Sample, its: Iterable[Held], normal: float) -> Iterator[Split]:
    fewest = 2 * (sample.rows.shape[1] + 1)
    for k, each in enumerate(its):
        weights = sample.weights[each.rows] * each.shares
        if len(weights) < fewest or not weights.sum() > 0.0:
            continue
        mass = float(weights.sum())
        rows, weights = sample.rows[each.rows], weights / mass
        with one_blas_thread():
            invariant = coordinates.whiten(rows - weights @ rows, weights).invariant
        if invariant.shape[1] == 0:
            continue
        lengths = np.sqrt((invariant**2).sum(axis=1))
        cuts = _cuts(np.stack([invariant[:, 0], invariant[:, -1], lengths]), weights)
        gains = _gains(invariant, weights, cuts)
        best = int(np.argmax(gains))
        yield Split(k, mass * (float(gains[best]) + normal), each, cuts[best])


@one_blas_thread()
def _cuts(lines: Array, weights: Array) -> npt.NDArray[np.bool_]:
    """Cut rows in two by k-means along each of some lines (3, m)."""
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
