"""EM with one covariance for all components, at the price of k-means.

In rows whose covariance is the identity, that within components is W = I - A'A, where the row of
component k in A is its mean times the root of its weight. So no pass sums products of features, the
distance of a row to a mean takes d operations, and W^-1 A' = A' (I - AA')^-1 (Sherman, Morrison and
Woodbury) is of the smaller of K and d. As linear discriminant analysis, it finds clusters that
differ in their means, along whichever directions; it has as many parameters as k-means, and one
matrix.

Where rows are few for the features, any division of the rows has such a direction. So the
covariance is drawn towards the features' own variances by as many rows as there are features.

EM keeps two components in one cluster and one in two. Those are exchanged: two are merged that lie
near each other for W, and one is cut in two across the axis on which its rows vary most for W.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels import softmax
from fastgmm.kernels.simd.vectors import WIDTH
from fastgmm.mixture.arrays import Array
from fastgmm.parallel.blas import one_blas_thread

TOLERANCE = 1e-6  # nats per row: from a poor division, EM gains little at first
TILE_NUMBERS = 64_000  # log densities that sit in cache
FEWEST_ROWS_PER_TILE = 64
NO_WEIGHT = -1e300  # log weight of an empty component
AXIS_ROUNDS, CUT_ROUNDS = 12, 3  # of the power method, of k-means with two centres on an axis
TRIALS, FIRST_PASSES, MORE_PASSES = 3, 2, 4  # exchanges tried together; the best takes more passes
# nats per row of a component, what an exchange has to gain: clusters that overlap by half are worth
# more, and what a leader would still gain by itself is less
WORTH_IT = 0.3
TINY = float(np.finfo(float).tiny)


class Run(NamedTuple):
    """Where EM has come to, in white rows."""

    weights: Array  # (K,)
    means: Array  # (K, d)
    log_likelihood: float = -np.inf


class Cut(NamedTuple):
    """A component cut in two."""

    gain: float  # nats per row of the sample
    component: int
    part: float  # of its rows, that are above
    above: Array  # (m,) weight of each row that is above


class Merge(NamedTuple):
    """Two components that become one."""

    loss: float  # nats per row of the sample
    pair: tuple[int, int]


class TiedRuns:
    """Runs of EM over one sample.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
        Standardised.
    weights : ndarray of shape (m,)
        Their sum is one.
    """

    @one_blas_thread()
    def __init__(self, rows: Array, weights: Array) -> None:
        n_rows, n_features = rows.shape
        self.origin = weights @ rows
        columns = (rows - self.origin).T
        self.seen = n_rows / (n_rows + n_features)  # the part of the covariance that rows show
        pooled = self.seen * ((columns * weights) @ columns.T)
        pooled[np.diag_indices(n_features)] += 1.0 - self.seen
        self.whitener = np.linalg.inv(np.linalg.cholesky(pooled))
        n_full = -(-n_rows // WIDTH) * WIDTH  # columns of zeros fill up the last register
        self.columns = np.zeros((n_features, n_full))
        np.matmul(self.whitener, columns, out=self.columns[:, :n_rows])
        self.weights = np.zeros(n_full)
        self.weights[:n_rows] = weights
        self.length = float(np.einsum("ij,ij,j->", self.columns, self.columns, self.weights))

    @one_blas_thread()
    def begun(self, labels: npt.NDArray[np.int64], n_components: int) -> Run:
        """Return the M-step of labels (m,)."""
        n_rows = len(labels)
        order = np.argsort(labels, kind="stable")
        ends = np.searchsorted(labels[order], np.arange(n_components + 1))
        weights = np.asarray(np.bincount(labels, self.weights[:n_rows], n_components), np.float64)
        sums = np.zeros((n_components, len(self.columns)))
        for k in range(n_components):
            its = order[ends[k] : ends[k + 1]]
            sums[k] = self.columns[:, its] @ self.weights[its]
        return Run(weights, sums / np.maximum(weights, TINY)[:, None])

    @one_blas_thread()
    def advance(self, run: Run, n_passes: int) -> Run:
        """Run so many more passes, or until it has converged."""
        for _ in range(n_passes):
            constants, linear, log_volume = self._densities(run)
            sums, weights = np.zeros(run.means.shape), np.zeros(len(run.weights))
            found, lengths = np.zeros(1), self.length
            scaled = (self.seen * run.weights)[:, None] * run.means
            for tile, weight in self._tiles(len(weights)):
                densities = linear @ tile
                lengths += float((densities * (scaled @ tile)).sum(axis=0) @ weight)
                densities += constants[:, None]
                softmax.normalise(densities, weight, found)
                sums += densities @ tile.T
                weights += densities.sum(axis=1)
            means = sums / np.maximum(weights, TINY)[:, None]
            gained = float(found[0]) - 0.5 * (lengths + log_volume)
            has_converged = gained < run.log_likelihood + TOLERANCE
            run = Run(weights / weights.sum(), means, gained)
            if has_converged:
                break
        return run

    @one_blas_thread()
    def exchanged(self, run: Run, n_rounds: int) -> Run:
        """Exchange components, one at a time, while that raises the log-likelihood."""
        n_components = len(run.weights)
        for _ in range(n_rounds if n_components > 2 else 0):
            trials = [self.advance(each, FIRST_PASSES) for each in self._exchanges(run)]
            if not trials:
                break
            best = self.advance(max(trials, key=lambda each: each.log_likelihood), MORE_PASSES)
            if not best.log_likelihood > run.log_likelihood + WORTH_IT / n_components:
                break
            run = best
        return run

    @one_blas_thread()
    def _exchanges(self, run: Run) -> list[Run]:
        """Return runs that begin with the most promising exchanges."""
        begun = []
        cuts, merges = self._cuts(run)[:TRIALS], self._merges(run)
        found = [
            (merge.loss - cut.gain, cut, merge)
            for cut in cuts
            for merge in [each for each in merges if cut.component not in each.pair][:TRIALS]
        ]
        for _, cut, (_, (i, j)) in sorted(found, key=lambda each: each[0])[:TRIALS]:
            weights, means, k = run.weights.copy(), run.means.copy(), cut.component
            weights[i] += weights[j]
            means[i] += (weights[j] / max(weights[i], TINY)) * (means[j] - means[i])
            weights[j] = cut.part * weights[k]
            means[j] = self.columns @ cut.above / cut.above.sum()
            weights[k] -= weights[j]
            means[k] += cut.part / (1.0 - cut.part) * (means[k] - means[j])
            begun.append(Run(weights, means))
        return begun

    @one_blas_thread()
    def _cuts(self, run: Run) -> list[Cut]:
        """Cut components across the axis on which their rows vary most for W; the best first."""
        shares, lines = self._lines(run)
        mass = np.maximum(shares.sum(axis=1), TINY)
        thresholds = np.zeros(len(mass))
        total = (shares * lines).sum(axis=1)
        for _ in range(CUT_ROUNDS):
            above = shares * (lines > thresholds[:, None])
            part = above.sum(axis=1) / mass
            upper = (above * lines).sum(axis=1)
            parted = (part > 0.0) & (part < 1.0)
            part = np.where(parted, part, 0.5)
            highs, lows = upper / (part * mass), (total - upper) / ((1.0 - part) * mass)
            thresholds = 0.5 * (highs + lows)
        between = 0.5 * part * (1.0 - part) * (highs - lows) ** 2
        gains = mass * (between + part * np.log(part) + (1.0 - part) * np.log(1.0 - part))
        order = [k for k in np.argsort(-gains, kind="stable") if parted[k]]
        return [Cut(float(gains[k]), int(k), float(part[k]), above[k]) for k in order]

    @one_blas_thread()
    def _lines(self, run: Run) -> tuple[Array, Array]:
        """Return weighted responsibilities and rows along their component's axis, both (K, m).

        The unit is the deviation by W. The axes are found by the power method, from the farthest
        rows.
        """
        constants, linear, _ = self._densities(run)
        shares = linear @ self.columns + constants[:, None]
        softmax.normalise(shares, self.weights, np.zeros(1))
        lengths = (run.means**2).sum(axis=1)[:, None] - 2.0 * (run.means @ self.columns)
        lengths += (self.columns**2).sum(axis=0)
        farthest = (shares * lengths).argmax(axis=1)
        axes = self._solved(run, self.columns[:, farthest].T - run.means)
        for _ in range(AXIS_ROUNDS):
            lines = shares * self._along(run, axes)
            sums = lines @ self.columns.T - lines.sum(axis=1)[:, None] * run.means
            axes = self._solved(run, sums)
            axes /= np.maximum(np.sqrt((axes**2).sum(axis=1)), TINY)[:, None]
        scaled = np.sqrt(self.seen * run.weights)[:, None] * run.means
        within = (axes**2).sum(axis=1) - ((axes @ scaled.T) ** 2).sum(axis=1)
        return shares, self._along(run, axes) / np.sqrt(np.maximum(within, TINY))[:, None]

    @one_blas_thread()
    def _along(self, run: Run, axes: Array) -> Array:
        """Return rows less the mean of each component, along its axis, (K, m)."""
        return axes @ self.columns - (axes * run.means).sum(axis=1)[:, None]

    @one_blas_thread()
    def _solved(self, run: Run, vectors: Array) -> Array:
        """Return the products of vectors (k, d) with the inverse of W."""
        scaled = np.sqrt(self.seen * run.weights)[:, None] * run.means
        inner = np.eye(len(scaled)) - scaled @ scaled.T
        return vectors + (vectors @ scaled.T) @ np.linalg.solve(inner, scaled)

    @one_blas_thread()
    def _merges(self, run: Run) -> list[Merge]:
        """Return all pairs, those first that lose least by having one mean."""
        solved = self._solved(run, run.means)
        first, second = np.triu_indices(len(run.weights), 1)
        apart = run.means[first] - run.means[second]
        distances = (apart * (solved[first] - solved[second])).sum(axis=1)
        both = np.maximum(run.weights[first] + run.weights[second], TINY)
        part = np.clip(run.weights[first] / both, TINY, 1.0 - np.finfo(float).eps)
        losses = 0.5 * part * (1.0 - part) * distances
        losses += part * np.log(part) + (1.0 - part) * np.log(1.0 - part)
        losses *= both
        order = np.argsort(losses, kind="stable")
        return [Merge(float(losses[at]), (int(first[at]), int(second[at]))) for at in order]

    @one_blas_thread()
    def labels(self, run: Run, rows: Array) -> npt.NDArray[np.int64]:
        """Return the likeliest component of any standardised rows (m, d)."""
        constants, linear, _ = self._densities(run)
        linear = linear @ self.whitener
        constants = constants - linear @ self.origin
        found = np.empty(len(rows), np.int64)
        n_tile = max(FEWEST_ROWS_PER_TILE, TILE_NUMBERS // len(constants))
        for start in range(0, len(rows), n_tile):
            densities = linear @ rows[start : start + n_tile].T + constants[:, None]
            found[start : start + n_tile] = densities.argmax(axis=0)
        return found

    @one_blas_thread()
    def _densities(self, run: Run) -> tuple[Array, Array, float]:
        """Return constants (K,) and coefficients (K, d) of log densities, and log |W|.

        What all components share is left out: -|x|^2 / 2, and what W^-1 adds to that length.
        """
        n_components, n_features = run.means.shape
        shown = self.seen * run.weights
        scaled = np.sqrt(shown)[:, None] * run.means
        if n_components <= n_features:
            inner = np.eye(n_components) - scaled @ scaled.T
            turned = np.linalg.solve(inner, scaled)
        else:
            inner = np.eye(n_features) - scaled.T @ scaled
            turned = np.linalg.solve(inner, scaled.T).T
        log_volume = float(np.linalg.slogdet(inner)[1])
        held = run.weights > 0.0
        divisor = np.where(held, np.sqrt(np.where(held, shown, 1.0)), 1.0)
        linear = turned / divisor[:, None]
        log_weights = np.where(held, np.log(np.where(held, run.weights, 1.0)), NO_WEIGHT)
        constants = log_weights - 0.5 * (linear * run.means).sum(axis=1)
        return constants, linear, log_volume

    def _tiles(self, n_components: int) -> Iterator[tuple[Array, Array]]:
        """Walk the white rows, by columns, with their weights."""
        n_tile = max(FEWEST_ROWS_PER_TILE, TILE_NUMBERS // n_components // WIDTH * WIDTH)
        for start in range(0, len(self.weights), n_tile):
            its = slice(start, start + n_tile)
            yield self.columns[:, its], self.weights[its]
