"""Exchanges of clusters with variances alone, each tried on the rows of three clusters.

Where k-means puts two centres in one cluster and one in two, EM stays. So two clusters that lie
near each other become one, and another is cut in two (Ueda, Nakano, Ghahramani and Hinton 2000,
SMEM algorithm for mixture models, section 3). These three then climb by EM on their own rows,
as if there were no others; what that costs does not grow with the number of clusters. Exchanges
that have no cluster in common are made together, and then all rows are divided anew.

Where rows are few for the features, any cluster can be cut in two that look narrower. So variances
are drawn towards the common ones by a few rows, and the penalised log-likelihood judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.initialisation import work
from fastgmm.initialisation.work import DIVIDING_ROUNDS
from fastgmm.mixture.arrays import Array
from fastgmm.parallel.blas import one_blas_thread

PASSES = 4  # of EM, of the three clusters of an exchange
TRIALS = 3  # merges tried with a cut
FAILURES, FAILURES_OF_MANY = 3, 10  # cuts that fail before a sweep ends, or one in so many clusters
AXIS_ROUNDS = 4  # of the power method
# Nats per row of the three, by hard labels: of 170 exchanges of 28 sets that paid off two promised
# less, of 1100 others a half more
HOPELESS = -1.0
FEWEST = 2  # rows on either side of a cut
PARTNERS = 20  # nearest clusters that one may be merged with
FEW = 100  # of so many clusters one exchange is no reason for another sweep
PRIOR_ROWS = 10.0  # that draw variances towards the common ones
WORTH_IT = 1.0  # rows' nats, what an exchange has to gain
LEAST = 1e-6  # variance of standardised rows
TILE_NUMBERS = 64_000  # log densities that sit in cache
TINY = float(np.finfo(float).tiny)

Labels = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]
Sides = npt.NDArray[np.bool_]


class Clusters(NamedTuple):
    """Components with variances of their own."""

    weights: Array  # (K,) of their rows
    means: Array  # (K, d)
    variances: Array  # (K, d)

    def of(self, chosen: list[int]) -> Clusters:
        """Return some of them."""
        return Clusters(*(values[chosen] for values in self))

    @one_blas_thread()
    def log_densities(self, rows: Array) -> Array:
        """Log densities of rows times weights, but for the constant of all, (m, K)."""
        inverse = 1.0 / self.variances
        linear = self.means * inverse
        constants = np.log(np.maximum(self.weights, TINY))
        constants -= 0.5 * (np.log(self.variances) + self.means * linear).sum(axis=1)
        return np.asarray(rows @ linear.T + (rows * rows) @ (-0.5 * inverse).T + constants)

    @one_blas_thread()
    def labels(self, rows: Array) -> Labels:
        """Return the likeliest cluster of each row."""
        found = np.empty(len(rows), np.int64)
        n_tile = max(1, TILE_NUMBERS // len(self.weights))
        for start in range(0, len(rows), n_tile):
            tile = slice(start, start + n_tile)
            found[tile] = self.log_densities(rows[tile]).argmax(axis=1)
        return found


class _Sums(NamedTuple):
    """Weights, rows and their squares, summed for each cluster."""

    weights: Array  # (K,)
    rows: Array  # (K, d)
    squares: Array  # (K, d)

    def together(self, first: Places, second: Places) -> _Sums:
        """Return the sums of pairs of clusters."""
        return _Sums(*(values[first] + values[second] for values in self))


class _Cut(NamedTuple):
    """A cluster cut in two."""

    gain: float
    cluster: int
    above: Sides


class _Merge(NamedTuple):
    """Two clusters that become one."""

    loss: float
    pair: tuple[int, int]


class LocalExchanges:
    """Clusters of one sample.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
        Standardised.
    weights : ndarray of shape (m,)
        Their sum is one.
    own_weight : float
        How many rows the sample is.
    affordable : float
        Nanoseconds, as counted in `work`.
    is_spherical : bool
        Whether all features of a cluster have one variance.
    """

    def __init__(
        self,
        rows: Array,
        weights: Array,
        own_weight: float,
        affordable: float,
        is_spherical: bool = False,
    ) -> None:
        self.left = affordable
        self.rows, self.weights, self.is_spherical = rows, weights, is_spherical
        self.prior_rows, self.worth_it = PRIOR_ROWS / own_weight, WORTH_IT / own_weight
        self.common = np.zeros(rows.shape[1])

    @one_blas_thread()
    def exchanged(self, labels: Labels, n_components: int) -> Clusters:
        """Exchange clusters while that raises the log-likelihood."""
        clusters = self._begun(labels, n_components)
        n_rows, n_features = self.rows.shape
        of_sweep = work.of_sweep(n_rows, n_features, n_components)
        while self._affords(of_sweep):
            for _ in range(DIVIDING_ROUNDS):
                order, ends = _sorted(clusters.labels(self.rows), n_components)
                rows, weights = self.rows[order], self.weights[order]
                sums = _sums(rows, weights, ends)
                clusters = self._estimated(sums)
            its = [slice(begin, end) for begin, end in pairwise(ends)]
            if self._swept(clusters, sums, rows, weights, its) * FEW < n_components:
                break
        return clusters

    def _affords(self, price: float) -> bool:
        """Whether so many nanoseconds are left, which are gone then."""
        self.left -= price
        return self.left >= 0.0

    def _begun(self, labels: Labels, n_components: int) -> Clusters:
        order, ends = _sorted(labels, n_components)
        sums = _sums(self.rows[order], self.weights[order], ends)
        means = sums.rows / np.maximum(sums.weights, TINY)[:, None]
        within = (sums.squares - sums.rows * means).sum(axis=0) / self.weights.sum()
        self.common = np.maximum(within, LEAST)
        if self.is_spherical:
            self.common[:] = self.common.mean()
        return self._estimated(sums)

    def _swept(
        self, clusters: Clusters, sums: _Sums, rows: Array, weights: Array, its: list[slice]
    ) -> int:
        """Make exchanges that have no cluster in common; return how many there were."""
        reached = self._classified(sums)
        cuts = self._cuts(clusters, reached, rows, weights, its)
        merges = self._merges(clusters, sums, reached)
        n_failures = max(FAILURES, len(its) // FAILURES_OF_MANY)
        taken, n_found = set[int](), 0
        for cut in cuts:
            if n_failures == 0:
                break
            if cut.cluster in taken:
                continue
            for loss, (i, j) in _apart(merges, taken | {cut.cluster}):
                mass = clusters.weights[[i, j, cut.cluster]].sum()
                if cut.gain - loss < HOPELESS * mass:
                    continue
                own = its[cut.cluster]
                places = [
                    np.r_[its[i], its[j]],
                    np.arange(own.start, own.stop)[cut.above],
                    np.arange(own.start, own.stop)[~cut.above],
                ]
                n_rows = sum(len(each) for each in places)
                if not self._affords(work.of_trial(n_rows, rows.shape[1])):
                    return n_found
                three = [i, j, cut.cluster]
                found = self._climbed(clusters.of(three), rows, weights, places)
                if found is not None:
                    for values, new in zip(clusters, found, strict=True):
                        values[three] = new
                    taken.update(three)
                    n_found += 1
                    break
            else:
                n_failures -= 1
        return n_found

    @one_blas_thread()
    def _climbed(
        self, before: Clusters, rows: Array, weights: Array, places: list[Places]
    ) -> Clusters | None:
        """Run EM from a division of the rows of three clusters; None if they were better before."""
        ends = np.cumsum([0, *(len(each) for each in places)])
        at = np.concatenate(places)
        rows, weights = rows[at], weights[at]
        _, lowest = _responsibilities(before, rows, weights)
        lowest += float(self._log_priors(before).sum()) + self.worth_it
        clusters = self._estimated(_sums(rows, weights, ends))
        squares = rows * rows
        for _ in range(PASSES):
            climbed = clusters
            shares, reached = _responsibilities(climbed, rows, weights)
            sums = _Sums(shares.sum(axis=1), shares @ rows, shares @ squares)
            clusters = self._estimated(sums)
        reached += float(self._log_priors(climbed).sum())
        return climbed if reached > lowest else None

    def _estimated(self, sums: _Sums) -> Clusters:
        """Return the M-step, with the rows of the prior."""
        weights = sums.weights[:, None]
        means = sums.rows / np.maximum(weights, TINY)
        scatters = np.maximum(sums.squares - sums.rows * means, 0.0) + LEAST * weights
        if self.is_spherical:
            scatters[:] = scatters.mean(axis=1, keepdims=True)
        total = self.prior_rows * self.common + scatters
        return Clusters(sums.weights, means, total / (self.prior_rows + weights))

    def _log_priors(self, clusters: Clusters) -> Array:
        terms = np.log(clusters.variances) + self.common / clusters.variances
        return np.asarray(-0.5 * self.prior_rows * terms.sum(axis=1))

    @one_blas_thread()
    def _cuts(
        self, clusters: Clusters, reached: Array, rows: Array, weights: Array, its: list[slice]
    ) -> list[_Cut]:
        """Cut clusters across the axis on which their rows vary most for the variances."""
        cut, halves = list[tuple[int, Sides]](), list[tuple[Array, Array, Array]]()
        scales = 1.0 / np.sqrt(clusters.variances)
        for k, place in enumerate(its):
            own, mass = rows[place], weights[place]
            if len(own) < 2 * FEWEST:
                continue
            above = _cut((own - clusters.means[k]) * scales[k], mass)
            if above is None:
                continue
            shares = np.stack([mass * above, mass * ~above])
            cut.append((k, above))
            halves.append((shares.sum(axis=1), shares @ own, shares @ (own * own)))
        if not cut:
            return []
        found = self._classified(
            _Sums(*(np.concatenate(each) for each in zip(*halves, strict=True)))
        )
        gains = found[::2] + found[1::2] - reached[[k for k, _ in cut]]
        order = np.argsort(-gains, kind="stable")
        return [_Cut(float(gains[at]), *cut[at]) for at in order]

    @one_blas_thread()
    def _merges(self, clusters: Clusters, sums: _Sums, reached: Array) -> list[_Merge]:
        """Return merges of clusters that lie near each other, those first that lose least."""
        weights, means, variances = clusters
        n_partners = min(PARTNERS, len(weights) - 1)
        scaled = means / np.sqrt(weights @ variances / weights.sum())
        lengths = (scaled**2).sum(axis=1)
        apart = lengths[:, None] + lengths - 2.0 * (scaled @ scaled.T)
        np.fill_diagonal(apart, np.inf)
        partners = np.argpartition(apart, n_partners - 1, axis=1)[:, :n_partners]
        first = np.repeat(np.arange(len(weights)), n_partners)
        pairs = np.sort(np.stack([first, partners.ravel()], axis=1), axis=1)
        i, j = np.unique(pairs, axis=0).T
        losses = reached[i] + reached[j] - self._classified(sums.together(i, j))
        order = np.argsort(losses, kind="stable")
        return [_Merge(float(losses[at]), (int(i[at]), int(j[at]))) for at in order]

    def _classified(self, sums: _Sums) -> Array:
        """Penalised log-likelihoods of clusters and their rows after the M-step, (K,)."""
        found = self._estimated(sums)
        weights, means, variances = found
        scatters = sums.squares - 2.0 * sums.rows * means + weights[:, None] * means**2
        terms = weights[:, None] * np.log(variances) + scatters / variances
        entropy = weights * np.log(np.maximum(weights, TINY))
        return np.asarray(entropy - 0.5 * terms.sum(axis=1) + self._log_priors(found))


def _sorted(labels: Labels, n_components: int) -> tuple[Places, Labels]:
    """Return the places of rows, by cluster, and where each cluster begins and the last ends."""
    order = np.argsort(labels.astype(np.min_scalar_type(n_components)), kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_components))])


@one_blas_thread()
def _sums(rows: Array, weights: Array, ends: npt.NDArray[np.int64]) -> _Sums:
    """Sum rows that lie together by cluster."""
    shape = len(ends) - 1, rows.shape[1]
    found = _Sums(np.zeros(shape[0]), np.zeros(shape), np.zeros(shape))
    for k, (begin, end) in enumerate(pairwise(ends)):
        own, mass = rows[begin:end], weights[begin:end]
        found.weights[k] = mass.sum()
        found.rows[k] = mass @ own
        found.squares[k] = mass @ (own * own)
    return found


@one_blas_thread()
def _responsibilities(clusters: Clusters, rows: Array, weights: Array) -> tuple[Array, float]:
    """Return weighted responsibilities, (K, m), and the log-likelihood."""
    joint = clusters.log_densities(rows).T
    top = joint.max(axis=0)
    shares = np.exp(joint - top)
    total = shares.sum(axis=0)
    shares *= weights / total
    return shares, float(weights @ (top + np.log(total)))


@one_blas_thread()
def _cut(white: Array, weights: Array) -> Sides | None:
    """Cut white rows in two along their longest axis, where most of its variance lies between.

    None if too few rows are on one side.
    """
    axis = white[np.einsum("ij,ij->i", white, white).argmax()]
    for _ in range(AXIS_ROUNDS):
        axis = (weights * (white @ axis)) @ white
        axis /= max(np.sqrt(axis @ axis), TINY)
    lines = white @ axis
    order = np.argsort(lines, kind="stable")
    below, sums = np.cumsum(weights[order]), np.cumsum((weights * lines)[order])
    part = below[FEWEST - 1 : -FEWEST] / below[-1]
    between = (sums[FEWEST - 1 : -FEWEST] - part * sums[-1]) ** 2 / np.maximum(
        part * (1.0 - part), TINY
    )
    above = lines > lines[order[FEWEST - 1 + between.argmax()]]
    n_above = np.count_nonzero(above)  # rows may be equal
    return above if min(n_above, len(lines) - n_above) >= FEWEST else None


def _apart(merges: list[_Merge], taken: set[int]) -> Iterator[_Merge]:
    """Yield the first merges without the clusters that are taken."""
    left = TRIALS
    for merge in merges:
        if left == 0:
            break
        if taken.isdisjoint(merge.pair):
            left -= 1
            yield merge
