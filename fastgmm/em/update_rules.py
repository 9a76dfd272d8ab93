"""The update rule of a fit: from sufficient statistics to the next parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fastgmm.covariance import Family
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics


class UpdateRule(Protocol):
    """How statistics become parameters, and what EM climbs."""

    @property
    def family(self) -> Family:
        """What the covariances may be."""

    @property
    def reg_covar(self) -> float | Array:
        """What is added to every variance, or to that of each feature (d,)."""

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters that raise the objective."""

    def objective(self, parameters: Parameters, statistics: SufficientStatistics) -> float:
        """Value of the parameters that made the statistics."""


@dataclass(frozen=True)
class MaximumLikelihood:
    """The M-step of a covariance family, and the log-likelihood per unit of row weight."""

    family: Family
    reg_covar: float | Array  # added to every variance, or to that of each feature (d,)

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters of highest expected log-likelihood.

        A component without weight keeps its previous mean and, as far as the family allows, its
        previous covariance, and gets weight 0. Without `previous`, as in a first M-step from
        labels, it stays at its origin with `reg_covar` for a covariance.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        occupied = statistics.occupied
        weights = np.where(occupied, statistics.weight, 0.0)
        means = statistics.means
        of_empty = None if previous is None else previous.covariances
        covariances = self.family.estimate(statistics, means, self.reg_covar, of_empty)
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the covariances, below
            weights /= weights.sum()
        if previous is not None and not occupied.all():
            means = np.where(occupied[:, None], means, previous.means)
        return Parameters.from_covariances(self.family.structure, weights, means, covariances)

    def objective(self, parameters: Parameters, statistics: SufficientStatistics) -> float:
        """Mean log-likelihood of the rows under the parameters that made the statistics."""
        return statistics.mean_log_likelihood
