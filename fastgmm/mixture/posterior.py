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
from scipy.special import digamma

from fastgmm.mixture.arrays import Array, over, packed, read_only
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread

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
        # the compiler is asked for by Bayesian mixtures alone
        from fastgmm.kernels.expected_logs import log_weights

        noise = np.empty(self.n_features)
        noise[:] = self.structure.added(self.reg_covar)
        concentration, mean_precision, degrees_of_freedom, factors = self.in_lines
        return read_only(
            log_weights(
                concentration, mean_precision, degrees_of_freedom, factors, noise, self.n_features
            )
        )

    @cached_property
    def in_lines(self) -> tuple[Array, Array, Array, Array]:
        """Concentrations, precisions of means, degrees of freedom, factors: as kernels want them.

        (1 or 2, K), (K,), (K or 1,) and (K or 1, lines, columns).
        """
        factors, (n_components, n_features) = self.precisions_cholesky, self.means.shape
        lines = n_features if self.structure.has_matrices else 1
        n_factors = 1 if self.structure.is_shared else n_components
        return (
            packed(self.weight_concentration, (-1, n_components)),
            packed(self.mean_precision, (n_components,)),
            packed(self.degrees_of_freedom, (n_factors,)),
            packed(factors, (n_factors, lines, -1)),
        )

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
        from fastgmm.kernels.log_gamma import above_tangent

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

    @cached_property
    def known(self) -> Any:
        """The same as kernels want it."""
        from fastgmm.kernels.posterior import Known

        structure, n_features = self.structure, len(self.mean)
        covariance = np.array(self.covariance, dtype=np.float64)
        each = covariance / self.degrees_of_freedom
        left, right, entry = structure.entries(n_features)
        if structure.has_matrices:
            with one_blas_thread():
                root = np.ascontiguousarray(np.linalg.cholesky(each).T)
        else:
            root = np.sqrt(each).reshape(1, -1)
        return Known(
            float(self.concentration),
            bool(self.is_process),
            float(self.mean_precision),
            float(self.degrees_of_freedom),
            self.is_common or structure.is_shared,
            np.array(self.mean, dtype=np.float64),
            covariance.reshape(-1),
            root,
            left,
            right,
            entry,
        )

    def posterior(
        self,
        weight: Array,
        first: Array,
        second: Array,
        origin: Array,
        reg_covar: float | Array = 0.0,
    ) -> Posterior:
        """Return what is known after rows.

        Components of a process come in descending order of their weights, where that raises the
        bound.

        Parameters
        ----------
        weight : ndarray of shape (K,)
            Of each component's rows.
        first : ndarray of shape (K, d)
            Their sums about `origin`.
        second : ndarray
            Their summed products about it, in the structure's shape.
        origin : ndarray of shape (K, d)
            Anything for components without rows.
        reg_covar : float or ndarray of shape (d,)
            Added to the variances of the rows.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        from fastgmm.kernels.posterior import posterior

        structure, known, shape = self.structure, self.known, first.shape
        added = np.zeros(len(known.covariance))
        added[:: len(self.mean) + 1 if structure.has_matrices else 1] = structure.added(reg_covar)
        found = posterior(
            packed(weight, weight.shape),
            packed(first, shape),
            packed(second, (-1, len(added))),
            packed(origin, shape),
            known,
            added,
            NEGLIGIBLE_WEIGHT,
        )
        covariances = found.covariances.reshape(structure.shape(*shape))
        if found.is_far:
            own = found.own.reshape(covariances.shape)
            factors = structure.factors_of_sum(covariances, own, found.steps)
        else:
            factors = structure.factors(covariances)
        return Posterior(
            structure,
            means=found.means,
            covariances=covariances,
            precisions_cholesky=factors,
            reg_covar=reg_covar,
            **self._named(found.numbers),
        )

    def _named(self, numbers: Array) -> dict[str, Any]:
        """Give the numbers of components that kernels write their names."""
        from fastgmm.kernels import posterior as lines

        one = slice(lines.CONCENTRATION, lines.LEFT + 1) if self.is_process else lines.CONCENTRATION
        degrees = numbers[lines.DEGREES]
        return {
            "weights": numbers[lines.WEIGHTS],
            "weight_concentration": numbers[one],
            "mean_precision": numbers[lines.MEAN_PRECISION],
            "degrees_of_freedom": degrees[0] if self.structure.is_shared else degrees,
        }

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
        from fastgmm.kernels.posterior import N_LINES, ROWS, count_rows

        total = found.mean_precision.sum()
        weight = np.maximum(trial.weights * total - self.mean_precision, 0.0)
        weight *= (total - self.mean_precision * len(weight)) / weight.sum()
        numbers = np.empty((N_LINES, len(weight)))
        numbers[ROWS] = weight
        count_rows(self.known, numbers)
        covariances, factors = trial.covariances, trial.precisions_cholesky
        if self.is_common:
            covariances = np.broadcast_to(covariances.mean(axis=0), covariances.shape)
            factors = self.structure.factors(covariances)
        return replace(
            found,
            means=trial.means,
            covariances=covariances,
            precisions_cholesky=factors,
            **self._named(numbers),
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

    def divergence(self, posterior: Posterior) -> float:
        """Return the Kullback-Leibler divergence of a posterior from this prior."""
        from fastgmm.kernels.divergence import divergence

        concentration, mean_precision, degrees_of_freedom, factors = posterior.in_lines
        means = packed(posterior.means, posterior.means.shape)
        return float(
            divergence(
                self.known, concentration, mean_precision, degrees_of_freedom, means, factors
            )
        )


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


def _diagonal(structure: Structure, variances: Array) -> Array:
    """Return covariances with these variances (..., d), and nothing beside them."""
    if not structure.is_axis_parallel:
        return np.asarray(variances[..., None] * np.eye(variances.shape[-1]))
    return variances if structure.tells_features_apart else variances[..., 0]
