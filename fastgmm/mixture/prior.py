"""A conjugate prior of a mixture: what counts as known before any row is seen.

Gauvain and Lee (1994), IEEE Transactions on Speech and Audio Processing 2, section III; Fraley and
Raftery (2007), Journal of Classification 24, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastgmm.mixture.arrays import Array, over
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread


@dataclass(frozen=True, eq=False)
class Prior:
    """Rows that each component is estimated from besides its own.

    They say of its covariance what an inverse Wishart distribution says, of its mean what a normal
    one does, of its weight what a Dirichlet distribution does. Components that share a covariance
    are given the rows of one. Numbers of rows are in the unit of the rows' weights.
    """

    rows: Any  # of the covariance
    covariance: Array  # of these rows, in the structure's shape for one component
    mean_rows: float = 0.0  # at `mean`
    mean: Array | float = 0.0  # (d,)
    weight_rows: float = 0.0  # of the weight
    unit: float = 1.0  # weight of a row

    @property
    def is_of_covariances(self) -> bool:
        """Whether nothing is said of means and weights."""
        return self.mean_rows == 0.0 and self.weight_rows == 0.0

    def of(self, chosen: Sequence[int]) -> Prior:
        """Return some of several priors."""
        return Prior(self.rows[chosen], self.covariance[chosen])

    def on(self, row_weight: float, origin: Array | float = 0.0) -> Prior:
        """Return the same prior for rows about another origin, where each weighs so much."""
        return replace(
            self,
            rows=self.rows * row_weight,
            mean_rows=self.mean_rows * row_weight,
            mean=self.mean - origin,
            weight_rows=self.weight_rows * row_weight,
            unit=self.unit * row_weight,
        )

    def weights(self, weight: Array) -> Array:
        """Return weights, before they are divided by their sum, for rows of these weights (K,)."""
        return weight + self.weight_rows

    def means(self, weight: Array, means: Array) -> Array:
        """Return means for rows of these weights (K,) and means (K, d)."""
        if self.mean_rows == 0.0:
            return means
        weight = weight[:, None]
        return (weight * means + self.mean_rows * self.mean) / (weight + self.mean_rows)

    def covariances(
        self, structure: Structure, weight: Array, means: Array, covariances: Array
    ) -> Array:
        """Return covariances for rows of these weights (K,), means (K, d) and covariances."""
        if self.mean_rows == 0.0:
            return self.shrunk(covariances, structure.mass(weight))
        away = means - self.mean
        part = self.mean_rows * weight / (weight + self.mean_rows)
        scatter = structure.products(0.5 * part[:, None] * away, away)
        between = scatter / structure.divisor(np.ones(len(weight)), 1.0, means.shape[1])
        seen = over(structure.mass(weight), covariances)
        # the density of the mean has a factor of the covariance's volume, too
        more = over(structure.mass(np.full(len(weight), self.unit)), covariances)
        total = seen * covariances + between + self.rows * self.covariance
        return np.asarray(total / (seen + self.rows + more))

    def counted(self, weight: Array) -> Array:
        """Return the weights (K,) that covariances count in their family, with the prior's."""
        of_means = self.unit if self.mean_rows > 0.0 else 0.0  # as in `covariances`
        return np.asarray(weight + self.rows + of_means)

    def shrunk(self, covariances: Array, mass: Array) -> Array:
        """Return covariances of rows of these masses together with those of the prior.

        Of several priors side by side, `rows` (C,) and `covariance` (C, ...), each has its own.
        """
        n_axes = covariances.ndim - mass.ndim  # of one covariance
        mass = over(mass, covariances)
        rows = np.reshape(self.rows, np.shape(self.rows) + (1,) * n_axes)
        total = mass + rows
        both = mass * covariances + rows * self.covariance
        return np.asarray(both / np.where(total > 0.0, total, 1.0))

    def taken_out(self, covariances: Array, mass: Array) -> Array:
        """Return the covariances that `shrunk` has made these of."""
        mass = over(mass, covariances)
        own = (mass + self.rows) * covariances - self.rows * self.covariance
        return np.asarray(np.where(mass > 0.0, own / np.where(mass > 0.0, mass, 1.0), covariances))

    def log_density(self, parameters: Parameters) -> float:
        """Return the log density at a mixture, less that where it is highest for covariances."""
        structure, factors = parameters.structure, parameters.precisions_cholesky
        of_each = factors[None] if structure.is_shared else factors
        found = float(self.of_factors(structure, of_each, parameters.n_features))
        if self.mean_rows > 0.0:
            found += self._of_means(parameters)
        if self.weight_rows > 0.0:
            found += self.weight_rows * float(parameters.log_weights.sum())
        return found

    def of_factors(self, structure: Structure, factors: Array, n_features: int) -> Array:
        """Return the part of the covariances that have these precision factors (K, ...)."""
        terms = structure.misfit(self.covariance, factors, n_features)
        return -0.5 * self.rows * np.asarray(terms.sum(axis=0))

    @one_blas_thread()
    def _of_means(self, parameters: Parameters) -> float:
        """Return the part of the means, given the covariances."""
        away = parameters.means - self.mean
        distances = np.einsum("ki,kij,kj->", away, _precision_matrices(parameters), away)
        volumes = np.linalg.slogdet(parameters.matrices)[1].sum()
        return -0.5 * float(self.mean_rows * distances + self.unit * volumes)


@one_blas_thread()
def common_covariance(structure: Structure, part: Array, means: Array, covariances: Array) -> Array:
    """Return what covariances are drawn towards, in the structure's shape for one component.

    For components of these parts of the rows (K,), the covariance within them; if they share it,
    that of all rows.
    """
    within = np.array(structure.mean(covariances, part))
    if structure.is_shared:
        away = means - part @ means
        within += structure.products(0.5 * part[:, None] * away, away)
    return within


def side_by_side(priors: Sequence[Prior | None]) -> Prior | None:
    """Return priors of covariances as one of several, or None if there is none."""
    known = [prior for prior in priors if prior is not None]
    if not known:
        return None
    nothing = replace(known[0], rows=0.0)
    each = [nothing if prior is None else prior for prior in priors]
    rows = np.array([prior.rows for prior in each])
    return Prior(rows, np.stack([prior.covariance for prior in each]))


def _precision_matrices(parameters: Parameters) -> Array:
    return parameters.structure.matrices(parameters.precisions, *parameters.means.shape)
