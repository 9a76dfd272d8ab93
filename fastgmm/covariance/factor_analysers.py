"""Factor analysers: covariances A A' + D, by an M-step that sees what factors see of the rows.

Ghahramani and Hinton (1996); McLachlan, Peel and Bean (2003). With S the covariance of the rows of
a component about their mean and b = (1 + A' D^-1 A)^-1 A' D^-1 of the mixture that gave each its
share,

    A = S b' (V + b S b')^-1,    D = diag(S) - diag(A b S),    V = (1 + A' D^-1 A)^-1

is the regression of rows on their factors. The mean goes to that of the rows first, and factors are
taken about it: with labels alone missing, which raises the likelihood by more than one regression
of both, and never lowers it. Nor does a floor under D, beside which its best value is the nearest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastgmm.covariance.family import Family
from fastgmm.mixture import factored
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import STRUCTURES
from fastgmm.parallel.blas import one_blas_thread

WORD = "factors"


class FactorAnalysers(Family):
    """Each component has factors and variances of its own.

    The variances stay above `reg_covar`, which is not added to them.
    """

    @one_blas_thread()
    def estimate(
        self,
        statistics: SufficientStatistics,
        means: npt.ArrayLike,
        reg_covar: float | Array,
        of_empty: Array | None = None,
        prior: Prior | None = None,
        start: Array | None = None,
    ) -> Array:
        """Covariances of highest expected log-likelihood, of those that do not pass the floor.

        `start` are the covariances that made the statistics; they are needed.
        """
        if start is None or statistics.directions is None:
            raise ValueError("factor analysers go on from loadings; give those of the last pass")
        occupied = statistics.occupied
        weight = np.where(occupied, statistics.weight, 1.0)[:, None, None]
        with np.errstate(over="ignore", invalid="ignore"):  # seen by from_covariances
            products = statistics.central / weight
            mixed, squares = products[..., :-1], products[..., -1]
            _, left = factored.directions(statistics.structure.factors(start))
            scatter = statistics.directions @ mixed
            scatter = left + 0.5 * (scatter + scatter.swapaxes(1, 2))
            found = np.empty_like(start)
            sound = np.asarray(np.isfinite(scatter).all(axis=(1, 2)))
            solvable = np.where(sound[:, None, None], scatter, np.eye(scatter.shape[-1]))
            found[..., :-1] = np.linalg.solve(solvable, mixed.swapaxes(1, 2)).swapaxes(1, 2)
            found[..., -1] = squares - (found[..., :-1] * mixed).sum(axis=-1)
        found[~sound] = np.nan
        # what rounding leaves of a variance of nothing
        floor = np.broadcast_to(reg_covar, found.shape[1])
        found[..., -1] = np.maximum(found[..., -1], floor)
        return np.where(occupied[:, None, None], found, start)

    def admissible(self, trial: Parameters, reg_covar: float | Array) -> Parameters:
        """Return an extrapolation, with variances at the floor where they have passed it."""
        variances = trial.covariances[..., -1]
        floor = np.broadcast_to(reg_covar, variances.shape)
        if (variances >= floor).all():
            return trial
        covariances = np.array(trial.covariances)
        covariances[..., -1] = np.maximum(variances, floor)
        return Parameters.from_covariances(trial.structure, trial.weights, trial.means, covariances)


def most_factors(n_features: int) -> int:
    """Return how many factors of so many features save numbers, and fit into what kernels have."""
    return 0 if n_features == 1 else (n_features + 1) // 2


def factor_analysers(n_factors: int) -> FactorAnalysers:
    """Return the family of so many factors."""
    word = f"{factored.PREFIX}{n_factors}"
    return FactorAnalysers(word, covariance_type=WORD, structure=STRUCTURES[word])
