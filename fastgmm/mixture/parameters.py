"""The parameters of a mixture, with the triangular factors that make densities cheap."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.mixture.arrays import Array, read_only
from fastgmm.mixture.structure import STRUCTURES, Structure


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights, means and covariances of a mixture of normal distributions.

    The shapes of `covariances` and `precisions_cholesky` follow the structure, as in scikit-learn:
    spherical (K,), diagonal (K, d), tied (d, d), full (K, d, d). A matrix of `precisions_cholesky`
    is the upper triangular U with U U' the precision; otherwise it is 1 / standard deviation. Of
    factor analysers both are (K, d, q + 1), as `fastgmm.mixture.factored` says.
    Arrays are read-only float64.
    """

    structure: Structure  # or its name
    weights: Array  # (K,)
    means: Array  # (K, d)
    covariances: Array
    precisions_cholesky: Array

    def __post_init__(self) -> None:
        """Make the arrays float64 and read-only."""
        object.__setattr__(self, "structure", STRUCTURES[self.structure])
        for name in ("weights", "means", "covariances", "precisions_cholesky"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Rebuild through the constructor: NumPy forgets on the way that arrays are read-only."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @classmethod
    def from_covariances(
        cls,
        structure: str,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        covariances: npt.ArrayLike,
    ) -> Parameters:
        """Parameters with these covariances, factored.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite; it names the component.
        """
        kind, covariances = STRUCTURES[structure], read_only(covariances)
        return cls(kind, weights, means, covariances, kind.factors(covariances))  # type: ignore[arg-type]

    @classmethod
    def from_precisions(
        cls,
        structure: str,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        precisions: npt.ArrayLike,
    ) -> Parameters:
        """Parameters with the inverses of these precisions as covariances.

        Raises
        ------
        DegenerateCovarianceError
            If a precision is not finite or not positive definite; it names the component.
        """
        kind = STRUCTURES[structure]
        inverted = kind.inverted(read_only(precisions))
        return cls(kind, read_only(weights), read_only(means), *inverted)

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return len(self.means)

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return int(self.means.shape[1])

    @property
    def precisions(self) -> Array:
        """Inverses of the covariances, in the same shape."""
        return self.structure.precisions(self.precisions_cholesky)

    @property
    def variances(self) -> Array:
        """The variance of every feature in every component, (K, d)."""
        variances = self.structure.variances(self.covariances)
        return np.broadcast_to(variances, self.means.shape)

    @property
    def matrices(self) -> Array:
        """The covariance matrix of every component, (K, d, d)."""
        return self.structure.matrices(self.covariances, *self.means.shape)

    @property
    def shares(self) -> Array:
        """What an extrapolation of EM moves in the place of the weights, (K,) of sum 1."""
        return self.weights

    @property
    def free(self) -> Array:
        """What an extrapolation of EM moves besides shares, means and covariances, (p,)."""
        return read_only([])

    @property
    def free_metric(self) -> Array:
        """What a unit of each of these weighs in a norm, (p,)."""
        return read_only([])

    def freed(self, found: Parameters, step: Array) -> Parameters:
        """Return a mixture of this kind, with what is free of this one moved by a step."""
        return found

    @property
    def alone(self) -> Parameters:
        """The components without noise beside them, whose weights sum to 1."""
        return self

    @property
    def safer(self) -> Parameters | None:
        """What EM alone would keep, where an update dared more."""
        return None

    @cached_property
    def log_weights(self) -> Array:
        """What is added to the log density of each component, (K,); -inf for a weight of 0."""
        with np.errstate(divide="ignore"):
            return read_only(np.log(self.weights))
