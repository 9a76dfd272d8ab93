"""k-means and random partitions of a sample, and the M-step of a partition.

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
from fastgmm.kernels.block_sizes import PARALLEL_OPERATIONS
from fastgmm.kernels.centres import local_search, plus_plus
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.parallel import threads
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

SLICE_ROWS = 16 * TILE  # summed separately, so that sums do not depend on the number of threads
# Rows that k-means++ chooses among: greedy k-means++ of 50 000 rows of 32 features took 22 ms
SEEDING_ROWS, SEEDING_ROWS_PER_COMPONENT = 10_000, 500
# With hundreds of components swaps pay off more than trials: of 300 components in four dimensions,
# 2 + log K trials per centre on 50 000 rows took 0.62 s and came to 3.966; three trials and eight
# swaps on 50 rows per component took 0.3 s and came to 3.96
MANY_ROWS_PER_COMPONENT, MANY_TRIALS, MANY_SWAPS = 50, 3, 8
KEPT_SHARES = 100_000  # random responsibilities at once; of more, each is computed twice
LLOYD_ROUNDS = 300
LAST_ROUNDS = 8  # on all rows of a sample, where centres have come to rest on fewer of them
LLOYD_TOLERANCE = 1e-4  # of the features' mean variance, on the squared movement of all centres


class Members(NamedTuple):
    """The rows that a component starts from."""

    rows: Array  # (m, d) of the sample
    weights: Array  # (m,)
    centre: Array  # (d,) where the component stands if it has no rows


def by_label(
    labels: npt.NDArray[np.int64], n_labels: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the places of rows, label after label, and where each label begins and the last ends.

    One walk, where a mask for each is as many; short numbers are sorted in one walk, too.
    """
    order = np.argsort(labels.astype(np.min_scalar_type(n_labels)), kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_labels))])


def members(sample: Sample, centres: Array, labels: npt.NDArray[np.int64]) -> list[Members]:
    """Return the rows of each label."""
    order, ends = by_label(labels, len(centres))
    rows, weights = sample.rows.take(order, axis=0), sample.weights[order]
    return [
        Members(rows[ends[k] : ends[k + 1]], weights[ends[k] : ends[k + 1]], centre)
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
    """Draw at most so many rows by weight; return all if they are fewer."""
    if len(sample.rows) <= most:
        return sample
    chosen, counts = strata(sample.weights, most, rng)
    return sample._replace(rows=sample.rows.take(chosen, axis=0), weights=counts / most)


def _enough(n_components: int) -> int:
    """Number of rows that centres are chosen from."""
    return max(SEEDING_ROWS, SEEDING_ROWS_PER_COMPONENT * n_components)


def random_responsibilities(
    rows: Array, n_components: int, rng: np.random.Generator
) -> Callable[[], Iterator[Array]]:
    """Return random responsibilities, a function of each row's values: equal rows have the same.

    The callable returned yields those of one component after another, (m,): all of 300 components
    at once would take 120 MB.
    """
    directions = rng.standard_normal((n_components, rows.shape[1]))
    offsets = rng.random(n_components)
    # the fractional part of a long projection: as good as random, and a function of the row alone
    extent = np.abs(rows).max(axis=0)
    scale = 1e3 / np.where(extent > 1e-300, extent, 1.0)  # a constant feature has no extent
    return partial(_fractions, rows, scale * directions, offsets)


def _fractions(rows: Array, directions: Array, offsets: Array) -> Iterator[Array]:
    """Yield the fractional parts of projections, divided by each row's sum."""

    def fraction(k: int) -> Array:
        share = np.einsum("kj,ij->ki", directions[k : k + 1], rows)[0] + offsets[k]
        share -= np.floor(share)
        return np.asarray(share)

    n_components, total = len(offsets), np.zeros(len(rows))
    kept: list[Array] = []
    for k in range(n_components):
        share = fraction(k)
        total += share
        if n_components * len(rows) <= KEPT_SHARES:
            kept.append(share)
    for k in range(n_components):
        yield (kept[k] if kept else fraction(k)) / total


def k_means_plus_plus(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Choose centres by k-means++, and label each row with the nearest."""
    centres = far_rows(thinned(sample, _enough(n_components), rng), n_components, rng)
    return centres, label(sample, centres)[0]


def far_rows(
    sample: Sample, n_components: int, rng: np.random.Generator, n_trials: int | None = None
) -> Array:
    """Choose centres by greedy k-means++: each is the best of 2 + log K drawn rows."""
    n_trials = n_trials or 2 + int(np.log(n_components))
    uniforms = rng.random(1 + max(1, n_components - 1) * n_trials)
    rows, chosen = np.ascontiguousarray(sample.rows), np.empty(n_components, np.int64)
    plus_plus(rows, sample.weights, uniforms, chosen)
    return rows[chosen]


def random_rows(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Draw centres among the rows by weight, without replacement while rows last."""
    with np.errstate(divide="ignore"):
        keys = np.log(rng.random(len(sample.rows))) / sample.weights
    chosen = np.resize(np.argsort(keys, kind="stable")[::-1], n_components)
    centres = sample.rows[chosen]
    return centres, label(sample, centres)[0]


def k_means(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Run Lloyd's algorithm from k-means++ centres until it converges."""
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
    """Label rows by k-means++ centres after one round of swaps and a few rounds of Lloyd."""
    centres = far_rows(sample, n_components, rng)
    if n_components > 2:
        swap(sample, rng.random(n_components), centres)
    return label(sample, rested(sample, centres, 0.0, rounds))[0]


def k_means_of_many(
    sample: Sample, n_components: int, rng: np.random.Generator, rounds: int
) -> npt.NDArray[np.int64]:
    """Label rows likewise, but choose centres among fewer rows and with more swaps."""
    most = max(SEEDING_ROWS, MANY_ROWS_PER_COMPONENT * n_components)
    fewer = thinned(sample, most, rng)
    centres = far_rows(fewer, n_components, rng, MANY_TRIALS)
    swap(fewer, rng.random(MANY_SWAPS * n_components), centres)
    return label(sample, rested(sample, centres, 0.0, rounds))[0]


def swap(sample: Sample, uniforms: Array, centres: Array) -> None:
    """Put centres where that saves more, one swap for each random number."""
    local_search(np.ascontiguousarray(sample.rows), sample.weights, uniforms, centres)


def rested(sample: Sample, centres: Array, enough: float, rounds: int = LLOYD_ROUNDS) -> Array:
    """Move centres by Lloyd's rounds until their summed squared movement is at most `enough`."""
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
    """Label rows by k-means on standardised features, so that units do not matter."""
    with one_blas_thread():
        deviations = np.sqrt(sample.weights @ sample.rows**2)
    scale = np.where(deviations > 0.0, deviations, 1.0)
    centres, labels = k_means(sample._replace(rows=sample.rows / scale), n_components, rng)
    return centres * scale, labels


def _is_small(n_rows: int, centres: Array) -> bool:
    """Whether this is too little work to split among threads."""
    return n_rows <= SLICE_ROWS or n_rows * centres.size < PARALLEL_OPERATIONS


def label(sample: Sample, centres: Array) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Label each row with its nearest centre; sum weights (K,) and weighted rows (K, d)."""
    rows, weights = np.ascontiguousarray(sample.rows), sample.weights
    labels = np.empty(len(rows), np.int64)
    n_slices = -(-len(rows) // SLICE_ROWS)
    mass, sums = np.zeros((n_slices, len(centres))), np.zeros((n_slices, *centres.shape))
    arguments = rows, weights, centres, SLICE_ROWS, labels, mass, sums
    if _is_small(len(rows), centres):
        kmeans.assign_serial(*arguments)
    else:
        threads.run_in_parallel(kmeans.assign, kmeans.assign_serial, *arguments)
    return labels, mass.sum(axis=0), sums.sum(axis=0)


def maximise(sample: Sample, components: Iterable[Members], rule: em.Maximisation) -> Parameters:
    """Estimate parameters from the rows of each component.

    A component without rows stays at its centre, with the weight of one row and, as far as the
    family allows, the covariance of the sample.
    """
    family, of_empty = rule.family, None
    found = sums_of(sample, components, family.structure)
    empty = ~found.occupied
    if empty.any():
        everything = [Members(sample.rows, sample.weights, np.zeros(sample.rows.shape[1]))]
        whole = sums_of(sample, everything, family.structure)
        of_all = family.estimate(whole, whole.means, rule.reg_covar)
        of_empty = np.broadcast_to(of_all, found.second.shape)
    covariances = family.estimate(found, found.means, rule.reg_covar, of_empty, rule.prior)
    weights = np.where(empty, 1.0 / len(sample.rows), found.weight)
    return Parameters.from_covariances(
        family.structure, weights / weights.sum(), found.means + sample.origin, covariances
    )


@one_blas_thread()
def sums_of(
    sample: Sample, components: Iterable[Members], structure: Structure
) -> SufficientStatistics:
    """Sum the rows of each component about their mean, or about its centre if it has none."""
    weights, origins, seconds = [], [], []
    for rows, row_weights, centre in components:
        weight = float(row_weights.sum())
        origin = row_weights @ rows / weight if weight > 0.0 else centre
        weights.append(weight)
        origins.append(origin)
        seconds.append(structure.scatter(rows - origin, row_weights))
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
