"""EM for many candidates on few rows, in two matrix products per pass.

A log density is linear in 1, x and the products of x; moments are linear in the responsibilities.
With F (m, p) the products of each row, one product with F gives the log densities of all
candidates, another one all their moments. On the 2000 rows of a start this takes a tenth of the
time of ordinary passes, which are made for long data and cost a millisecond of Python per
candidate.

Moments about a common origin lose digits if a component is narrow and far from it. If that could
be seen, the candidates run through ordinary passes instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em, passes
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.initialisation.split_merge import LEAST_RESPONSIBILITY, Held, Split, held_by
from fastgmm.kernels import softmax
from fastgmm.kernels.simd.vectors import WIDTH
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior, side_by_side
from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT, SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample
from fastgmm.sources import Source, open_source, with_weights

TOLERANCE = 1e-4  # nats per row: a run that gains less in a pass has converged
FARTHEST = 1e12  # squared deviations from the origin to a mean: 1e12 eps = 2e-4 nats are lost
TILE_NUMBERS = 64_000  # of a tile's log densities: half a megabyte, so that it stays in cache
FEWEST_ROWS_PER_TILE = 64
MOST_PRODUCTS = 2_000_000  # 16 MB: beyond, memory is the limit, and ordinary passes are as fast
# Rows times components: beyond, ordinary passes of few candidates are as fast on threads, and
# responsibilities are not kept. Fifty components on a whole sample reach it
MOST_RESPONSIBILITIES = 2_500_000
NO_WEIGHT = -1e300  # log weight of an empty component: finite, so that products stay numbers

Division = Callable[[], Array]  # makes responsibilities, (K, m), when they are needed


class ShortRuns:
    """Short runs of EM over a sample about zero.

    Parameters
    ----------
    sample : Sample
    rule : Maximisation
        Of all candidates.
    """

    def __init__(self, sample: Sample, rule: em.Maximisation) -> None:
        self.sample, self.rule = sample, rule

    def advance(self, states: Sequence[em.State], n_passes: int) -> list[em.State]:
        """Run so many more passes; states share one number of components, and may converge."""
        going = [
            replace(state, outcome=em.Outcome.RUNNING)
            if state.outcome is em.Outcome.OUT_OF_PASSES
            else state
            for state in states
        ]
        passed = max((len(state.trace) for state in states), default=0)
        stopping = em.Stopping(TOLERANCE, passed + n_passes)
        running = [c for c, state in enumerate(going) if state.outcome is em.Outcome.RUNNING]
        if running and self._suits(states[0].parameters.n_components):
            found = self._run([going[c] for c in running], stopping)
            if found is not None:
                for c, state in zip(running, found, strict=True):
                    going[c] = state
                return going
        return em.run(going, self.statistics, stopping)

    def statistics(self, candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        """Return the statistics of the sample under some parameters, by ordinary passes."""
        return passes.statistics(source_of(self.sample), candidates)

    def is_many(self, n_components: int) -> bool:
        """Whether so many components have too many responsibilities to keep."""
        return are_many(n_components, len(self.sample.rows))

    def begun(self, divisions: Iterable[Division]) -> list[Parameters]:
        """Return the M-step of each division of the rows, without singular ones."""
        divisions = list(divisions)
        if not divisions:
            return []
        found = self._begun(divisions) if self._has_few_products else None
        if found is not None:
            return found
        rows, weights = self.sample.rows, self.sample.weights
        nowhere = np.zeros(rows.shape[1])
        return self.begun_apart(
            [Members(rows, weights * share, nowhere) for share in division()]
            for division in divisions
        )

    def begun_apart(self, divisions: Iterable[Iterable[Members]]) -> list[Parameters]:
        """Return the M-step of each list of components' rows, without singular ones."""
        found = []
        for given in divisions:
            try:
                found.append(maximise(self.sample, given, self.rule))
            except DegenerateCovarianceError:
                continue
        return found

    @one_blas_thread()
    def responsibilities(self, parameters: Parameters) -> Array:
        """Return the responsibilities, (K, m)."""
        if self._suits(parameters.n_components):
            coefficients, farthest = _coefficients(_stacked([parameters]))
            if farthest < FARTHEST:
                shares = coefficients @ self._products
                softmax.normalise(shares, np.ones(shares.shape[1]), np.zeros(1))
                return shares[:, : len(self.sample.rows)]
        return passes.responsibilities(source_of(self.sample), parameters).T

    @one_blas_thread()
    def log_densities(self, parameters: Parameters) -> Array:
        """Return the log density of each row, (m,)."""
        coefficients, _ = _coefficients(_stacked([parameters]))
        joint = (coefficients @ self._products)[:, : len(self.sample.rows)]
        top = joint.max(axis=0)
        return np.asarray(top + np.log(np.exp(joint - top).sum(axis=0)))

    def held(self, parameters: Parameters) -> list[Held]:
        """Return the rows that each component is responsible for, computed piece by piece."""
        places, owners, shares = [], [], []
        n_tile = max(FEWEST_ROWS_PER_TILE, MOST_RESPONSIBILITIES // parameters.n_components)
        for start in range(0, len(self.sample.rows), n_tile):
            piece = open_source(self.sample.rows[start : start + n_tile])
            found = passes.responsibilities(piece, parameters)
            row, owner = np.nonzero(found > LEAST_RESPONSIBILITY)
            places.append(start + row)
            owners.append(owner)
            shares.append(found[row, owner])
        return held_by(owners, places, shares, parameters.n_components)

    def divided(self, parameters: Parameters, splits: Iterable[tuple[int, Split]]) -> Parameters:
        """Give other components the rows that leave the components that are split.

        Raises
        ------
        DegenerateCovarianceError
            If a half has no covariance.
        """
        weights, means = parameters.weights.copy(), parameters.means.copy()
        covariances = parameters.covariances.copy()
        rows, nowhere = self.sample.rows, np.zeros(self.sample.rows.shape[1])
        for taker, split in splits:
            at = split.held.rows
            mass = self.sample.weights[at] * split.held.shares
            sides = (split.leaving, ~split.leaving)
            halves = maximise(
                self.sample,
                [Members(rows[at[side]], mass[side], nowhere) for side in sides],
                self.rule,
            )
            both = [taker, split.component]
            weights[both] = weights[split.component] * halves.weights
            means[both] = halves.means
            if not parameters.structure.is_shared:
                covariances[both] = halves.covariances
        return self.rule.family.parameters(weights / weights.sum(), means, covariances)

    def _suits(self, n_components: int) -> bool:
        """Whether matrix products are the faster way for so many components."""
        return self._has_few_products and not self.is_many(n_components)

    @property
    def _has_few_products(self) -> bool:
        """Whether passes may be products of matrices."""
        if self.rule.prior is not None and not self.rule.prior.is_of_covariances:
            return False
        return self.has_few_products(len(self.sample.rows))

    def has_few_products(self, n_rows: int) -> bool:
        """Whether the products of so many rows take little memory."""
        n_features = self.sample.rows.shape[1]
        n_products = 1 + n_features + self.rule.family.structure.n_numbers(n_features)
        return n_rows * n_products <= MOST_PRODUCTS

    @functools.cached_property
    def _products(self) -> Array:
        """Return 1, x and the products of x that log densities are linear in, (p, m).

        Columns of zeros fill up the last register.
        """
        columns = self.sample.rows.T
        n_features, n_rows = columns.shape
        squares = self.rule.family.structure.row_products(columns)
        found = np.zeros((1 + n_features + len(squares), -(-n_rows // WIDTH) * WIDTH))
        found[0, :n_rows] = 1.0
        found[1 : 1 + n_features, :n_rows] = columns
        found[1 + n_features :, :n_rows] = squares
        return found

    @functools.cached_property
    def _weights(self) -> Array:
        """The weight of each column of the products."""
        found = np.zeros(self._products.shape[1])
        found[: len(self.sample.weights)] = self.sample.weights
        return found

    @one_blas_thread()
    def _begun(self, divisions: Sequence[Division]) -> list[Parameters] | None:
        """Return the M-steps from the products of the rows; None if digits would be lost."""
        columns = self._products[:, : len(self.sample.rows)].T
        weights = self.sample.weights
        sums = np.stack([(each() * weights) @ columns for each in divisions], axis=1)
        if not (sums[..., 0] > NEGLIGIBLE_WEIGHT).all():
            return None
        n_components, n_candidates, _ = sums.shape
        nowhere = np.zeros((n_components, n_candidates, self.sample.rows.shape[1]))
        nothing = np.zeros(0)  # would stand for components without rows
        structure = self.rule.family.structure
        batch = Batch(structure, sums[..., 0], nowhere, nothing, nothing)
        priors = side_by_side([self.rule.prior] * n_candidates)
        batch, singular = _maximised(batch, sums, self.rule, priors)
        if not _coefficients(batch)[1] < FARTHEST:
            return None
        return [batch.parameters(c) for c in range(n_candidates) if singular[c] is None]

    def _run(self, states: Sequence[em.State], stopping: em.Stopping) -> list[em.State] | None:
        """Step all candidates until each has stopped; None if digits would be lost."""
        found, running = list(states), list(range(len(states)))
        batch = _stacked([state.parameters for state in states])
        priors = side_by_side([state.rule.prior for state in states])
        coefficients, farthest = _coefficients(batch)
        if not farthest < FARTHEST:
            return None
        while running:
            sums, objectives = _expectation(
                self._products, self._weights, coefficients, len(running)
            )
            if priors is not None:
                n_features = batch.means.shape[-1]
                objectives += priors.of_factors(batch.structure, batch.factors, n_features)
            batch, singular = _maximised(batch, sums, self.rule, priors)
            coefficients, farthest = _coefficients(batch)
            if not farthest < FARTHEST:  # or a variance is what rounding left of nothing
                return None
            going = []
            for place, c in enumerate(running):
                found[c] = state = _stepped(found[c], objectives[place], singular[place], stopping)
                if state.outcome is em.Outcome.RUNNING:
                    going.append(place)
                elif state.failure is None:
                    found[c] = replace(state, parameters=batch.parameters(place))
            if len(going) < len(running):
                running = [running[place] for place in going]
                batch, priors = batch.of(going), None if priors is None else priors.of(going)
                n_products = coefficients.shape[1]
                coefficients = coefficients.reshape(len(batch.weights), -1, n_products)[:, going]
                coefficients = coefficients.reshape(-1, n_products)
        return found


def are_many(n_components: int, n_rows: int) -> bool:
    """Whether so many components have too many responsibilities for so many rows to keep."""
    return n_components * n_rows > MOST_RESPONSIBILITIES


def source_of(sample: Sample) -> Source:
    """Return the weighted rows of a sample as a source."""
    return with_weights(open_source(sample.rows), sample.weights)


class Batch(NamedTuple):
    """C candidates of one structure and K components each, side by side."""

    structure: Structure
    weights: Array  # (K, C)
    means: Array  # (K, C, d)
    covariances: Array  # (K, C) spherical, (K, C, d) diagonal, (1, C, d, d) tied, (K, C, d, d) full
    factors: Array  # of the precisions, in the same shapes

    def of(self, chosen: Sequence[int]) -> Batch:
        """Return some of the candidates."""
        return Batch(self.structure, *(values[:, chosen] for values in self[1:]))

    def parameters(self, c: int) -> Parameters:
        """Return one candidate."""
        weights, means, *matrices = (np.array(values[:, c]) for values in self[1:])
        if self.structure.is_shared:
            matrices = [values[0] for values in matrices]
        return Parameters(self.structure, weights, means, *matrices)


def _stacked(candidates: Sequence[Parameters]) -> Batch:
    structure = candidates[0].structure

    def stacked(name: str, is_shared: bool = False) -> Array:
        values = [getattr(each, name) for each in candidates]
        return np.stack(values)[None] if is_shared else np.stack(values, axis=1)

    matrices = (
        stacked(name, structure.is_shared) for name in ("covariances", "precisions_cholesky")
    )
    return Batch(structure, stacked("weights"), stacked("means"), *matrices)


def _stepped(
    state: em.State, objective: float, singular: int | None, stopping: em.Stopping
) -> em.State:
    """Return a state after a step, with its old parameters."""
    trace = (*state.trace, float(objective))
    if singular is not None:
        failure = DegenerateCovarianceError(singular if singular >= 0 else None)
        return replace(state, trace=trace, outcome=em.Outcome.DEGENERATE, failure=failure)
    return replace(state, trace=trace, outcome=stopping.judge(trace))


def coefficients(parameters: Parameters) -> Array:
    """Coefficients of the log densities, (K, p), for 1, x and the products of x."""
    return _coefficients(_stacked([parameters]))[0]


@one_blas_thread()
def _coefficients(batch: Batch) -> tuple[Array, float]:
    """Coefficients of the log densities, (K C, p), and the farthest mean in squared deviations."""
    means = batch.means
    n_components, n_candidates, n_features = means.shape
    linear, squares, log_volumes = batch.structure.natural(batch.factors, means)
    distances = (means * linear).sum(axis=-1)
    held = batch.weights > 0.0
    log_weights = np.where(held, np.log(np.where(held, batch.weights, 1.0)), NO_WEIGHT)
    constants = log_weights + log_volumes - 0.5 * (n_features * np.log(2.0 * np.pi) + distances)
    squares = np.broadcast_to(squares, (*means.shape[:2], squares.shape[-1]))
    found = np.concatenate([constants[..., None], linear, squares], axis=-1)
    return found.reshape(n_components * n_candidates, -1), float(distances.max())


@one_blas_thread()
def _expectation(
    rows: Array, weights: Array, coefficients: Array, n_candidates: int
) -> tuple[Array, Array]:
    """Return summed products by responsibility, (K C, p), and log-likelihoods, (C,)."""
    n_tile = max(FEWEST_ROWS_PER_TILE, TILE_NUMBERS // len(coefficients) // WIDTH * WIDTH)
    sums, log_likelihoods = np.zeros(coefficients.shape), np.zeros(n_candidates)
    for start in range(0, len(weights), n_tile):
        tile, weight = rows[:, start : start + n_tile], weights[start : start + n_tile]
        densities = coefficients @ tile
        side_by_side = densities.reshape(-1, n_candidates * len(weight))  # a view: components first
        softmax.normalise(side_by_side, weight, log_likelihoods)
        sums += densities @ tile.T
    return sums, log_likelihoods


def _maximised(
    batch: Batch, sums: Array, rule: em.Maximisation, priors: Prior | None
) -> tuple[Batch, list[int | None]]:
    """Return the M-step of each candidate, and the singular component of each, if any."""
    structure, (n_components, n_candidates, n_features) = batch.structure, batch.means.shape
    sums = sums.reshape(n_components, n_candidates, -1)
    held = sums[..., 0] > NEGLIGIBLE_WEIGHT
    weight = np.where(held, sums[..., 0], 0.0)
    divisor = np.where(held, weight, 1.0)[..., None]
    means = np.where(held[..., None], sums[..., 1 : 1 + n_features] / divisor, batch.means)
    covariances = structure.central(sums[..., 1 + n_features :], weight, means)
    variances = structure.diagonal(covariances)
    variances[...] = np.maximum(variances, 0.0) + structure.added(rule.reg_covar)
    shown = weight  # what the covariances are of
    if priors is not None:
        mass = structure.mass(weight)
        covariances = priors.shrunk(covariances, mass[None] if structure.is_shared else mass)
        shown = weight + priors.rows
    if not structure.is_shared and not (shown > 0.0).all():
        shape = held.shape + (1,) * (covariances.ndim - 2)
        covariances = np.where((shown > 0.0).reshape(shape), covariances, batch.covariances)
    weights = weight / weight.sum(axis=0)
    if rule.family.constraint is not None:
        for c in range(n_candidates):
            each = covariances[0 if structure.is_shared else slice(None), c]
            counted = weights[:, c] if priors is None else shown[:, c]
            start = batch.covariances[:, c] if batch.covariances.size else None
            each[...] = rule.family.nearest(each, counted, start)
    factors, singular = _factors(covariances, structure)
    return Batch(structure, weights, means, covariances, factors), singular


def _factors(covariances: Array, structure: Structure) -> tuple[Array, list[int | None]]:
    """Return factors of the precisions, and each candidate's first singular component, if any.

    A shared covariance belongs to no component: its number is -1.
    """
    if structure.is_axis_parallel:
        good = (covariances > 0.0) & np.isfinite(covariances)
        factors = 1.0 / np.sqrt(np.where(good, covariances, 1.0))
        good = np.asarray(good.reshape(*good.shape[:2], -1).all(axis=-1))
    else:
        factors, good = _inverse_factors(covariances)
    found: list[int | None] = [
        None if each.all() else -1 if structure.is_shared else int(np.argmin(each))
        for each in good.T
    ]
    return factors, found


@one_blas_thread()
def _inverse_factors(covariances: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Upper triangular U with U U' the inverse, and whether there is one."""
    good = np.ones(covariances.shape[:2], bool)
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        lower = np.empty(covariances.shape)
        for k, c in np.ndindex(good.shape):
            try:
                lower[k, c] = np.linalg.cholesky(covariances[k, c])
            except np.linalg.LinAlgError:
                lower[k, c], good[k, c] = np.eye(covariances.shape[-1]), False
    good &= np.isfinite(lower).all(axis=(-2, -1))
    lower[~good] = np.eye(covariances.shape[-1])
    return np.tril(np.linalg.inv(lower)).swapaxes(-1, -2), good
