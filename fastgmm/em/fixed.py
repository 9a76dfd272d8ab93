"""Parameters that stay as they are while EM finds the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.covariance import Family
from fastgmm.em.update_rules import AroundNormal
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics

Mask = npt.NDArray[np.bool_]  # (K,)


class Fixed(NamedTuple):
    """Whether the weight, the mean, the covariance of each component stay."""

    weights: Mask
    means: Mask
    covariances: Mask

    def n_free(self, family: Family, n_features: int) -> int:
        """Count the numbers of a mixture that are not fixed."""
        n_components = len(self.weights)
        n_weights = int((~self.weights).sum())
        n_covariances = family.n_covariance_parameters(n_components, n_features)
        if self.covariances.any():  # of a family with a constraint then all are
            n_moving = int((~self.covariances).sum())
            n_covariances = family.structure.n_numbers(n_features) * n_moving
        return max(n_weights - 1, 0) + int((~self.means).sum()) * n_features + n_covariances


@dataclass(frozen=True)
class FreeMaximisation(AroundNormal):
    """The M-step of what is free: `Maximisation` given what is fixed.

    What is fixed has the values of the parameters before, so a state needs no more than these.
    """

    fixed: Fixed

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters of highest expected log-likelihood, or posterior density, given the fixed.

        Raises
        ------
        DegenerateCovarianceError
            If a free covariance is not finite or not positive definite.
        """
        if previous is None:
            raise ValueError("what is fixed has the values of the parameters before: give these")
        statistics = self._about_fixed_means(statistics, previous)
        occupied = statistics.occupied
        covariances = previous.covariances
        if not self.fixed.covariances.all():
            covariances = self.normal.covariances(statistics, previous)
        means = self.normal.means(statistics, previous)
        weights = np.where(occupied, statistics.weight, 0.0)
        if self.prior is not None:
            weights = self.prior.weights(weights)
        return self._with_fixed(weights, means, covariances, previous)

    def _about_fixed_means(
        self, statistics: SufficientStatistics, previous: Parameters
    ) -> SufficientStatistics:
        """Return the statistics as if the mean of each component's rows were the fixed one.

        Their squares are those about it, also of the prior's rows at a mean of its own: of p of
        them, p n / (p + n) are counted anyway, as about the mean of n rows.
        """
        means = self.fixed.means
        if not means.any():
            return statistics
        about = statistics.rebased(np.where(means[:, None], previous.means, statistics.origin))
        second = np.array(about.second)
        if self.prior is not None and self.prior.mean_rows > 0.0:
            rows = self.prior.mean_rows
            part = np.where(means, rows**2 / (rows + about.weight), 0.0)
            away = previous.means - self.prior.mean
            second += about.structure.products(0.5 * part[:, None] * away, away)
        first = np.where(means[:, None], 0.0, about.first)
        return replace(about, first=first, second=second)

    def _with_fixed(
        self, weights: Array, means: Array, covariances: Array, values: Parameters
    ) -> Parameters:
        """Return parameters of these numbers, but with the values of what is fixed.

        Free weights have the same parts of one another, and sum to what the fixed ones leave.
        """
        fixed, free = self.fixed, ~self.fixed.weights
        if free.any() and not float(weights[free].sum()) > 0.0:
            weights = values.weights
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the covariances
            left = 1.0 - float(values.weights[fixed.weights].sum())
            shares = weights * (left / weights[free].sum()) if free.any() else weights
        weights = np.where(fixed.weights, values.weights, shares)
        means = np.where(fixed.means[:, None], values.means, means)
        structure = self.family.structure
        if fixed.covariances.all():
            return Parameters(
                structure, weights, means, values.covariances, values.precisions_cholesky
            )
        if not fixed.covariances.any():
            return Parameters.from_covariances(structure, weights, means, covariances)
        covariances = np.array(covariances)
        covariances[fixed.covariances] = values.covariances[fixed.covariances]
        found = Parameters.from_covariances(structure, weights, means, covariances)
        factors = np.array(found.precisions_cholesky)
        factors[fixed.covariances] = values.precisions_cholesky[fixed.covariances]
        return replace(found, precisions_cholesky=factors)

    def remembered(self, parameters: Parameters, row_weight: float) -> SufficientStatistics:
        """Return statistics of this weight whose M-step returns these parameters."""
        return self.normal.remembered(parameters, row_weight)

    def admitted(self, trial: Parameters, found: Parameters) -> Parameters:
        """Return the trial with the values of what is fixed, as the family allows it."""
        if not self.fixed.covariances.all():
            trial = self.normal.admitted(trial, found)
        return self._with_fixed(trial.weights, trial.means, trial.covariances, found)

    def added(self, parameters: Parameters) -> float | Array:
        """Return what is added to the variances of any parameters; nothing to fixed ones."""
        return 0.0 if self.fixed.covariances.all() else self.normal.added(parameters)
