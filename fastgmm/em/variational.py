"""The variational update: from sufficient statistics to what is known of the parameters.

Bishop (2006), Pattern Recognition and Machine Learning, equations 10.57 to 10.63.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from fastgmm.covariance import Family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Hyperparameters, Posterior
from fastgmm.mixture.statistics import SufficientStatistics

Pair = tuple[int, int]  # of components
# Deviations between means, up to which components may share a cluster. The bound may ask for more:
# under scikit-learn's default prior it prefers one cluster to two of 400 and 60 rows of 50 features
# that lie six deviations apart, where everybody sees two.
CLUSTER_WIDTH = 3.0
# A component of less empties by itself, and is near to all others: of 300 rows in two components of
# one cluster, pairs with a third of 0.01 rows were tried for merges, over and over, not these two
FEW_ROWS, FEW = 0.5, 0.01  # of weight, or of the largest component's where all weigh little


@dataclass(frozen=True)
class Variational:
    """Variational Bayes under fixed hyperparameters.

    The objective is the lower bound of the logarithm of the evidence, with all constants, per unit
    of row weight.
    """

    family: Family
    reg_covar: float | Array
    hyperparameters: Hyperparameters

    @property
    def prior(self) -> None:
        """Nothing: the prior of a maximum is another."""

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Posterior:
        """Return the posterior of highest bound for these responsibilities.

        Components come in descending order of their weights where that raises the bound.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        seen = statistics
        return self.hyperparameters.posterior(
            seen.weight, seen.first, seen.second, seen.origin, self.reg_covar
        )

    def remembered(self, parameters: Parameters, row_weight: float) -> SufficientStatistics:
        """Return statistics of this weight whose estimate is this posterior.

        Its rows weigh as much but for rounding, since each mean's precision counts them.
        """
        assert isinstance(parameters, Posterior)
        return replace(self._seen(parameters), row_weight=row_weight)

    def _seen(self, found: Posterior) -> SufficientStatistics:
        """Return the statistics that a posterior holds."""
        weight, first, second = self.hyperparameters.sums(found, self.reg_covar)
        nothing = SufficientStatistics.zeros(found.structure, found.means)
        return replace(nothing, weight=weight, first=first, second=second)

    def log_prior(self, parameters: Parameters, row_weight: float) -> float:
        """Return the divergence of the posterior from the prior, per unit of row weight."""
        assert isinstance(parameters, Posterior)
        return -self.hyperparameters.divergence(parameters) / row_weight

    def near(self, found: Posterior) -> list[Pair]:
        """Return pairs of components that may share a cluster, the nearest first.

        Nearest by their Mahalanobis distances, under the covariances of both, less what is expected
        of means that are known from few rows: of 50 features and ten rows, 2.2 deviations.
        """
        weight, means = self.hyperparameters.weight(found), found.means
        away = found.structure.distances(means, means, found.precisions_cholesky).sum(axis=-1)
        held = weight > min(FEW_ROWS, FEW * weight.max())
        i, j = np.triu_indices(len(means), 1)
        spread = found.n_features / found.mean_precision
        between = 0.5 * (away + away.T)[i, j] - spread[i] - spread[j]
        near = held[i] & held[j] & (between < CLUSTER_WIDTH**2)
        nearest = np.argsort(between[near], kind="stable")
        return [(int(i[near][n]), int(j[near][n])) for n in nearest]

    def merged(self, found: Posterior, pairs: Sequence[Pair]) -> Posterior | None:
        """Return the posterior in which each pair is one component, and another that is empty.

        Without merges a climb rests for hundreds of passes where components share a cluster. None
        where rounding leaves the rows of a component no covariance.
        """
        seen = self._seen(found)
        for pair in pairs:
            seen = seen.joined(*pair)
        with suppress(DegenerateCovarianceError):
            return self.estimate(seen, None)
        return None

    def admitted(self, trial: Parameters, found: Parameters) -> Posterior:
        """Return the posterior of an extrapolation, for rows of the same weight."""
        assert isinstance(found, Posterior)
        return self.hyperparameters.moved(found, trial)

    def added(self, parameters: Parameters) -> float | Array:
        """Return what is added where rows count most beside those known before.

        It is added to the variances of the rows, not to that which is known before.
        """
        assert isinstance(parameters, Posterior)
        shares = 1.0 - self.hyperparameters.degrees_of_freedom / parameters.degrees_of_freedom
        return self.reg_covar * float(np.max(shares))

    @property
    def has_prior(self) -> bool:
        """Yes."""
        return True

    def under(self, prior: object) -> Variational:
        """Return the same rule."""
        return self
