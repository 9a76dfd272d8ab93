"""The log-likelihood of rows whose components are known, from their sums: no row is seen again."""

from __future__ import annotations

import math

import numpy as np

from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread


class CompleteData:
    """Sums of rows that belong to the first components of a mixture, one each.

    Parameters
    ----------
    sums : SufficientStatistics
        Of these components, about the mean of each.
    """

    def __init__(self, sums: SufficientStatistics) -> None:
        self.sums = sums
        self._roots = sums.second
        if not sums.structure.is_axis_parallel:
            self._roots = _roots(sums.second)

    @property
    def n_components(self) -> int:
        """How many components have rows that are known to be theirs, or none."""
        return len(self.sums.weight)

    def under(self, parameters: Parameters) -> SufficientStatistics:
        """Return the sums about the means of a mixture, with the log-likelihood under it."""
        n_more = parameters.n_components - self.n_components
        sums, structure = self.sums, parameters.structure
        weight = np.concatenate([sums.weight, np.zeros(n_more)])
        first = np.vstack([sums.first, np.zeros((n_more, parameters.n_features))])
        origin = np.vstack([sums.origin, parameters.means[self.n_components :]])
        second = np.zeros(structure.shape(*parameters.means.shape))
        second[structure.places(slice(self.n_components))] = sums.second
        return SufficientStatistics(
            weight, first, second, self._log_likelihood(parameters), sums.n_rows, sums.row_weight,
            origin, structure,
        ).rebased(parameters.means)  # fmt: skip

    @one_blas_thread()
    def _log_likelihood(self, parameters: Parameters) -> float:
        """Sum n (log weight + log det U - d log(2 pi) / 2) - |U' (x - mean)|² / 2 over components.

        The squares are those of a root of the sums, and of the way between the means: as a product
        with precisions they would lose as many digits as the covariance has between its axes.
        """
        n_features, structure = parameters.n_features, parameters.structure
        its = self.sums.occupied
        weight = self.sums.weight[its]
        away = (self.sums.means - parameters.means[: self.n_components])[its]
        places = structure.places(np.flatnonzero(its))
        factors = parameters.precisions_cholesky[places]
        roots = self._roots[places]
        if structure.is_axis_parallel:
            deviations = structure.diagonal(factors)
            logs = np.log(np.broadcast_to(deviations, away.shape)).sum(axis=1)
            within = float((roots * factors**2).sum())
            steps = away * deviations
        else:
            logs = np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
            stretched = np.swapaxes(factors, -1, -2) @ roots
            within = float((stretched**2).sum())
            steps = np.einsum("...i,...ij->...j", away, factors)
        each = parameters.log_weights[: self.n_components][its] + logs
        each = each - 0.5 * n_features * math.log(2.0 * math.pi)
        between = float(weight @ (steps**2).sum(axis=1))
        return float(weight @ np.broadcast_to(each, weight.shape)) - 0.5 * (within + between)


@one_blas_thread()
def _roots(matrices: Array) -> Array:
    """Return R with R R' each of these positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(matrices)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])
