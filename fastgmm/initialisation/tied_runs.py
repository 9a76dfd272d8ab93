"""EM with one covariance for all components, at the price of k-means.

In rows whose covariance is the identity, that within components is W = I - A'A, where the row of
component k in A is its mean times the root of its weight. So no pass sums products of features, the
distance of a row to a mean takes d operations, and W^-1 A' = A' (I - AA')^-1 (Sherman, Morrison and
Woodbury) is of the smaller of K and d. As linear discriminant analysis, it finds clusters that
differ in their means, along whichever directions; it has as many parameters as k-means, and one
matrix.

Where rows are few for the features, any division of the rows has such a direction. So the
covariance is drawn towards the features' own variances by as many rows as there are features.
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


class Run(NamedTuple):
    """Where EM has come to, in white rows."""

    weights: Array  # (K,)
    means: Array  # (K, d)
    log_likelihood: float = -np.inf


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
        return Run(weights, sums / np.maximum(weights, np.finfo(float).tiny)[:, None])

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
            means = sums / np.maximum(weights, np.finfo(float).tiny)[:, None]
            gained = float(found[0]) - 0.5 * (lengths + log_volume)
            has_converged = gained < run.log_likelihood + TOLERANCE
            run = Run(weights / weights.sum(), means, gained)
            if has_converged:
                break
        return run

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
