"""Ways to divide the rows of a sample among components, and the M-step of what each is given.

k-means++ is Arthur and Vassilvitskii (2007), greedy as in their experiments; k-means is Lloyd
(1982), and where few rounds are taken, swaps come before (Lattanzi and Sohler 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.kernels import kmeans
from fastgmm.kernels.plan import SHARED_OPERATIONS
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array, SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.parallel import threads
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

LANE_ROWS = 16 * TILE  # summed on their own, so that sums do not follow the number of threads
# centres are chosen among so many: greedy k-means++ of 50 000 rows of 32 features took 22 ms
SEEDING_ROWS, SEEDING_ROWS_A_COMPONENT = 10_000, 500
# Of hundreds of components swaps are the better half. 300 in four dimensions, after eight rounds:
# 2 + log K trials a centre and a swap took 0.62 s on 50 000 rows and came to 3.966; three trials
# and eight swaps on 50 rows for each component 0.3 s, and 3.96
MANY_ROWS_A_COMPONENT, MANY_TRIALS, MANY_SWAPS = 50, 3, 8
LLOYD_ROUNDS = 300
LAST_ROUNDS = 8  # on all rows of a sample, where centres have come to rest on fewer of them
LLOYD_TOLERANCE = 1e-4  # of the features' mean variance, on the squared movement of all centres


class Share(NamedTuple):
    """What a component starts from: rows with their weights, and where it stands if it has none."""

    rows: Array  # (m, d) of the sample
    weights: Array  # (m,)
    centre: Array  # (d,)


def members(sample: Sample, centres: Array, labels: npt.NDArray[np.int64]) -> list[Share]:
    """Give every component the rows of its label."""
    # one walk, where a mask for each is K; short numbers are sorted in one walk, too
    order = np.argsort(labels.astype(np.min_scalar_type(len(centres))), kind="stable")
    rows, weights = sample.rows.take(order, axis=0), sample.weights[order]
    ends = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=len(centres)))])
    return [
        Share(rows[ends[k] : ends[k + 1]], weights[ends[k] : ends[k + 1]], centre)
        for k, centre in enumerate(centres)
    ]


def strata(
    chances: Array, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Draw rows by their chances, with how often each was drawn.

    One draw in each of as many strata, so that rows in any order are represented evenly.
    """
    cumulative = np.cumsum(chances)
    at = (np.arange(count) + rng.random(count)) / count * cumulative[-1]
    drawn = np.minimum(np.searchsorted(cumulative, at, side="right"), len(chances) - 1)
    return np.unique(drawn, return_counts=True)


def thinned(sample: Sample, most: int, rng: np.random.Generator) -> Sample:
    """Draw rows for centres to be chosen among, by weight; all, where they are few."""
    if len(sample.rows) <= most:
        return sample
    chosen, counts = strata(sample.weights, most, rng)
    return sample._replace(rows=sample.rows.take(chosen, axis=0), weights=counts / most)


def _enough(n_components: int) -> int:
    """Count the rows that centres are chosen among."""
    return max(SEEDING_ROWS, SEEDING_ROWS_A_COMPONENT * n_components)


def random_shares(
    rows: Array, n_components: int, rng: np.random.Generator
) -> Callable[[], Iterator[Array]]:
    """Give each row random shares that follow from its values: equal rows have the same.

    The call that is returned walks what each component has, (m,): all at once, (K, m), would be
    120 MB of 300 components.
    """
    directions = rng.standard_normal((n_components, rows.shape[1]))
    offsets = rng.random(n_components)
    # the fractional part of a long projection: as good as random, and a function of the row alone
    extent = np.abs(rows).max(axis=0)
    scale = 1e3 / np.where(extent > 1e-300, extent, 1.0)  # a constant feature has no extent
    return partial(_fractions, rows, scale * directions, offsets)


def _fractions(rows: Array, directions: Array, offsets: Array) -> Iterator[Array]:
    """Walk the fractional parts of projections, as parts of each row's sum."""

    def fraction(k: int) -> Array:
        share = np.einsum("kj,ij->ki", directions[k : k + 1], rows)[0] + offsets[k]
        share -= np.floor(share)
        return np.asarray(share)

    total = fraction(0)
    for k in range(1, len(offsets)):
        total += fraction(k)
    for k in range(len(offsets)):
        yield fraction(k) / total


def k_means_plus_plus(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Choose rows far from one another, and label every row with the nearest."""
    centres = far_rows(thinned(sample, _enough(n_components), rng), n_components, rng)
    return centres, label(sample, centres)[0]


def far_rows(
    sample: Sample, n_components: int, rng: np.random.Generator, n_trials: int | None = None
) -> Array:
    """Choose rows far from one another: each the best of 2 + log K drawn by squared distance."""
    n_trials = n_trials or 2 + int(np.log(n_components))
    uniforms = rng.random(1 + max(1, n_components - 1) * n_trials)
    rows, chosen = np.ascontiguousarray(sample.rows), np.empty(n_components, np.int64)
    kmeans.far_rows(rows, sample.weights, uniforms, chosen)
    return rows[chosen]


def random_rows(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Choose rows by weight, none twice while there are others."""
    with np.errstate(divide="ignore"):
        keys = np.log(rng.random(len(sample.rows))) / sample.weights
    chosen = np.resize(np.argsort(keys, kind="stable")[::-1], n_components)
    centres = sample.rows[chosen]
    return centres, label(sample, centres)[0]


def k_means(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Move centres to the means of the rows nearest to them until they rest."""
    fewer = thinned(sample, _enough(n_components), rng)
    centres = far_rows(fewer, n_components, rng)
    squares = np.einsum("ij,ij->i", fewer.rows, fewer.rows)
    with one_blas_thread():
        enough = LLOYD_TOLERANCE * float(fewer.weights @ squares) / sample.rows.shape[1]
    centres = rested(fewer, centres, enough)
    if fewer is not sample:
        centres = rested(sample, centres, enough, LAST_ROUNDS)
    return centres, label(sample, centres)[0]


def quick_k_means(
    sample: Sample, n_components: int, rng: np.random.Generator, rounds: int
) -> npt.NDArray[np.int64]:
    """Label by centres seeded by k-means++, swapped for better ones, and moved a few times."""
    centres = far_rows(sample, n_components, rng)
    if n_components > 2:
        _swap(sample, rng.random(n_components), centres)
    return label(sample, rested(sample, centres, 0.0, rounds))[0]


def k_means_of_many(
    sample: Sample, n_components: int, rng: np.random.Generator, rounds: int
) -> npt.NDArray[np.int64]:
    """Label likewise, but choose centres among fewer rows, the more often by swaps."""
    most = max(SEEDING_ROWS, MANY_ROWS_A_COMPONENT * n_components)
    fewer = thinned(sample, most, rng)
    centres = far_rows(fewer, n_components, rng, MANY_TRIALS)
    _swap(fewer, rng.random(MANY_SWAPS * n_components), centres)
    return label(sample, rested(sample, centres, 0.0, rounds))[0]


def _swap(sample: Sample, uniforms: Array, centres: Array) -> None:
    kmeans.swap(np.ascontiguousarray(sample.rows), sample.weights, uniforms, centres)


def rested(sample: Sample, centres: Array, enough: float, rounds: int = LLOYD_ROUNDS) -> Array:
    """Move centres until the squares of a round's movements add up to no more than is enough."""
    for _ in range(rounds):
        _, mass, sums = label(sample, centres)
        held = mass > 0.0
        moved = np.where(held[:, None], sums / np.where(held, mass, 1.0)[:, None], centres)
        movement = float(((moved - centres) ** 2).sum())
        centres = moved
        if movement <= enough:
            break
    return centres


def standardised_k_means(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Label by k-means on features of variance one, so that their units do not matter."""
    with one_blas_thread():
        deviations = np.sqrt(sample.weights @ sample.rows**2)
    scale = np.where(deviations > 0.0, deviations, 1.0)
    centres, labels = k_means(sample._replace(rows=sample.rows / scale), n_components, rng)
    return centres * scale, labels


def _is_small(n_rows: int, centres: Array) -> bool:
    """Tell whether this is too little work to share among threads."""
    return n_rows <= LANE_ROWS or n_rows * centres.size < SHARED_OPERATIONS


def label(sample: Sample, centres: Array) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Label every row with its nearest centre; sum weights (K,) and weighted rows (K, d)."""
    rows, weights = np.ascontiguousarray(sample.rows), sample.weights
    labels = np.empty(len(rows), np.int64)
    n_lanes = -(-len(rows) // LANE_ROWS)
    mass, sums = np.zeros((n_lanes, len(centres))), np.zeros((n_lanes, *centres.shape))
    arguments = rows, weights, centres, LANE_ROWS, labels, mass, sums
    if _is_small(len(rows), centres):
        _assign(*arguments)
    else:
        threads.share(kmeans.share_assignment, _assign, *arguments)
    return labels, mass.sum(axis=0), sums.sum(axis=0)


def _assign(
    rows: Array,
    weights: Array,
    centres: Array,
    lane_rows: int,
    labels: npt.NDArray[np.int64],
    mass: Array,
    sums: Array,
) -> None:
    """Take the same sums in the same order, on one thread."""
    for lane in range(len(mass)):
        its = slice(lane * lane_rows, (lane + 1) * lane_rows)
        kmeans.assign(rows[its], weights[its], centres, labels[its], mass[lane], sums[lane])


def maximise(sample: Sample, shares: Iterable[Share], rule: em.UpdateRule) -> Parameters:
    """Take the M-step of given shares of the rows.

    A component without rows stays at its centre, with the covariance of the sample, as far as the
    family allows, and the weight of one row.
    """
    family, of_empty = rule.family, None
    found = _statistics(sample, shares, family.structure)
    empty = ~found.occupied
    if empty.any():
        everything = [Share(sample.rows, sample.weights, np.zeros(sample.rows.shape[1]))]
        whole = _statistics(sample, everything, family.structure)
        of_all = family.estimate(whole, whole.means, rule.reg_covar)
        of_empty = np.broadcast_to(of_all, found.second.shape)
    covariances = family.estimate(found, found.means, rule.reg_covar, of_empty)
    weights = np.where(empty, 1.0 / len(sample.rows), found.weight)
    return Parameters.from_covariances(
        family.structure, weights / weights.sum(), found.means + sample.origin, covariances
    )


@one_blas_thread()
def _statistics(
    sample: Sample, shares: Iterable[Share], structure: Structure
) -> SufficientStatistics:
    """Sum the shares of every component about their mean, or about its centre without rows."""
    weights, origins, seconds = [], [], []
    for share in shares:
        weight = float(share.weights.sum())
        origin = share.weights @ share.rows / weight if weight > 0.0 else share.centre
        weights.append(weight)
        origins.append(origin)
        seconds.append(structure.scatter(share.rows - origin, share.weights))
    return SufficientStatistics(
        weight=np.array(weights),
        first=np.zeros((len(weights), sample.rows.shape[1])),
        second=structure.joined(seconds),
        log_likelihood=0.0,
        n_rows=len(sample.rows),
        row_weight=1.0,
        origin=np.array(origins),
        structure=structure,
    )
