"""Exchanges of clusters, each tried on the rows of three of them.

Where k-means puts two centres in one cluster and one in two, EM stays. So two clusters that lie
near each other become one, and another is cut in two (Ueda, Nakano, Ghahramani and Hinton 2000,
SMEM algorithm for mixture models, section 3). These three then climb by EM on their own rows,
as if there were no others; what that costs does not grow with the number of clusters. Exchanges
that have no cluster in common are made together, and then all rows are divided anew.

Where rows are few for the features, any cluster can be cut in two that look narrower. So
covariances are drawn towards the common one by some rows, and the penalised log-likelihood judges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.initialisation import work
from fastgmm.initialisation.kmeans import by_label
from fastgmm.initialisation.split_merge import Held, held_by
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.factorisation import inverse_factors
from fastgmm.parallel.blas import one_blas_thread

PASSES, MOST_PASSES = 3, 8  # of EM, of the three clusters of an exchange
# Nats per row of the three, divided by the passes: what is further behind is given up. Of 177
# exchanges that paid off five were; of 431 others half after two passes, three in four after four
BEHIND = 0.9
TRIALS = 3  # merges tried with a cut
# Cuts that fail before a sweep ends, or one in so many clusters: with one in ten, 50 clusters of
# 50 000 x 5 were predicted 0.03 nats per row worse
FAILURES, FAILURES_OF_MANY = 5, 2
AXIS_ROUNDS = 4  # of the power method
# Up to so many features, clusters are cut on the axis of lowest kurtosis, too: on white rows no
# other is longer. 20 clusters of 2000x10 were found from all of eight seeds, from four without
FEW_FEATURES = 16
# of a cluster's responsibility for a row, as a part of the likeliest one's: less is left out
LEAST_SHARE = math.log(0.01)
# Nats per row of the three, by hard labels: of 64 exchanges of `bench.tables.wide` that paid off,
# one promised less, of 454 others three in four
HOPELESS = -1.0
FEWEST = 2  # rows on either side of a cut
PARTNERS = 20  # nearest clusters that one may be merged with
FEW = 100  # of so many clusters one exchange is no reason for another sweep
WORTH_IT = 1.0  # rows' nats, what an exchange has to gain
LEAST = 1e-6  # variance of standardised rows
TILE_NUMBERS = 64_000  # log densities that sit in cache
TINY = float(np.finfo(float).tiny)

Labels = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]
Sides = npt.NDArray[np.bool_]


class Clusters(NamedTuple):
    """Components with covariances of their own."""

    weights: Array  # (K,) of their rows
    means: Array  # (K, d)
    factors: Array  # of the precisions: (K, d) reciprocal deviations, or matrices (K, d, d)
    log_volumes: Array  # (K,) log determinants of the covariances

    def of(self, chosen: list[int]) -> Clusters:
        """Return some of them."""
        return Clusters(*(values[chosen] for values in self))


class _Sums(NamedTuple):
    """Weights, rows and their products, summed for each cluster."""

    weights: Array  # (K,)
    rows: Array  # (K, d)
    products: Array  # (K, d) squares, or all of them (K, d, d)

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
    """Clusters of one sample, with variances of their own.

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
    prior_rows : float
        Rows that draw covariances towards the common one.
    """

    prices = work.OF_CLUSTERS

    def __init__(
        self, rows: Array, weights: Array, own_weight: float, affordable: float, prior_rows: float
    ) -> None:
        self.left = affordable
        self.rows, self.weights = rows, weights
        self.prior_rows, self.worth_it = prior_rows / own_weight, WORTH_IT / own_weight
        self.common = np.zeros(0)

    @one_blas_thread()
    def exchanged(self, labels: Labels, n_components: int) -> Clusters:
        """Exchange clusters while that raises the log-likelihood."""
        clusters = self._begun(labels, n_components)
        while self._affords(self._price_of_sweep(n_components)):
            for _ in range(self.prices.n_rounds):
                held = self._held(clusters)
                sums = self._sums(held)
                clusters = self._estimated(sums)
            if self._swept(clusters, sums, held) * FEW < n_components:
                break
        return clusters

    @one_blas_thread()
    def labels(self, clusters: Clusters, rows: Array) -> Labels:
        """Return the likeliest cluster of each row."""
        found = np.empty(len(rows), np.int64)
        n_tile = max(1, TILE_NUMBERS // max(clusters.means.shape))
        for start in range(0, len(rows), n_tile):
            tile = slice(start, start + n_tile)
            found[tile] = self._log_densities(clusters, rows[tile]).argmax(axis=0)
        return found

    def _affords(self, price: float) -> bool:
        """Whether so many nanoseconds are left, which are gone then."""
        self.left -= price
        return self.left >= 0.0

    def _begun(self, labels: Labels, n_components: int) -> Clusters:
        order, ends = by_label(labels, n_components)
        held = [Held(order[a:b], np.ones(b - a)) for a, b in pairwise(ends)]
        sums = self._sums(held)
        self.common = self._within(sums) / self.weights.sum()
        return self._estimated(sums)

    @one_blas_thread()
    def _held(self, clusters: Clusters) -> list[Held]:
        """Return the rows that each cluster is responsible for, but for the least of them."""
        places, owners, shares = [], [], []
        n_tile = max(1, TILE_NUMBERS // max(clusters.means.shape))
        for start in range(0, len(self.rows), n_tile):
            joint = self._log_densities(clusters, self.rows[start : start + n_tile])
            joint -= joint.max(axis=0)
            near = joint > LEAST_SHARE
            owner, place = np.nonzero(near)
            share = np.exp(joint[near])
            share /= np.bincount(place, share)[place]
            places.append(start + place)
            owners.append(owner)
            shares.append(share)
        return held_by(owners, places, shares, len(clusters.means))

    def _swept(self, clusters: Clusters, sums: _Sums, held: list[Held]) -> int:
        """Make exchanges that have no cluster in common; return how many there were."""
        reached = self._classified(sums)
        cuts = self._cuts(clusters, reached, held)
        merges = self._merges(clusters, sums, reached)
        n_failures = max(FAILURES, len(held) // FAILURES_OF_MANY)
        taken, n_found = set[int](), 0
        for cut in cuts:
            if n_failures == 0:
                break
            if cut.cluster in taken:
                continue
            for loss, (i, j) in _apart(merges, taken | {cut.cluster}):
                three = [i, j, cut.cluster]
                if cut.gain - loss < HOPELESS * clusters.weights[three].sum():
                    continue
                if self.left <= 0.0:
                    return n_found
                found = self._climbed(clusters.of(three), [held[k] for k in three], cut.above)
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
    def _climbed(self, before: Clusters, held: list[Held], above: Sides) -> Clusters | None:
        """Run EM after two of three clusters are merged and the third is cut.

        On the rows that the three are responsible for, and in so far as they are. None if they
        were better before.
        """
        at, place = np.unique(np.concatenate([each.rows for each in held]), return_inverse=True)
        share = np.concatenate([each.shares for each in held])
        n_both = len(held[0].rows) + len(held[1].rows)
        to = np.zeros(len(place), np.intp)
        to[n_both:] = 1 + ~above
        rows, shares = self.rows[at], np.zeros((3, len(at)))
        np.add.at(shares, (to, place), share)
        shares *= self.weights[at]
        weights = np.asarray(shares.sum(axis=0))
        _, lowest = self._responsibilities(before, rows, weights)
        lowest += float(self._log_priors(before).sum()) + self.worth_it
        self.left -= self._price_of_pass(len(rows))  # of what is above
        for n_passes in range(1, MOST_PASSES + 1):
            if not self._affords(self._price_of_pass(len(rows))):
                break
            sums = _Sums(shares.sum(axis=1), shares @ rows, self._products(shares, rows))
            clusters = self._estimated(sums)
            shares, reached = self._responsibilities(clusters, rows, weights)
            reached += float(self._log_priors(clusters).sum())
            if n_passes >= PASSES and reached > lowest:
                return clusters
            if n_passes > 1 and reached < lowest - BEHIND / n_passes * weights.sum():
                break
        return None

    def _responsibilities(
        self, clusters: Clusters, rows: Array, weights: Array
    ) -> tuple[Array, float]:
        """Return weighted responsibilities, (K, m), and the log-likelihood."""
        joint = self._log_densities(clusters, rows)
        top = joint.max(axis=0)
        shares = np.exp(joint - top)
        total = shares.sum(axis=0)
        shares *= weights / total
        return shares, float((weights * (top + np.log(total))).sum())

    @one_blas_thread()
    def _cuts(self, clusters: Clusters, reached: Array, held: list[Held]) -> list[_Cut]:
        """Cut each cluster the better of some ways; the best come first."""
        cut, halves = list[tuple[int, Sides]](), list[tuple[Array, Array, Array]]()
        for k, each in enumerate(held):
            own, mass = self.rows[each.rows], self.weights[each.rows] * each.shares
            if len(own) < 2 * FEWEST:
                continue
            white = self._white(own - clusters.means[k], clusters.factors[k])
            for above in _ways_to_cut(white, mass):
                shares = np.stack([mass * above, mass * ~above])
                cut.append((k, above))
                halves.append((shares.sum(axis=1), shares @ own, self._products(shares, own)))
        if not cut:
            return []
        sums = _Sums(*(np.concatenate(each) for each in zip(*halves, strict=True)))
        found = self._classified(sums)
        gains = found[::2] + found[1::2] - reached[[k for k, _ in cut]]
        order = np.argsort(-gains, kind="stable")
        first = dict[int, _Cut]()
        for at in order:
            k, above = cut[at]
            first.setdefault(k, _Cut(float(gains[at]), k, above))
        return list(first.values())

    @one_blas_thread()
    def _merges(self, clusters: Clusters, sums: _Sums, reached: Array) -> list[_Merge]:
        """Return merges of clusters that lie near each other, those first that lose least."""
        means = clusters.means
        n_partners = min(PARTNERS, len(means) - 1)
        scaled = means / np.sqrt(self._variances(self.common))
        lengths = (scaled**2).sum(axis=1)
        apart = lengths[:, None] + lengths - 2.0 * (scaled @ scaled.T)
        np.fill_diagonal(apart, np.inf)
        partners = np.argpartition(apart, n_partners - 1, axis=1)[:, :n_partners]
        first = np.repeat(np.arange(len(means)), n_partners)
        pairs = np.sort(np.stack([first, partners.ravel()], axis=1), axis=1)
        i, j = np.unique(pairs, axis=0).T
        losses = reached[i] + reached[j] - self._classified(sums.together(i, j))
        order = np.argsort(losses, kind="stable")
        return [_Merge(float(losses[at]), (int(i[at]), int(j[at]))) for at in order]

    def _classified(self, sums: _Sums) -> Array:
        """Penalised log-likelihoods of clusters and their rows after the M-step, (K,).

        There, the squared distances of the rows to their mean sum to d for each.
        """
        found = self._estimated(sums)
        entropy = found.weights * np.log(np.maximum(found.weights, TINY))
        shown = found.weights + self.prior_rows
        return np.asarray(entropy - 0.5 * shown * (found.log_volumes + found.means.shape[1]))

    @one_blas_thread()
    def _sums(self, held: list[Held]) -> _Sums:
        """Sum the rows that each cluster is responsible for."""
        found = []
        for each in held:
            own, mass = self.rows[each.rows], self.weights[each.rows] * each.shares
            found.append((mass.sum(), mass @ own, self._products(mass[None], own)[0]))
        return _Sums(*(np.array(each) for each in zip(*found, strict=True)))

    # what covariances are

    @one_blas_thread()
    def _log_densities(self, clusters: Clusters, rows: Array) -> Array:
        """Log densities of rows times weights, but for the constant of all, (K, m)."""
        inverse = clusters.factors**2
        linear = clusters.means * inverse
        constants = np.log(np.maximum(clusters.weights, TINY))
        constants -= 0.5 * (clusters.log_volumes + (clusters.means * linear).sum(axis=1))
        columns = rows.T
        return np.asarray(
            linear @ columns + (-0.5 * inverse) @ (columns * columns) + constants[:, None]
        )

    @one_blas_thread()
    def _products(self, shares: Array, rows: Array) -> Array:
        return np.asarray(shares @ (rows * rows))

    def _within(self, sums: _Sums) -> Array:
        """Sum products about the means."""
        means = sums.rows / np.maximum(sums.weights, TINY)[:, None]
        return np.maximum((sums.products - sums.rows * means).sum(axis=0), LEAST)

    def _variances(self, covariances: Array) -> Array:
        return covariances

    def _white(self, rows: Array, factor: Array) -> Array:
        return rows * factor

    def _estimated(self, sums: _Sums) -> Clusters:
        """Return the M-step, with the rows of the prior."""
        weights = sums.weights[:, None]
        means = sums.rows / np.maximum(weights, TINY)
        scatters = np.maximum(sums.products - sums.rows * means, 0.0) + LEAST * weights
        variances = (self.prior_rows * self.common + scatters) / (self.prior_rows + weights)
        return Clusters(sums.weights, means, *self._factors(variances))

    def _factors(self, variances: Array) -> tuple[Array, Array]:
        return 1.0 / np.sqrt(variances), np.log(variances).sum(axis=1)

    def _log_priors(self, clusters: Clusters) -> Array:
        misfits = (self.common * clusters.factors**2).sum(axis=1)
        return np.asarray(-0.5 * self.prior_rows * (clusters.log_volumes + misfits))

    def _price_of_sweep(self, n_components: int) -> float:
        n_rows, n_features = self.rows.shape
        return self.prices.sweep(n_rows, n_features, n_components)

    def _price_of_pass(self, n_rows: int) -> float:
        return self.prices.one_pass(n_rows, self.rows.shape[1])


class RoundExchanges(LocalExchanges):
    """Clusters of one variance each."""

    def _factors(self, variances: Array) -> tuple[Array, Array]:
        each = variances.mean(axis=1, keepdims=True)
        return super()._factors(np.broadcast_to(each, variances.shape))


class MatrixExchanges(LocalExchanges):
    """Clusters with matrices of their own."""

    prices = work.OF_MATRIX_CLUSTERS

    @one_blas_thread()
    def _log_densities(self, clusters: Clusters, rows: Array) -> Array:
        found = np.empty((len(clusters.means), len(rows)))
        constants = np.log(np.maximum(clusters.weights, TINY)) - 0.5 * clusters.log_volumes
        for k, (mean, factor) in enumerate(zip(clusters.means, clusters.factors, strict=True)):
            white = (rows - mean) @ factor
            found[k] = constants[k] - 0.5 * np.einsum("ij,ij->i", white, white)
        return found

    @one_blas_thread()
    def _products(self, shares: Array, rows: Array) -> Array:
        return np.stack([(rows.T * share) @ rows for share in shares])

    def _within(self, sums: _Sums) -> Array:
        means = sums.rows / np.maximum(sums.weights, TINY)[:, None]
        between = np.einsum("ki,kj->ij", sums.rows, means)
        found = sums.products.sum(axis=0) - between
        found[np.diag_indices(len(found))] += LEAST
        return np.asarray(found)

    def _variances(self, covariances: Array) -> Array:
        return covariances.diagonal()

    @one_blas_thread()
    def _white(self, rows: Array, factor: Array) -> Array:
        return np.asarray(rows @ factor)

    @one_blas_thread()
    def _estimated(self, sums: _Sums) -> Clusters:
        weights = sums.weights[:, None, None]
        means = sums.rows / np.maximum(weights[:, 0], TINY)
        scatters = sums.products - sums.rows[:, :, None] * means[:, None, :]
        covariances = (self.prior_rows * self.common + scatters) / (self.prior_rows + weights)
        places = np.arange(means.shape[1])
        covariances[:, places, places] += LEAST
        factors = inverse_factors(covariances)
        log_volumes = -2.0 * np.log(factors[:, places, places]).sum(axis=1)
        return Clusters(sums.weights, means, factors, log_volumes)

    @one_blas_thread()
    def _log_priors(self, clusters: Clusters) -> Array:
        misfits = ((self.common @ clusters.factors) * clusters.factors).sum(axis=(1, 2))
        return np.asarray(-0.5 * self.prior_rows * (clusters.log_volumes + misfits))


@one_blas_thread()
def _ways_to_cut(white: Array, weights: Array) -> list[Sides]:
    """Cut white rows in two along their longest axis, and that of lowest kurtosis.

    But not where too few rows would be on one side.
    """
    squares = np.einsum("ij,ij->i", white, white)
    axis = white[squares.argmax()]
    for _ in range(AXIS_ROUNDS):
        axis = (weights * (white @ axis)) @ white
        axis /= max(np.sqrt(axis @ axis), TINY)
    axes, fewest = [axis], FEWEST
    if white.shape[1] <= FEW_FEATURES:
        fourth = (white.T * (weights * squares)) @ white
        axes.append(np.linalg.eigh(fourth)[1][:, 0])
        fewest = white.shape[1] + 2  # with fewer a covariance of its own may collapse
    cuts = [_cut(white @ axis, weights) for axis in axes]
    parts = [np.count_nonzero(above) for above in cuts]  # rows may be equal
    return [
        above
        for above, part in zip(cuts, parts, strict=True)
        if fewest <= part <= len(white) - fewest
    ]


def _cut(lines: Array, weights: Array) -> Sides:
    """Cut rows in two on a line, where most of its variance lies between."""
    order = np.argsort(lines, kind="stable")
    below, sums = np.cumsum(weights[order]), np.cumsum((weights * lines)[order])
    part = below[FEWEST - 1 : -FEWEST] / below[-1]
    between = (sums[FEWEST - 1 : -FEWEST] - part * sums[-1]) ** 2 / np.maximum(
        part * (1.0 - part), TINY
    )
    return np.asarray(lines > lines[order[FEWEST - 1 + between.argmax()]])


def _apart(merges: list[_Merge], taken: set[int]) -> Iterator[_Merge]:
    """Yield the first merges without the clusters that are taken."""
    left = TRIALS
    for merge in merges:
        if left == 0:
            break
        if taken.isdisjoint(merge.pair):
            left -= 1
            yield merge
