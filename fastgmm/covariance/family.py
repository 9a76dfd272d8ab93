"""The contract of a covariance family: what an M-step may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastgmm.covariance.regularisation import Scatter, regularised_scatter
from fastgmm.mixture.statistics import Array, SufficientStatistics


@dataclass(frozen=True)
class Family:
    """One of the families of Celeux and Govaert (1995): volume, shape and orientation.

    The letters of its name say whether each of the three is Equal over components, Variable, or
    the Identity.
    """

    name: str  # "VVV"
    covariance_type: str  # scikit-learn's word for it, "full"
    structure: str  # what a kernel must sum for it, "full"
    n_covariance_parameters: Callable[[int, int], int]  # of (n_components, n_features)
    maximise: Callable[[Scatter], Array]  # the covariances of highest expected log-likelihood

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count what is free in a mixture: covariances, means, and all weights but one."""
        means_and_weights = n_components * n_features + n_components - 1
        return self.n_covariance_parameters(n_components, n_features) + means_and_weights

    def estimate(
        self, statistics: SufficientStatistics, means: npt.ArrayLike, reg_covar: float | Array
    ) -> Array:
        """Covariances about the means, of highest expected log-likelihood but for `reg_covar`.

        Parameters
        ----------
        statistics : SufficientStatistics
            Of the family's structure.
        means : array-like of shape (n_components, n_features)
            Usually `statistics.means`.
        reg_covar : float or ndarray of shape (n_features,)
            Added to every variance, or to that of each feature.

        Returns
        -------
        ndarray
            In the structure's shape; `reg_covar` alone for a component without weight. Whether
            they are finite and positive definite is for `Parameters.from_covariances` to say.
        """
        scatter = regularised_scatter(statistics, means, reg_covar)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.maximise(scatter)
