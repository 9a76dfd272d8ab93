"""Structures of covariances: how a mixture stores them, and what follows from that.

Spherical: one variance per component. Diagonal: one per component and feature. Tied: one matrix for
all components. Full: one matrix per component. Factored, in `fastgmm.mixture.factored`: loadings
and variances per component. Nothing outside these files and the kernels asks which of them a
structure is; a family (`fastgmm.covariance`) says which of its covariances are allowed.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture import factorisation
from fastgmm.mixture.arrays import LARGEST_FACTOR, Array
from fastgmm.parallel.blas import one_blas_thread

# Squares of a step in those of deviations, whose rounding, 1e-12, is too much to add to the others
FAR = 1e4
NEGLIGIBLE_VOLUME = 1e-300  # a variance of nothing has a logarithm, too


class Structure(str, ABC):
    """The shape of a mixture's covariances, precisions, their factors and their summed products.

    It is the word that names it, so it is a key of tables and is written to files as it stands.
    """

    is_axis_parallel: bool  # variances alone
    has_matrices = False  # covariances as they are; else variances, or factors
    is_shared = False  # one covariance for all components
    tells_features_apart = True  # their variances may differ

    @property
    def kernel(self) -> str:
        """The word for the structure among kernels."""
        return str(self)

    @abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the covariances."""

    @abstractmethod
    def n_numbers(self, n_features: int) -> int:
        """Count the numbers in one covariance that can be chosen freely."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Count the numbers in all covariances that can be chosen freely."""
        return self.n_numbers(n_features) * (1 if self.is_shared else n_components)

    def places(self, components: Any) -> Any:
        """Index the covariances of some components: the one of all where they share it."""
        return ... if self.is_shared else components

    @abstractmethod
    def diagonal(self, covariances: Array) -> Array:
        """View the variances, in a shape that broadcasts to (..., n_components, n_features)."""

    def variances(self, covariances: Array) -> Array:
        """Return the variances of features, in a shape that broadcasts to (..., K, d)."""
        return self.diagonal(covariances)

    @abstractmethod
    def of_features(self, covariances: Array, features: Any) -> Array:
        """Return the covariances of some features."""

    @abstractmethod
    def matrices(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Return the covariances as matrices, (n_components, n_features, n_features)."""

    def mean(self, covariances: Array, weights: Array) -> Array:
        """Return the covariance within components of these weights."""
        return np.asarray(np.einsum("k,k...->...", weights, covariances))

    # estimates

    @abstractmethod
    def divisor(self, weight: Array, total: float, n_features: int) -> Array | float:
        """Return what turns summed products into covariances, by weights (K,) and their total."""

    def mass(self, weight: Array) -> Array:
        """Return the weight of the rows behind each covariance, from weights (K, ...)."""
        return weight.sum(axis=0) if self.is_shared else weight

    @abstractmethod
    def wishart_rows(self, degrees_of_freedom: float, n_features: int) -> float:
        """Return the rows that an inverse Wishart or gamma distribution counts as, at its mode."""

    @abstractmethod
    def gamma_shapes(self, degrees_of_freedom: Array, n_features: int) -> Array:
        """Return the shapes of the gamma variables that a random precision is made of, (..., p).

        Of a Wishart matrix those of its d pivots (Bartlett 1933); else those of the precisions.
        """

    def added(self, reg_covar: float | Array) -> float | Array:
        """Return what is added to each variance; the mean over features where they share it."""
        return reg_covar

    def seen(self, a: Array, b: Array, directions: Array) -> Array:
        """Return the same products as far as directions see them, of factor analysers."""
        raise TypeError(f"{self} moments are seen whole")

    @abstractmethod
    def products(self, a: Array, b: Array) -> Array:
        """Return a b' + b a' of vectors (K, d), summed where components share a covariance.

        By einsum, not by BLAS, whose sums may follow the number of threads.
        """

    @abstractmethod
    def entries(self, n_features: int) -> tuple[npt.NDArray[np.intp], ...]:
        """Tell how `products` are summed: the features of each, (m,) twice, and their place, (m,).

        The place is one in a covariance whose entries stand in a line.
        """

    @abstractmethod
    def scatter(self, rows: Array, weights: Array) -> Array:
        """Sum the products of one component's rows, about zero."""

    def joined(self, scatters: list[Array]) -> Array:
        """Return the summed products of all components from those of each."""
        return np.array(scatters)

    @abstractmethod
    def narrowed(self, matrix: Array) -> Array:
        """Return what this structure keeps of the covariance matrix of one component."""

    @abstractmethod
    def log_volume(self, matrix: Array) -> float:
        """Return the logarithm of the determinant of what this structure keeps of a matrix."""

    @abstractmethod
    def halved(self, covariance: Array, n_features: int, part: float) -> tuple[Array, Array]:
        """Divide one component along its longest axis so that mean and covariance are kept.

        Returns the step (d,) to either half's mean, so many deviations long, and their covariance.
        """

    @abstractmethod
    def distances(self, rows: Array, means: Array, factors: Array) -> Array:
        """Return the squared Mahalanobis distances of rows (m, d) to all components, (K, m, p).

        In as many parts as are estimated apart: one per feature of "diag", one in all of others.
        """

    @abstractmethod
    def misfit(self, covariance: Array, factors: Array, n_features: int) -> Array:
        """Return Stein's loss, tr(C P) - log det(C P) - d, of precisions P of these factors.

        C is one covariance; the loss is 0 where P is its inverse.
        """

    # factors of precisions

    @abstractmethod
    def factors(self, covariances: Array) -> Array:
        """Return factors of the precisions: U with U U' the inverse, or 1 / deviation.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """

    def factors_of_sum(self, covariances: Array, own: Array, steps: Array) -> Array:
        """Return the factors of covariances that are the sum of their own and products of steps.

        Parameters
        ----------
        covariances : ndarray
            The sum.
        own : ndarray
            What each is without its step.
        steps : ndarray of shape (K, d)
            One for each component, of whatever length.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        return self.factors(covariances)

    @abstractmethod
    def inverted(self, precisions: Array) -> tuple[Array, Array]:
        """Return the covariances that have these precisions, and the factors.

        Raises
        ------
        DegenerateCovarianceError
            If a precision is not finite or not positive definite.
        """

    @abstractmethod
    def precisions(self, factors: Array) -> Array:
        """Return the precisions that have these factors."""

    @abstractmethod
    def draw(
        self, mean: Array, covariance: Array, count: int, random_state: np.random.RandomState
    ) -> Array:
        """Draw rows of one component."""

    def above(self, factors: Array) -> Array:
        """Return the entries of factors above their diagonal, (..., d (d - 1) / 2)."""
        return np.empty(0)

    def add_above(self, factors: Array, entries: Array) -> None:
        """Add to the entries of factors above their diagonal, in place."""

    def metric_above(self, shares: Array, covariances: Array) -> Array:
        """Return what a unit of these entries weighs in a norm, by shares and covariances."""
        return np.empty(0)

    # densities as linear functions of a row's products, for arrays with any leading axes

    @abstractmethod
    def row_products(self, columns: Array) -> Array:
        """Return the products of each row's features that densities follow, (n_numbers, m)."""

    @abstractmethod
    def natural(self, factors: Array, means: Array) -> tuple[Array, Array, Array]:
        """Return what a log density takes of the features and of their products, and log det U."""

    @abstractmethod
    def central(self, products: Array, weight: Array, means: Array) -> Array:
        """Return covariances from summed products about zero (K, ..., n_numbers)."""


class _Variances(Structure):
    """Ellipsoids whose axes are parallel to the features'."""

    is_axis_parallel = True

    def matrices(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return self.diagonal(covariances)[:, :, None] * np.eye(n_features)

    def distances(self, rows: Array, means: Array, factors: Array) -> Array:
        squares = ((rows - means[:, None]) * self.diagonal(factors)[:, None]) ** 2
        return squares if self.tells_features_apart else squares.sum(axis=-1, keepdims=True)

    def misfit(self, covariance: Array, factors: Array, n_features: int) -> Array:
        ratios = self.diagonal(covariance) * self.diagonal(factors) ** 2
        terms = ratios - np.log(ratios) - 1.0
        return np.broadcast_to(terms, (*terms.shape[:-1], n_features)).sum(axis=-1)

    def entries(self, n_features: int) -> tuple[npt.NDArray[np.intp], ...]:
        features = np.arange(n_features)
        return features, features, features if self.tells_features_apart else 0 * features

    def factors(self, covariances: Array) -> Array:
        return np.asarray(1.0 / np.sqrt(positive(covariances)))

    def inverted(self, precisions: Array) -> tuple[Array, Array]:
        factors = np.sqrt(positive(precisions))
        return 1.0 / precisions, factors

    def precisions(self, factors: Array) -> Array:
        return np.asarray(factors**2)

    def draw(
        self, mean: Array, covariance: Array, count: int, random_state: np.random.RandomState
    ) -> Array:
        steps = random_state.standard_normal((count, len(mean)))
        return np.asarray(mean + np.sqrt(covariance) * steps)

    def natural(self, factors: Array, means: Array) -> tuple[Array, Array, Array]:
        per_feature = self.diagonal(factors)
        log_volumes = np.log(np.broadcast_to(per_feature, means.shape)).sum(axis=-1)
        return per_feature**2 * means, -0.5 * per_feature**2, log_volumes


class _Spherical(_Variances):
    """One variance per component, in all directions."""

    tells_features_apart = False

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_numbers(self, n_features: int) -> int:
        return 1

    def diagonal(self, covariances: Array) -> Array:
        return covariances[..., None]

    def of_features(self, covariances: Array, features: Any) -> Array:
        return covariances

    def divisor(self, weight: Array, total: float, n_features: int) -> Array | float:
        return weight * n_features

    def added(self, reg_covar: float | Array) -> float | Array:
        return float(np.mean(reg_covar))

    def wishart_rows(self, degrees_of_freedom: float, n_features: int) -> float:
        return (degrees_of_freedom + 2.0) / n_features

    def gamma_shapes(self, degrees_of_freedom: Array, n_features: int) -> Array:
        return 0.5 * n_features * degrees_of_freedom[..., None]

    def products(self, a: Array, b: Array) -> Array:
        return np.asarray(2.0 * np.einsum("ki,ki->k", a, b))

    @one_blas_thread()
    def scatter(self, rows: Array, weights: Array) -> Array:
        return np.asarray((weights @ rows**2).sum())

    def narrowed(self, matrix: Array) -> Array:
        return np.asarray(np.diagonal(matrix).mean())

    def log_volume(self, matrix: Array) -> float:
        return len(matrix) * math.log(max(float(self.narrowed(matrix)), NEGLIGIBLE_VOLUME))

    def halved(self, covariance: Array, n_features: int, part: float) -> tuple[Array, Array]:
        step = part * np.sqrt(covariance) * np.eye(n_features)[0]
        return step, np.asarray(covariance * (1.0 - part**2 / n_features))

    def row_products(self, columns: Array) -> Array:
        return np.asarray((columns**2).sum(axis=0, keepdims=True))

    def central(self, products: Array, weight: Array, means: Array) -> Array:
        squares = products[..., 0] / np.where(weight > 0.0, weight, 1.0)
        return np.asarray((squares - (means**2).sum(axis=-1)) / means.shape[-1])


class _Diagonal(_Variances):
    """One variance per component and feature."""

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features)

    def n_numbers(self, n_features: int) -> int:
        return n_features

    def diagonal(self, covariances: Array) -> Array:
        return covariances

    def of_features(self, covariances: Array, features: Any) -> Array:
        return covariances[:, features]

    def divisor(self, weight: Array, total: float, n_features: int) -> Array | float:
        return weight[:, None]

    def wishart_rows(self, degrees_of_freedom: float, n_features: int) -> float:
        return degrees_of_freedom + 2.0

    def gamma_shapes(self, degrees_of_freedom: Array, n_features: int) -> Array:
        return 0.5 * np.repeat(degrees_of_freedom[..., None], n_features, axis=-1)

    def products(self, a: Array, b: Array) -> Array:
        return 2.0 * a * b

    @one_blas_thread()
    def scatter(self, rows: Array, weights: Array) -> Array:
        return np.asarray(weights @ rows**2)

    def narrowed(self, matrix: Array) -> Array:
        return np.diagonal(matrix)

    def log_volume(self, matrix: Array) -> float:
        return float(np.log(np.maximum(np.diagonal(matrix), NEGLIGIBLE_VOLUME)).sum())

    def halved(self, covariance: Array, n_features: int, part: float) -> tuple[Array, Array]:
        step = part * np.sqrt(covariance) * (np.arange(n_features) == covariance.argmax())
        return step, covariance - step**2

    def row_products(self, columns: Array) -> Array:
        return np.asarray(columns**2)

    def central(self, products: Array, weight: Array, means: Array) -> Array:
        divisor = np.where(weight > 0.0, weight, 1.0)[..., None]
        return np.asarray(products / divisor - means**2)


class _Matrices(Structure):
    """Ellipsoids of any orientation."""

    is_axis_parallel = False
    has_matrices = True

    def n_numbers(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def wishart_rows(self, degrees_of_freedom: float, n_features: int) -> float:
        return degrees_of_freedom + n_features + 1.0

    def gamma_shapes(self, degrees_of_freedom: Array, n_features: int) -> Array:
        return 0.5 * (degrees_of_freedom[..., None] - np.arange(n_features))

    def diagonal(self, covariances: Array) -> Array:
        return np.asarray(np.einsum("...ii->...i", covariances))

    def of_features(self, covariances: Array, features: Any) -> Array:
        return covariances[..., features, :][..., features]

    def matrices(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features, n_features))

    @one_blas_thread()
    def scatter(self, rows: Array, weights: Array) -> Array:
        products = np.asarray((rows * weights[:, None]).T @ rows)
        i, j = upper_triangle(len(products), 1)
        # sums of one entry and of the other, above the diagonal, are rounded apart; Cholesky's
        # factors are those of the one below
        products[i, j] = products[j, i]
        return products

    def narrowed(self, matrix: Array) -> Array:
        return matrix

    @one_blas_thread()
    def log_volume(self, matrix: Array) -> float:
        variances = np.asarray(np.linalg.eigvalsh(matrix), dtype=np.float64)
        return float(np.log(np.maximum(variances, NEGLIGIBLE_VOLUME)).sum())

    @one_blas_thread()
    def halved(self, covariance: Array, n_features: int, part: float) -> tuple[Array, Array]:
        variances, axes = np.linalg.eigh(covariance)
        step = part * np.sqrt(variances[-1]) * axes[:, -1]
        return step, covariance - np.outer(step, step)

    @one_blas_thread()
    def distances(self, rows: Array, means: Array, factors: Array) -> Array:
        return np.asarray((((rows - means[:, None]) @ factors) ** 2).sum(axis=-1, keepdims=True))

    @one_blas_thread()
    def misfit(self, covariance: Array, factors: Array, n_features: int) -> Array:
        lower: Array = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        whitened = lower.swapaxes(-1, -2) @ factors
        log_volumes = np.log(self.diagonal(factors)).sum(axis=-1)
        log_volumes = log_volumes + np.log(self.diagonal(lower)).sum(axis=-1)
        return np.asarray((whitened**2).sum(axis=(-2, -1)) - 2.0 * log_volumes - n_features)

    def entries(self, n_features: int) -> tuple[npt.NDArray[np.intp], ...]:
        left, right = np.divmod(np.arange(n_features**2), n_features)
        return left, right, np.arange(n_features**2)

    @one_blas_thread()
    def factors(self, covariances: Array) -> Array:
        return factorisation.inverse_factors(covariances)

    @one_blas_thread()
    def factors_of_sum(self, covariances: Array, own: Array, steps: Array) -> Array:
        far = np.any(steps**2 > FAR * self.diagonal(own), axis=-1, keepdims=True)
        if not far.any():
            return self.factors(covariances)
        factor = factorisation.inverse_factor_of_sum
        if self.is_shared:
            return np.ascontiguousarray(factor(own, steps, None))
        factors = self.factors(np.where(far[:, :, None], own, covariances))
        for k in np.flatnonzero(far):
            factors[k] = factor(own[k], steps[k : k + 1], int(k))
        return factors

    def inverted(self, precisions: Array) -> tuple[Array, Array]:
        factors = factorisation.of_each(factorisation.upper_factor, precisions)
        return factorisation.of_each(factorisation.inverse_product, factors), factors

    def precisions(self, factors: Array) -> Array:
        with one_blas_thread():
            return np.asarray(factors @ factors.swapaxes(-1, -2))

    def draw(
        self, mean: Array, covariance: Array, count: int, random_state: np.random.RandomState
    ) -> Array:
        with one_blas_thread():
            return random_state.multivariate_normal(mean, covariance, count)

    def above(self, factors: Array) -> Array:
        i, j = upper_triangle(factors.shape[-1], 1)
        return factors[..., i, j]

    def add_above(self, factors: Array, entries: Array) -> None:
        i, j = upper_triangle(factors.shape[-1], 1)
        factors[..., i, j] += entries.reshape(factors[..., i, j].shape)

    def metric_above(self, shares: Array, covariances: Array) -> Array:
        variances = self.diagonal(covariances)
        above = np.sqrt(shares[..., None] * variances)
        return np.asarray(above[..., upper_triangle(covariances.shape[-1], 1)[0]])

    def row_products(self, columns: Array) -> Array:
        i, j = upper_triangle(len(columns))
        return columns[i] * columns[j]

    @one_blas_thread()
    def natural(self, factors: Array, means: Array) -> tuple[Array, Array, Array]:
        precisions = factors @ factors.swapaxes(-1, -2)
        linear = (precisions @ means[..., None])[..., 0]
        log_volumes = np.log(self.diagonal(factors)).sum(axis=-1)
        i, j = upper_triangle(means.shape[-1])
        return linear, precisions[..., i, j] * np.where(i == j, -0.5, -1.0), log_volumes


class _Tied(_Matrices):
    """One covariance matrix for all components."""

    is_shared = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features, n_features)

    def mean(self, covariances: Array, weights: Array) -> Array:
        return covariances

    def divisor(self, weight: Array, total: float, n_features: int) -> Array | float:
        return total

    def products(self, a: Array, b: Array) -> Array:
        product = np.einsum("ki,kj->ij", a, b)
        return np.asarray(product + product.T)

    def joined(self, scatters: list[Array]) -> Array:
        return np.asarray(np.sum(scatters, axis=0))

    def halved(self, covariance: Array, n_features: int, part: float) -> tuple[Array, Array]:
        """Leave both where the one was: the covariance is not of these components alone."""
        return np.zeros(n_features), covariance

    def central(self, products: Array, weight: Array, means: Array) -> Array:
        moments = products[..., _square(means.shape[-1])]
        about_means = weight[..., None, None] * (means[..., :, None] * means[..., None, :])
        return ((moments - about_means).sum(axis=0) / weight.sum(axis=0)[..., None, None])[None]


class _Full(_Matrices):
    """One covariance matrix per component."""

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features, n_features)

    def divisor(self, weight: Array, total: float, n_features: int) -> Array | float:
        return weight[:, None, None]

    def products(self, a: Array, b: Array) -> Array:
        product = np.einsum("ki,kj->kij", a, b)
        return np.asarray(product + product.swapaxes(1, 2))

    def central(self, products: Array, weight: Array, means: Array) -> Array:
        divisor = np.where(weight > 0.0, weight, 1.0)[..., None]
        covariances = (products / divisor)[..., _square(means.shape[-1])]
        covariances -= means[..., :, None] * means[..., None, :]
        return np.asarray(covariances)


def positive(values: Array) -> Array:
    """Return the variances or precisions of each component, all positive and finite."""
    good = (values > 1.0 / LARGEST_FACTOR**2) & (values < LARGEST_FACTOR**2)
    if good.all():
        return values
    k = int(np.argmin(good.reshape(len(good), -1).all(axis=1)))
    raise DegenerateCovarianceError(k, int(np.argmin(good[k])) if values.ndim == 2 else None)


@functools.lru_cache(maxsize=4)  # as large as a covariance; a fit asks for those of one width
def upper_triangle(n_features: int, first: int = 0) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the rows and columns of a matrix's upper triangle, from its `first` diagonal on."""
    return np.triu_indices(n_features, first)


@functools.lru_cache(maxsize=4)
def _square(n_features: int) -> npt.NDArray[np.intp]:
    """Where the entries of a symmetric matrix stand in its upper triangle, (d, d)."""
    places = np.zeros((n_features, n_features), np.intp)
    i, j = upper_triangle(n_features)
    places[i, j] = places[j, i] = np.arange(len(i))
    return places


SPHERICAL, DIAGONAL = _Spherical("spherical"), _Diagonal("diagonal")
TIED, FULL = _Tied("tied"), _Full("full")


class _ByName(dict[str, Structure]):
    """The four by their words; of factor analysers there is one for each number of factors."""

    def __missing__(self, word: str) -> Structure:
        from fastgmm.mixture import factored

        found = factored.called(word)
        if found is None:
            raise KeyError(word)
        return self.setdefault(word, found)


STRUCTURES: dict[str, Structure] = _ByName(
    (each, each) for each in (SPHERICAL, DIAGONAL, TIED, FULL)
)
