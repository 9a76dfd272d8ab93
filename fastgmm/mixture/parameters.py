"""The parameters of a mixture, with the triangular factors that make densities cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dtrtri

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.lapack import invert_lower
from fastgmm.mixture.statistics import Array, read_only
from fastgmm.parallel.blas import each_matrix, one_blas_thread

LARGEST_FACTOR = 1e150  # of a precision: its square is still a number, and the inverse of one


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights, means and covariances of a mixture of normal distributions.

    The shapes of `covariances` and `precisions_cholesky` follow the structure, as in scikit-learn:
    spherical (K,), diagonal (K, d), tied (d, d), full (K, d, d). A matrix of `precisions_cholesky`
    is the upper triangular U with U U' the precision; otherwise it is 1 / standard deviation.
    Arrays are read-only float64.
    """

    structure: str  # "spherical", "diagonal", "tied" or "full"
    weights: Array  # (K,)
    means: Array  # (K, d)
    covariances: Array
    precisions_cholesky: Array

    def __post_init__(self) -> None:
        """Make the arrays float64 and read-only."""
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
        covariances = read_only(covariances)
        if structure in ("spherical", "diagonal"):
            factors = 1.0 / np.sqrt(_positive(covariances))
        else:
            factors = _each(_inverse_factor, covariances)
        return cls(structure, read_only(weights), read_only(means), covariances, factors)

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
        precisions = read_only(precisions)
        if structure in ("spherical", "diagonal"):
            factors = np.sqrt(_positive(precisions))
            covariances = 1.0 / precisions
        else:
            factors = _each(_upper_factor, precisions)
            covariances = _each(_inverse_product, factors)
        return cls(structure, read_only(weights), read_only(means), covariances, factors)

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
        factors = self.precisions_cholesky
        if self.structure in ("spherical", "diagonal"):
            return factors**2
        with one_blas_thread():
            return factors @ factors.swapaxes(-1, -2)

    def sample(
        self, n_samples: int, random_state: np.random.RandomState
    ) -> tuple[Array, npt.NDArray[np.int64]]:
        """Draw rows from the mixture, in the order of their components.

        Parameters
        ----------
        n_samples : int
            Number of rows, at least 1.
        random_state : numpy.random.RandomState
            Asked in scikit-learn's order, so that both give the same rows.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
        labels : ndarray of shape (n_samples,)
            The component of each row.
        """
        # weights that were rounded to float32 may sum to more than multinomial() takes
        weights = self.weights / max(1.0, self.weights.sum())
        counts = random_state.multinomial(n_samples, weights)
        rows = np.vstack([self._draw(k, count, random_state) for k, count in enumerate(counts)])
        return rows, np.repeat(np.arange(self.n_components, dtype=np.int64), counts)

    def _draw(self, k: int, count: int, random_state: np.random.RandomState) -> Array:
        if self.structure in ("tied", "full"):
            covariance = self.covariances if self.structure == "tied" else self.covariances[k]
            with one_blas_thread():
                return random_state.multivariate_normal(self.means[k], covariance, count)
        steps = random_state.standard_normal((count, self.n_features))
        return np.asarray(self.means[k] + np.sqrt(self.covariances[k]) * steps)


def _positive(values: Array) -> Array:
    """Return the values of each component, all positive and finite."""
    good = (values > 1.0 / LARGEST_FACTOR**2) & (values < LARGEST_FACTOR**2)
    for k, component in enumerate(good):
        if not np.all(component):
            feature = int(np.argmin(component)) if values.ndim == 2 else None
            raise DegenerateCovarianceError(k, feature)
    return values


def _each(factor: Callable[[Array, int | None], Array], matrices: Array) -> Array:
    """Apply `factor` to one shared matrix, or to that of every component."""
    if matrices.ndim == 2:
        with one_blas_thread():
            return np.ascontiguousarray(factor(matrices, None))
    factors = np.empty(matrices.shape)

    def work(k: int) -> None:
        factors[k] = factor(matrices[k], k)

    each_matrix(work, len(matrices), len(matrices) * float(matrices.shape[1]) ** 3 / 3)
    return factors


def _inverse_factor(covariance: Array, component: int | None) -> Array:
    """Upper triangular U with U U' the inverse of the covariance."""
    lower = _lower_factor(covariance, component)
    invert_lower(lower)
    if not np.max(np.abs(lower)) < LARGEST_FACTOR:
        raise DegenerateCovarianceError(component)
    return lower.T


def _upper_factor(precision: Array, component: int | None) -> Array:
    """Upper triangular U with U U' the precision: Cholesky with rows and columns reversed."""
    try:
        return _lower_factor(precision[::-1, ::-1], component)[::-1, ::-1]
    except DegenerateCovarianceError as failure:
        place = None if failure.feature is None else len(precision) - 1 - failure.feature
        raise DegenerateCovarianceError(component, place) from None


def _lower_factor(matrix: Array, component: int | None) -> Array:
    lower, info = dpotrf(matrix, lower=1, clean=1)
    if info != 0 or not np.all(np.isfinite(lower)):
        raise DegenerateCovarianceError(component, feature=info - 1 if info > 0 else None)
    return np.asarray(lower)


def _inverse_product(upper: Array, _component: int | None) -> Array:
    """Inverse of U U', symmetric to the last bit since it is a product with its own transpose."""
    inverse, _ = dtrtri(upper, lower=0)
    return np.asarray(inverse.T @ inverse)
