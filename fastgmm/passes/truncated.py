"""Passes that leave out of each row what adds little to its likelihood, of many components.

Each row keeps the components within a margin of its best, log(K / (e^truncation - 1)) nats, so that
what it leaves out is at most `truncation` nats of its own log-likelihood. It keeps many where
covariances are wide, as in the first passes of a fit, and few later. `kernels.screened` does it,
and measures what was left out by some rows that are computed with all components.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.kernels import screened
from fastgmm.kernels.audit import AUDIT
from fastgmm.kernels.block_sizes import CALL_OPERATIONS, Plan, block_rows
from fastgmm.kernels.bounds import TruncatedFactors
from fastgmm.kernels.pruned import choose as choose_factors
from fastgmm.kernels.pruned import spread
from fastgmm.kernels.scoring import Columns
from fastgmm.kernels.screen import Screen, screen_of
from fastgmm.kernels.screened import KEPT, LOG_LIKELIHOOD, LOSS, TOLD, Scores
from fastgmm.kernels.tiles import FAR, TILE
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.truncated import Truncated
from fastgmm.passes.model import UNWEIGHTED, Model, calls, model, twin
from fastgmm.sources import Block

FEWEST_COMPONENTS = 64  # below, the dense pass is as fast
FEWEST_ROWS = 2048  # of a call: below, so is it
SLICES, FEWEST_SLICES = 32, 8  # of a call
PARTIAL_BYTES = 16 << 20  # what the partial sums of a call may take: adding them took a twentieth
OPERATIONS = 0.75  # multiply-adds for each component and feature, where the dense pass counts six
WORTH = 0.9  # of the dense pass's cost: above, a screen gains nothing that can be measured
PROBE = 48  # rows that show how many components a row keeps
PROMISING, PROMISE = 32, 0.7  # with one of so many kept, at most this cost, or no row is probed
NO_SUMS = np.empty((1, 0))


class Bounded:
    """Parameters with full covariances as kernels want them, for passes that leave some out.

    They are left out by upper bounds of their densities, as what is nothing always is; scores are
    of all components.

    Parameters
    ----------
    parameters : Truncated
    dtype : data-type
        Of the rows.
    """

    def __init__(self, parameters: Truncated, dtype: npt.DTypeLike) -> None:
        self.parameters, self.dtype = parameters, np.dtype(dtype)
        self.dense = model(parameters, dtype)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Send the parameters alone to another process."""
        return type(self), (self.parameters, self.dtype)

    @property
    def n_densities(self) -> int:
        """Count the log densities of a row."""
        return self.parameters.n_components

    def about_means(self) -> Bounded:
        """Return the same: its moments are about the means."""
        return self

    def directions(self, n_features: int) -> None:
        """Return nothing: second moments are whole."""

    def cancels(self, sums: Array) -> bool:
        """Return False."""
        return False

    def counted(self, block: Block) -> Block:
        """Return the rows of a block that say anything: all of them."""
        return block

    def unpack(self, sums: Array, n_features: int) -> tuple[Array, Array, Array, Array | None]:
        """Return weight, first and second moments about the means, and nothing beyond."""
        return self.dense.unpack(sums[:-1], n_features)

    def left_out(self, sums: Array) -> float:
        """Return an estimate of the log-likelihood that was left out, over all rows."""
        return float(sums[-1])

    def sums(self, block: Block, prune: bool = True) -> tuple[npt.NDArray[np.float64], float]:
        """Sum a block: its moments, and what is left out."""
        dense = self.dense
        if not prune:
            moments, log_likelihood = dense.sums(block, prune=False)
            return np.append(moments, 0.0), log_likelihood
        factors = choose_factors(block.rows, dense.factors, _margin(self.parameters))
        if not isinstance(factors, TruncatedFactors):
            moments, log_likelihood = dense.sums_by(factors, block, dense.n_sums)
            return np.append(moments, 0.0), log_likelihood
        found, log_likelihood = dense.sums_by(factors, block, dense.n_sums + 2)
        lost, weighed = found[-2:]
        if lost > self.parameters.truncation * weighed:
            return self.sums(block, prune=False)
        return np.append(found[:-2], AUDIT * lost), log_likelihood

    def score(self, block: Block, out: npt.NDArray[Any] | Columns) -> None:
        """Fill ``out`` for every row of a block, by all components."""
        self.dense.score(block, out)


class Screened:
    """Parameters as kernels want them, for passes that leave out what hardly counts.

    Parameters
    ----------
    parameters : Truncated
        Of spherical or diagonal covariances.
    dtype : data-type
        Of the rows.
    dense : Model, optional
        What computes all components, where that costs less.
    """

    def __init__(
        self, parameters: Truncated, dtype: npt.DTypeLike, dense: Model | None = None
    ) -> None:
        self.parameters, self.dtype = parameters, np.dtype(dtype)
        self.dense = model(parameters, dtype) if dense is None else dense
        self.screen = _screen(parameters)
        self._n_sums = screened.n_sums(self.screen)
        self.plan = _plan(self.screen, parameters.n_features)

    def __reduce__(self) -> tuple[Callable[..., Screened], tuple[Any, ...]]:
        """Send the parameters to another process, and the dense model, which may be about means."""
        return Screened, (self.parameters, self.dtype, self.dense)

    @property
    def n_densities(self) -> int:
        """Count the log densities of a row."""
        return self.parameters.n_components

    def about_means(self) -> Screened:
        """Return the same, with moments of dense calls about each component's own mean."""
        return Screened(self.parameters, self.dtype, self.dense.about_means())

    def directions(self, n_features: int) -> None:
        """Return nothing: these are of variances along the features."""

    def cancels(self, sums: Array) -> bool:
        """Tell whether those of dense calls have lost too many digits."""
        return self.dense.cancels(sums[: self.dense.n_sums])

    def counted(self, block: Block) -> Block:
        """Return the rows of a block that say anything: all of them."""
        return block

    def unpack(self, sums: Array, n_features: int) -> tuple[Array, Array, Array, None]:
        """Return weight, first and second moments about the means, and nothing beyond."""
        dense, own = np.split(sums[:-1], [self.dense.n_sums])
        weight, first, second, _ = self.dense.unpack(dense, n_features)
        its_weight, its_first, its_second = screened.unpack(own, self.screen, n_features)
        if second.ndim == 1:  # spherical: their sum
            its_second = its_second.sum(axis=1)
        return weight + its_weight, first + its_first, second + its_second, None

    def left_out(self, sums: Array) -> float:
        """Return an estimate of the log-likelihood that was left out, over all rows."""
        return float(sums[-1])

    def sums(self, block: Block, prune: bool = True) -> tuple[npt.NDArray[np.float64], float]:
        """Sum the calls of a block in order: dense sums, screened ones, what is left out."""
        sums, log_likelihood = np.zeros(self.dense.n_sums + self._n_sums + 1), 0.0
        for call in calls(self.plan, len(block.rows)):
            weights = None if block.weights is None else block.weights[call]
            its = Block(block.rows[call], weights, block.start + call.start)
            found = self._screened(its) if prune and self._is_worth(its.rows) else None
            if found is None:
                moments, likelihood = self.dense.sums(its, prune)
                sums[: len(moments)] += moments
            else:
                moments, likelihood, left_out = found
                sums[-1 - len(moments) : -1] += moments
                sums[-1] += left_out
            log_likelihood += likelihood
        return sums, log_likelihood

    def _screened(self, block: Block) -> tuple[Array, float, float] | None:
        """Sum a call; return None where more is left out than may be, as rounding alone could."""
        rows = block.rows
        slice_rows, n_slices = self.plan.slice_rows(len(rows)), self.plan.n_slices(len(rows))
        weights = UNWEIGHTED if block.weights is None else block.weights
        sums, told = np.empty((n_slices, self._n_sums)), np.empty((n_slices, TOLD))
        self._run(len(rows), rows, weights, self.screen, slice_rows, sums, told, nothing(rows))
        found = told.sum(axis=0)
        if found[LOSS] > self.parameters.truncation * found[screened.AUDITED]:
            return None
        return sums.sum(axis=0), float(found[LOG_LIKELIHOOD]), AUDIT * float(found[LOSS])

    def score(self, block: Block, out: npt.NDArray[Any] | Columns) -> None:
        """Fill ``out`` for every row of a block."""
        if self.n_densities < FEWEST_COMPONENTS:
            self.dense.score(block, out)
            return
        rows, none = block.rows, nothing(block.rows)
        if isinstance(out, Columns):
            its = slice(out.first, out.first + len(rows))
            found = np.zeros((len(rows), self.n_densities), rows.dtype)
            self._score(rows, none._replace(labels=out.labels[its], responsibilities=found))
            out.responsibilities[:, its] = found.T
        elif out.ndim == 2:
            out[:] = 0.0
            self._score(rows, none._replace(responsibilities=out))
        elif out.dtype == np.int64:
            self._score(rows, none._replace(labels=out))
        else:
            self._score(rows, none._replace(log_likelihoods=out))

    def _score(self, rows: npt.NDArray[Any], scores: Scores) -> None:
        """Fill the scores of some rows."""
        for call in calls(self.plan, len(rows)):
            its = rows[call]
            slice_rows, n_slices = self.plan.slice_rows(len(its)), self.plan.n_slices(len(its))
            sums, told = np.empty((n_slices, 0)), np.empty((n_slices, TOLD))
            parts = Scores(*(each[call] if each.size else each for each in scores))
            self._run(len(its), its, UNWEIGHTED, self.screen, slice_rows, sums, told, parts)

    def _run(self, n_rows: int, *arguments: Any) -> None:
        """Run the kernel, on as many threads as are worth it."""
        twin(self.plan, n_rows, screened.screened, screened.screened_serial)(*arguments)

    def _is_worth(self, rows: npt.NDArray[Any]) -> bool:
        """Tell from some rows of a call whether a screen costs less than all components."""
        n_components, n_features = self.parameters.means.shape
        few, itemsize = n_components / PROMISING, rows.itemsize
        if n_components < FEWEST_COMPONENTS or len(rows) < FEWEST_ROWS:
            return False
        if not is_cheaper(n_components, n_features, few, itemsize, PROMISE):
            return False
        probe = rows[spread(PROBE, rows)]
        told = np.empty((1, TOLD))
        screened.screened_serial(
            probe, UNWEIGHTED, self.screen, TILE, NO_SUMS, told, nothing(probe)
        )
        return is_cheaper(n_components, n_features, told[0, KEPT] / PROBE, itemsize)


def _plan(screen: Screen, n_features: int) -> Plan:
    """Plan calls of longer slices than a dense pass has, whose rows cost more beside their sums."""
    n_sums, n_slices = screened.n_sums(screen), SLICES
    while n_slices > FEWEST_SLICES and n_slices * n_sums * 8 > PARTIAL_BYTES:
        n_slices //= 2
    operations = OPERATIONS * len(screen.means) * (n_features + 2)
    n_rows = max(n_slices * TILE, block_rows(n_features))
    while n_rows > n_slices * TILE and n_rows * operations > CALL_OPERATIONS:
        n_rows //= 2
    return Plan(n_slices, n_rows, operations)


def is_cheaper(
    n_components: int, n_features: int, kept: float, itemsize: int, worth: float = WORTH
) -> bool:
    """Tell whether a screen costs less, of rows that keep so many components.

    In cycles of AVX-512, as counted and timed for d = 2 to 64: a pair costs the dense pass four
    multiply-adds for each feature, the screen two in float32; what is kept is listed and gathered.
    """
    dense = n_components * (4 * n_features + 64) * itemsize / 64
    screen = n_components * (n_features / 8 + 2) + kept * (n_features + 50)
    return screen < worth * dense


def _screen(parameters: Truncated) -> Screen:
    """Make the screen of some components, of which each row keeps what counts."""
    means, factors = parameters.means, parameters.precisions_cholesky
    inverse_deviations = np.broadcast_to(factors.reshape(len(means), -1), means.shape)
    return screen_of(parameters.log_weights, means, inverse_deviations, _margin(parameters))


def _margin(parameters: Truncated) -> float:
    """Return how far below its best a row keeps components, in nats, so that it loses no more.

    What lies FAR below is nothing to any pass.
    """
    margin = math.log(parameters.n_components / math.expm1(parameters.truncation))
    return min(max(0.0, margin), FAR)


def truncated_model(parameters: Truncated, dtype: npt.DTypeLike) -> Screened | Bounded:
    """Make what sums and scores rows, and may leave out what hardly counts."""
    kind = Screened if parameters.structure.is_axis_parallel else Bounded
    return kind(parameters, dtype)


def nothing(rows: npt.NDArray[Any]) -> Scores:
    """Return room for no scores, of the type of some rows."""
    return Scores(np.empty(0, rows.dtype), np.empty(0, np.int64), np.empty((0, 0), rows.dtype))
