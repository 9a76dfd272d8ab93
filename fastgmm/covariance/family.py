"""A covariance family: which covariances of a structure an M-step may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.covariance.regularisation import own_covariances
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread


class Constraint(NamedTuple):
    """What the covariances of a family have in common."""

    # covariances of highest expected log-likelihood, of those of each component's own rows, in the
    # structure's shape, and of weights (K,), which may be 0
    maximise: Callable[[Array, Array], Array]
    n_parameters: Callable[[int, int], int]  # free in them, of (n_components, n_features)
    # the same where it is iterative, from covariances of the family, which it does not fall behind
    maximise_from: Callable[[Array, Array, Array], Array] | None = None
    is_of_each: bool = False  # for each component alone, so for a single one, too


@dataclass(frozen=True)
class Family:
    """One of the families of Celeux and Govaert (1995): volume, shape and orientation.

    The letters of its name say whether each of the three is Equal over components, Variable, or
    the Identity. Without a constraint, all covariances of the structure are in it.
    """

    name: str  # "VVV"
    covariance_type: str  # scikit-learn's word for it, "full"
    structure: Structure  # how its covariances are stored, and what a kernel sums for them
    constraint: Constraint | None = None

    @property
    def has_one_size(self) -> bool:
        """Whether volume and shape are equal: a component of one row has the width of others."""
        return self.name[0] == "E" and self.name[1] in "EI"

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        """Count what is free in the covariances."""
        free = self.structure if self.constraint is None else self.constraint
        return free.n_parameters(n_components, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count what is free in a mixture: covariances, means, and all weights but one."""
        means_and_weights = n_components * n_features + n_components - 1
        return self.n_covariance_parameters(n_components, n_features) + means_and_weights

    def estimate(
        self,
        statistics: SufficientStatistics,
        means: npt.ArrayLike,
        reg_covar: float | Array,
        of_empty: Array | None = None,
        prior: Prior | None = None,
        start: Array | None = None,
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
        of_empty : ndarray, optional
            In the structure's shape: what components without weight have, as far as the family
            allows. Without it they have `reg_covar` alone.
        prior : Prior, optional
            Whose rows are added to those of each component, before the family's constraint.
            Components without weight then have its covariance.
        start : ndarray, optional
            Covariances of the family, such as those of the last M-step, from which a family whose
            M-step is iterative goes on.

        Returns
        -------
        ndarray
            In the structure's shape. Whether they are finite and positive definite is for
            `Parameters.from_covariances` to say.
        """
        covariances = own_covariances(statistics, means, reg_covar, prior)
        if prior is not None:
            return self.nearest(covariances, prior.counted(statistics.weight), start)
        empty = ~statistics.occupied
        if of_empty is not None and not self.structure.is_shared:
            covariances[empty] = of_empty[empty]
        return self.nearest(covariances, np.where(empty, 0.0, statistics.weight), start)

    def nearest(self, covariances: Array, weights: Array, start: Array | None = None) -> Array:
        """Return the family's covariances where these are those of each component's own rows.

        `reg_covar` is in these already: added to the family's, it would break a constraint.
        """
        constraint = self.constraint
        if constraint is None or (len(covariances) == 1 and not constraint.is_of_each):
            return covariances  # one component has nothing to share: the same bits in each family
        if not np.isfinite(covariances).all():
            return covariances  # which from_covariances refuses
        with np.errstate(all="ignore"):
            if start is None or constraint.maximise_from is None:
                return constraint.maximise(covariances, weights)
            return constraint.maximise_from(covariances, weights, start)

    def admissible(self, trial: Parameters, reg_covar: float | Array) -> Parameters:
        """Return an extrapolation of EM with variances that its M-step may find: as it is."""
        return trial

    def parameters(
        self, weights: Array, means: Array, covariances: Array, start: Array | None = None
    ) -> Parameters:
        """Return parameters with these covariances, or with those of the family nearest to them.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite; it names the component.
        """
        nearest = self.nearest(covariances, weights, start)
        return Parameters.from_covariances(self.structure, weights, means, nearest)


def constrained(
    name: str,
    structure: Structure,
    maximise: Callable[[Array, Array], Array],
    *,
    covariance_type: str | None = None,
    maximise_from: Callable[[Array, Array, Array], Array] | None = None,
) -> Family:
    """Return a family that its letters describe, called by them unless there is another word."""
    count = partial(degrees_of_freedom, name)
    constraint = Constraint(maximise, count, maximise_from)
    return Family(name, covariance_type or name, structure, constraint)


def degrees_of_freedom(name: str, n_components: int, n_features: int) -> int:
    """Count what is free in the covariances of a family by its letters (Celeux and Govaert 1995).

    A volume is one number, a shape d - 1 and an orientation d (d - 1) / 2; E has one for all
    components, V one for each, and I none.
    """
    numbers = 1, n_features - 1, n_features * (n_features - 1) // 2
    times = {"E": 1, "V": n_components, "I": 0}
    return sum(times[letter] * count for letter, count in zip(name, numbers, strict=True))


def pooled(values: Array, weights: Array) -> Array:
    """Return the mean over components of values (K, ...)."""
    return np.asarray(np.einsum("k,k...->...", weights, values) / weights.sum())


@one_blas_thread()
def turned(variances: Array, axes: Array) -> Array:
    """Return the matrices with these variances (K, d) along axes (..., d, d), their columns."""
    deviations = axes * np.sqrt(variances)[:, None, :]
    matrices = deviations @ deviations.swapaxes(1, 2)
    return np.asarray(0.5 * (matrices + matrices.swapaxes(1, 2)))
