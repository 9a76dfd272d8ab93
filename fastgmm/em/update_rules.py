"""The update rule of a fit: from sufficient statistics to the next parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from fastgmm.covariance import Family
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics


class UpdateRule(Protocol):
    """How statistics become parameters, and what EM climbs beside the log-likelihood."""

    @property
    def family(self) -> Family:
        """What the covariances may be."""

    @property
    def reg_covar(self) -> float | Array:
        """What is added to every variance, or to that of each feature (d,)."""

    @property
    def prior(self) -> Prior | None:
        """What counts as known before any row."""

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters that raise the objective."""

    def log_prior(self, parameters: Parameters, row_weight: float) -> float:
        """Return what is added to the mean log-likelihood of rows of so much weight."""

    def remembered(self, parameters: Parameters, row_weight: float) -> SufficientStatistics:
        """Return statistics of this weight whose estimate is these parameters.

        So a model has to keep no more than its parameters and a weight.
        """

    def admitted(self, trial: Parameters, found: Parameters) -> Parameters:
        """Return an extrapolation of what was found as the rule allows it."""

    def added(self, parameters: Parameters) -> float | Array:
        """What `reg_covar` has added to the variances of these parameters at most."""

    @property
    def has_prior(self) -> bool:
        """Whether more than the rows says what a component is, so that it may be empty."""

    def under(self, prior: Prior | None) -> UpdateRule:
        """Return the same rule with another prior."""


@dataclass(frozen=True)
class Maximisation:
    """The M-step of a covariance family: of highest likelihood, or of highest posterior density.

    The objective is the log-likelihood per unit of row weight, plus that of the prior.
    """

    family: Family
    reg_covar: float | Array  # added to every variance, or to that of each feature (d,)
    prior: Prior | None = None  # None for maximum likelihood

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters of highest expected log-likelihood or posterior density.

        Under a prior, a component without weight gets the covariance of the prior. Without one it
        keeps, as far as the family allows, its previous covariance; without `previous`, as in a
        first M-step from labels, it has `reg_covar` for a covariance. In any case it stays where
        it was, or goes to the prior's mean.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        weights = np.where(statistics.occupied, statistics.weight, 0.0)
        covariances = self.covariances(statistics, previous)
        means = self.means(statistics, previous)
        if self.prior is not None:
            weights = self.prior.weights(weights)
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the covariances, above
            weights /= weights.sum()
        return Parameters.from_covariances(self.family.structure, weights, means, covariances)

    def covariances(self, statistics: SufficientStatistics, previous: Parameters | None) -> Array:
        """Covariances of highest expected log-likelihood or posterior density."""
        last = None if previous is None else previous.covariances
        return self.family.estimate(
            statistics, statistics.means, self.reg_covar, last, self.prior, start=last
        )

    def means(self, statistics: SufficientStatistics, previous: Parameters | None) -> Array:
        """Means, likewise; a component without weight stays where it was."""
        occupied, means = statistics.occupied, statistics.means
        if previous is not None and not occupied.all():
            means = np.where(occupied[:, None], means, previous.means)
        if self.prior is None:
            return means
        return self.prior.means(np.where(occupied, statistics.weight, 0.0), means)

    def remembered(self, parameters: Parameters, row_weight: float) -> SufficientStatistics:
        """Return statistics of this weight whose M-step returns these parameters.

        Variances below `reg_covar`, which no M-step makes, become 0.
        """
        structure, weight = parameters.structure, row_weight * parameters.weights
        second = np.array(parameters.covariances)
        if self.prior is not None:
            second = self.prior.taken_out(second, structure.mass(weight))
        variances = structure.diagonal(second)
        variances[...] = np.maximum(variances - structure.added(self.reg_covar), 0.0)
        return replace(
            SufficientStatistics.zeros(structure, parameters.means),
            weight=weight,
            second=second * structure.divisor(weight, row_weight, parameters.n_features),
            row_weight=row_weight,
        )

    def log_prior(self, parameters: Parameters, row_weight: float) -> float:
        """Return the part of the prior in the objective, per unit of row weight."""
        return 0.0 if self.prior is None else self.prior.log_density(parameters) / row_weight

    def admitted(self, trial: Parameters, found: Parameters) -> Parameters:
        """Return the trial, or the nearest mixture of the family: steps may break a constraint."""
        if self.family.constraint is None:
            return self.family.admissible(trial, self.reg_covar)
        return self.family.parameters(
            trial.weights, trial.means, trial.covariances, start=found.covariances
        )

    def added(self, parameters: Parameters) -> float | Array:
        """Return what is added to the variances of any parameters."""
        return self.reg_covar

    @property
    def has_prior(self) -> bool:
        """Whether there is one."""
        return self.prior is not None

    def under(self, prior: Prior | None) -> Maximisation:
        """Return the same rule with another prior."""
        return replace(self, prior=prior)

    def on(self, row_weight: float, origin: Array | float) -> Maximisation:
        """Return the same rule for rows about another origin, where a unit weighs so much."""
        return (
            self if self.prior is None else replace(self, prior=self.prior.on(row_weight, origin))
        )


@dataclass(frozen=True)
class AroundNormal:
    """What rules have in common that lead the M-step of normal components elsewhere."""

    normal: Maximisation  # of weights, means and covariances, or scales

    @property
    def family(self) -> Family:
        """What the covariances, or scales, may be."""
        return self.normal.family

    @property
    def reg_covar(self) -> float | Array:
        """What is added to every variance, or squared scale."""
        return self.normal.reg_covar

    @property
    def prior(self) -> Prior | None:
        """What counts as known of the components before any row."""
        return self.normal.prior

    @property
    def has_prior(self) -> bool:
        """Whether there is one."""
        return self.normal.has_prior

    def under(self, prior: Prior | None) -> Self:
        """Return the same rule with another prior."""
        return replace(self, normal=self.normal.under(prior))

    def added(self, parameters: Parameters) -> float | Array:
        """Return what is added to the variances, or squared scales."""
        return self.reg_covar

    def log_prior(self, parameters: Parameters, row_weight: float) -> float:
        """Return the part of the prior in the objective, per unit of row weight."""
        return self.normal.log_prior(parameters, row_weight)
