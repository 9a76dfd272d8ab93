"""What is known of a mixture after the rows: distributions of its weights, means and covariances.

Variational Bayes (Attias 2000; Bishop 2006, section 10.2): a Dirichlet distribution of the weights,
or the sticks of a Dirichlet process (Blei and Jordan 2006); a normal distribution of each mean
given its covariance; a Wishart distribution of each precision, or gamma distributions of those of
each feature ("diag") or component ("spherical").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
from scipy.special import betaln, digamma

from fastgmm.mixture.arrays import Array, over, read_only
from fastgmm.mixture.log_gamma import above_tangent
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.structure import Structure

NO_ROWS = 1e-9  # of the weight of all rows: a component with less holds none
OUTWEIGHING = 1e4  # times the variance of its rows and of what is known of it before


@dataclass(frozen=True, eq=False)
class Posterior(Parameters):
    """Parameters that are known but for the spread that is left.

    `weights` and `means` are expected values, `covariances` the inverses of the expected
    precisions. As a mixture of normal distributions, with expected logarithms in the place of the
    logarithms of weights and volumes, they make the E step (Bishop 2006, equations 10.64 to 10.67).
    """

    weight_concentration: Array  # (K,) of a Dirichlet distribution, or (2, K) of sticks
    mean_precision: Array  # (K,) rows that each mean is known from
    degrees_of_freedom: Array  # (K,) of each precision; () of one that all share
    reg_covar: Array | float = 0.0  # noise of each row's features, (d,) or one for all

    def __post_init__(self) -> None:
        """Make the arrays float64 and read-only."""
        super().__post_init__()
        for name in ("weight_concentration", "mean_precision", "degrees_of_freedom"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Rebuild through the constructor."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def shares(self) -> Array:
        """The rows that each mean is known from, as parts of all: never 0, as a weight may be."""
        return np.asarray(self.mean_precision / self.mean_precision.sum())

    @cached_property
    def log_weights(self) -> Array:
        """What is added to the log density of each component, (K,)."""
        n_shapes = self.gamma_shapes.shape[-1]
        scales = 0.5 * self.n_features / n_shapes * self.degrees_of_freedom
        volumes = self.log_gammas - self.n_features * np.log(scales)
        spread = self.n_features / self.mean_precision + self._noise()
        return read_only(expected_log_weights(self.weight_concentration) + 0.5 * (volumes - spread))

    @cached_property
    def gamma_shapes(self) -> Array:
        """The shapes of the gamma variables that a precision is made of, (..., p)."""
        return self.structure.gamma_shapes(self.degrees_of_freedom, self.n_features)

    @cached_property
    def log_gammas(self) -> Array:
        """The expected logarithms of these, each for as many features as it stands for, summed."""
        logs = digamma(self.gamma_shapes)
        return np.asarray(self.n_features / logs.shape[-1] * logs.sum(axis=-1))

    def log_predictive(self, rows: Array) -> Array:
        """Return the log density of new rows (m, d), given those that the posterior is of, (m,).

        A mixture of Student's t-distributions, whose weights are the expected ones (Bishop 2006,
        equation 10.81); of "diag" each component's is a product of one per feature.
        """
        found = np.full(len(rows), -np.inf)
        for each in self.log_predictive_parts(rows):
            found = np.logaddexp(found, each)
        return found

    def log_predictive_parts(self, rows: Array) -> Iterator[Array]:
        """Yield the same of each component, with its weight, (m,); their sum is the density.

        One after the other, to hold no m x K.
        """
        structure, n_features = self.structure, self.n_features
        degrees = np.broadcast_to(self.degrees_of_freedom, len(self.means))
        shapes = structure.gamma_shapes(degrees, n_features)
        # f and f times the scale, in units of the covariances; of each independent part
        f = 2.0 * shapes[:, -1]
        scales = (1.0 + 1.0 / self.mean_precision) * degrees * (n_features / shapes.shape[1])
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        for k, log_weight in enumerate(log_weights):
            factors = self.precisions_cholesky[structure.places(slice(k, k + 1))]
            with np.errstate(over="ignore"):  # of rows so far away that they have no density
                (distances,) = structure.distances(rows, self.means[k : k + 1], factors)
            size = n_features / distances.shape[1]  # features per part
            half = 0.5 * (f[k] + size)
            # log Gamma(half) - log Gamma(f / 2), whose digits a large f leaves
            growth = 0.5 * size * digamma(half) - float(above_tangent(0.5 * f[k], half))
            peak = distances.shape[1] * growth - 0.5 * n_features * np.log(np.pi * scales[k])
            volumes = np.broadcast_to(np.log(structure.diagonal(factors)), (1, n_features))
            peak += float(volumes.sum())
            tails = half * np.log1p(distances / scales[k]).sum(axis=1)
            yield log_weight + peak - tails

    def _noise(self) -> Array:
        """Return what rows with such noise are farther from each mean, in expectation, (K,)."""
        structure = self.structure
        precisions = structure.precisions_of_features(self.precisions_cholesky)
        added = structure.added(self.reg_covar) * precisions
        return np.asarray(np.broadcast_to(added, self.means.shape).sum(axis=-1))


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """What is known of a mixture before the rows, in the same distributions."""

    structure: Structure
    concentration: float  # of each weight, or of the process
    is_process: bool
    mean_precision: float
    mean: Array  # (d,)
    degrees_of_freedom: float
    covariance: Array  # inverse scale of a precision, in the structure's shape for one component
    is_common: bool = False  # one precision for all components, of which each keeps a copy

    def posterior(
        self, weight: Array, means: Array, scatter: Array, reg_covar: float | Array = 0.0
    ) -> Posterior:
        """Return what is known after rows.

        Parameters
        ----------
        weight : ndarray of shape (K,)
            Of each component's rows.
        means : ndarray of shape (K, d)
            Of these rows; anything where there are none.
        scatter : ndarray
            Their summed products about these means, in the structure's shape.
        reg_covar : float or ndarray of shape (d,)
            Added to the variances of the rows.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        structure, (_, n_features) = self.structure, means.shape
        mass = self._mass(weight)
        mean_precision = self.mean_precision + weight
        degrees_of_freedom = self.degrees_of_freedom + mass
        away = means - self.mean
        part = self.mean_precision * (weight / mean_precision)
        own = self.covariance + self._pooled(scatter) / structure.divisor(
            np.ones_like(weight), 1.0, n_features
        )
        own = own / over(degrees_of_freedom, own)
        if np.any(reg_covar):
            variances = structure.diagonal(own)
            variances += (mass / degrees_of_freedom)[..., None] * structure.added(reg_covar)
        steps = np.sqrt(part / degrees_of_freedom)[:, None] * away
        between = self._pooled(structure.products(0.5 * steps, steps))
        covariances = own + between / structure.divisor(np.ones_like(weight), 1.0, n_features)
        concentration = self._concentration(weight)
        return Posterior(
            structure,
            expected_weights(concentration),
            self.mean + (weight / mean_precision)[:, None] * away,
            covariances,
            structure.factors_of_sum(covariances, own, steps),
            concentration,
            mean_precision,
            degrees_of_freedom,
            reg_covar,
        )

    def sums(self, found: Posterior, reg_covar: float | Array) -> tuple[Array, Array, Array]:
        """Return weight, first and second moment, about its means, of rows that make a posterior.

        No weight is divided by, so that components without rows have none.
        """
        structure, (_, n_features) = self.structure, found.means.shape
        weight = self.weight(found)
        away = found.means - self.mean
        total = over(found.degrees_of_freedom, found.covariances) * found.covariances
        added = np.broadcast_to(structure.added(reg_covar), n_features)
        mass = self._mass(weight)[..., None]
        total = total - self.covariance - _diagonal(structure, mass * added)
        total = total * structure.divisor(np.ones_like(weight), 1.0, n_features)
        between = structure.products(0.5 * self.mean_precision * away, away)
        within = total - self._pooled(between)
        if self.is_common:  # what each has of it, nothing asks
            within *= over(weight / max(weight.sum(), np.finfo(float).tiny), within)
        return weight, self.mean_precision * away, within

    def moved(self, found: Posterior, trial: Parameters) -> Posterior:
        """Return a posterior with the means and covariances of a trial.

        The rows of its components follow from the trial's weights, which are the `shares`.
        """
        total = found.mean_precision.sum()
        weight = np.maximum(trial.weights * total - self.mean_precision, 0.0)
        weight *= (total - self.mean_precision * len(weight)) / weight.sum()
        concentration = self._concentration(weight)
        covariances, factors = trial.covariances, trial.precisions_cholesky
        if self.is_common:
            covariances = np.broadcast_to(covariances.mean(axis=0), covariances.shape)
            factors = self.structure.factors(covariances)
        return replace(
            found,
            weights=expected_weights(concentration),
            means=trial.means,
            covariances=covariances,
            precisions_cholesky=factors,
            weight_concentration=concentration,
            mean_precision=self.mean_precision + weight,
            degrees_of_freedom=self.degrees_of_freedom + self._mass(weight),
        )

    def weight(self, found: Posterior) -> Array:
        """Return the weight of the rows that each component of a posterior holds, (K,)."""
        weights = (
            (1.0, found.weight_concentration[0])
            if self.is_process
            else (self.concentration, found.weight_concentration)
        )
        return held(weights, (self.mean_precision, found.mean_precision))

    def is_outweighing(self, found: Posterior) -> bool:
        """Whether the mean lies so far from all rows that variances are but this distance."""
        weight = self.weight(found)
        has_rows = weight > NO_ROWS * weight.sum()
        share = found.mean_precision[has_rows] / weight[has_rows]
        steps = np.sqrt(share)[:, None] * (found.means[has_rows] - self.mean)
        steps = np.sqrt(self.mean_precision) * steps
        squares = self._pooled(self.structure.mass(steps**2))
        total = (found.degrees_of_freedom[..., None] * found.variances)[has_rows]
        is_far = squares > (1.0 - 1.0 / OUTWEIGHING) * total
        return bool(has_rows.any() and is_far.any(axis=1).all())

    def _mass(self, weight: Array) -> Array:
        """Return the weight of the rows behind each covariance, from weights (K,)."""
        return self._pooled(np.asarray(self.structure.mass(weight)))

    def _pooled(self, sums: Array) -> Array:
        """Return sums of all components in the place of each, where they have one precision."""
        return np.broadcast_to(sums.sum(axis=0), sums.shape).copy() if self.is_common else sums

    def _concentration(self, weight: Array) -> Array:
        if not self.is_process:
            return self.concentration + weight
        after = np.append(np.cumsum(weight[:0:-1])[::-1], 0.0)  # of the components that follow
        return np.array([1.0 + weight, self.concentration + after])

    def sorts(self, weight: Array) -> bool:
        """Whether the bound is higher with components in descending order of their weights.

        Sticks of a process prefer it (Kurihara, Welling and Teh 2007).
        """
        if not self.is_process or np.all(weight[:-1] >= weight[1:]):
            return False
        ordered = np.sort(weight)[::-1]
        here, there = (betaln(*self._concentration(each)).sum() for each in (weight, ordered))
        return bool(there > here)

    def divergence(self, posterior: Posterior) -> float:
        """Return the Kullback-Leibler divergence of a posterior from this prior."""
        parts = (
            self._of_weights(posterior.weight_concentration),
            self._of_means(posterior),
            self._of_precisions(posterior),
        )
        return float(sum(parts))

    def _of_weights(self, found: Array) -> float:
        if not self.is_process:
            each = above_tangent(self.concentration, found).sum()
            return float(each - above_tangent(len(found) * self.concentration, found.sum()))
        a, b = found
        before = np.array([[1.0], [self.concentration], [1.0 + self.concentration]])
        one, other, both = above_tangent(before, np.array([a, b, a + b]))
        return float((one + other - both).sum())

    def _of_means(self, posterior: Posterior) -> float:
        ratios = self.mean_precision / posterior.mean_precision
        factors, means = posterior.precisions_cholesky, posterior.means
        distances = self.structure.distances(self.mean[None], means, factors).sum(axis=(1, 2))
        spread = posterior.n_features * (ratios - 1.0 - np.log(ratios))
        return 0.5 * float((spread + self.mean_precision * distances).sum())

    def _of_precisions(self, posterior: Posterior) -> float:
        structure, n_features = self.structure, posterior.n_features
        before, found = np.asarray(self.degrees_of_freedom), posterior.degrees_of_freedom
        factors = posterior.precisions_cholesky
        each = factors[None] if structure.is_shared else factors
        after = posterior.gamma_shapes
        if self.is_common:
            each, found, after = each[:1], found[:1], after[:1]
        loss = structure.loss(self.covariance / before, each, n_features).sum()
        shapes = structure.gamma_shapes(before, n_features), after
        ratio = (found - before) / before
        volume = n_features * before * (ratio - np.log1p(ratio))
        terms = above_tangent(*shapes).sum(axis=-1) - 0.5 * volume
        return float(0.5 * before * loss + terms.sum())


def held(*told: tuple[float, Array]) -> Array:
    """Return the weight of the rows that each component holds, (K,).

    Parameters
    ----------
    told : tuple of float and ndarray
        What a distribution counts before the rows and after them. It is the least that tells, since
        rows are lost where a prior counts 1e16 times as much.
    """
    before, after = min(told, key=itemgetter(0))
    return np.asarray(np.maximum(after - before, 0.0))


def expected_weights(concentration: Array) -> Array:
    """Return the expected weights, (K,); those of sticks are divided by their sum."""
    if concentration.ndim == 1:
        return np.asarray(concentration / concentration.sum())
    a, b = concentration
    left = np.append(1.0, np.cumprod(b / (a + b))[:-1])
    weights = a / (a + b) * left
    return np.asarray(weights / weights.sum())


def expected_log_weights(concentration: Array) -> Array:
    """Return the expected logarithms of the weights, (K,)."""
    if concentration.ndim == 1:
        return np.asarray(digamma(concentration) - digamma(concentration.sum()))
    a, b = concentration
    total = digamma(a + b)
    left = np.append(0.0, np.cumsum(digamma(b) - total)[:-1])
    return np.asarray(digamma(a) - total + left)


def _diagonal(structure: Structure, variances: Array) -> Array:
    """Return covariances with these variances (..., d), and nothing beside them."""
    if not structure.is_axis_parallel:
        return np.asarray(variances[..., None] * np.eye(variances.shape[-1]))
    return variances if structure.tells_features_apart else variances[..., 0]
