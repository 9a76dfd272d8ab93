"""The structure of factor analysers: covariances A A' + D, of loadings A and a diagonal D.

Nothing here makes a matrix of d x d but what is asked for one. Covariances are kept as (K, d,
q + 1): the loadings, and the variances D in the last column. In the place of a factor of the
precision stand D^-1/2 A and D^-1/2, in the same shape.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.arrays import LARGEST_FACTOR, Array
from fastgmm.mixture.structure import Structure, positive
from fastgmm.parallel.blas import one_blas_thread

PREFIX = "factors-"


def _refused(*_: Any) -> NoReturn:
    raise TypeError(
        "factor analysers have no matrix of products, only what their factors see of it"
    )


_needs_a_matrix: Any = _refused


class Factored(Structure):
    """So many factors for each component, and variances that are the features' own."""

    is_axis_parallel = False
    kernel = "factored"

    def __new__(cls, word: str) -> Factored:
        """Make the structure of this word, such as "factors-5"."""
        return super().__new__(cls, word)

    @property
    def n_factors(self) -> int:
        """Number of factors, q."""
        return int(self.removeprefix(PREFIX))

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the loadings, with a last column of variances."""
        return (n_components, n_features, self.n_factors + 1)

    def n_numbers(self, n_features: int) -> int:
        """Count loadings, but for a rotation of the factors, and variances.

        No more than a matrix has: where these are more, they can be any (Ledermann's bound).
        """
        n_rotations = self.n_factors * (self.n_factors - 1) // 2
        own = n_features * self.n_factors - n_rotations + n_features
        return min(own, n_features * (n_features + 1) // 2)

    def diagonal(self, covariances: Array) -> Array:
        """View the variances that are not of factors, or their roots' inverses."""
        return covariances[..., -1]

    def variances(self, covariances: Array) -> Array:
        """Return the variances of features, (..., K, d)."""
        return np.asarray((covariances[..., :-1] ** 2).sum(axis=-1) + covariances[..., -1])

    def of_features(self, covariances: Array, features: Any) -> Array:
        """Return what is of some features."""
        return covariances[:, features]

    @one_blas_thread()
    def matrices(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Return the covariances as matrices, (K, d, d)."""
        loadings = covariances[..., :-1]
        found = np.asarray(loadings @ loadings.swapaxes(1, 2))
        np.einsum("kii->ki", found)[...] += covariances[..., -1]
        return found

    def divisor(self, weight: Array, total: float, n_features: int) -> Array | float:
        """Return what turns sums into means."""
        return weight[:, None, None]

    def seen(self, a: Array, b: Array, directions: Array) -> Array:
        """Return what the directions (K, q, d) see of a b' + b a', for vectors (K, d)."""
        of_a, of_b = (np.einsum("kqd,kd->kq", directions, each) for each in (a, b))
        found = np.empty((*a.shape, directions.shape[1] + 1))
        found[..., :-1] = a[..., None] * of_b[:, None] + b[..., None] * of_a[:, None]
        found[..., -1] = 2.0 * a * b
        return found

    # factors of precisions

    def factors(self, covariances: Array) -> Array:
        """Return D^-1/2 A, and D^-1/2 in the last column."""
        deviations = np.sqrt(positive(covariances[..., -1]))
        found = covariances / deviations[..., None]
        found[..., -1] = 1.0 / deviations
        _check_loadings(found)
        return found

    def inverted(self, precisions: Array) -> tuple[Array, Array]:
        """Return the covariances that have these precisions, and the factors."""
        factors = np.array(precisions)
        factors[..., -1] = np.sqrt(positive(precisions[..., -1]))
        _check_loadings(factors)
        covariances = factors / factors[..., -1:]
        covariances[..., -1] = 1.0 / precisions[..., -1]
        return covariances, factors

    def precisions(self, factors: Array) -> Array:
        """Return D^-1/2 A, and D^-1 in the last column."""
        found = np.array(factors)
        found[..., -1] **= 2
        return found

    def above(self, factors: Array) -> Array:
        """Return D^-1/2 A, (K, d q): what an extrapolation moves beside variances."""
        return factors[..., :-1].reshape(len(factors), -1)

    def add_above(self, factors: Array, entries: Array) -> None:
        """Add to these, in place."""
        factors[..., :-1] += entries.reshape(factors[..., :-1].shape)

    def metric_above(self, shares: Array, covariances: Array) -> Array:
        """Return what a unit of these weighs: factors have a variance of about 1."""
        n_each = covariances[0, :, :-1].size
        return np.repeat(np.sqrt(shares)[:, None], n_each, axis=1)

    @one_blas_thread()
    def draw(
        self, mean: Array, covariance: Array, count: int, random_state: np.random.RandomState
    ) -> Array:
        """Draw rows of one component."""
        n_features, n_factors = covariance[:, :-1].shape
        factors = random_state.standard_normal((count, n_factors)) @ covariance[:, :-1].T
        own = random_state.standard_normal((count, n_features)) * np.sqrt(covariance[:, -1])
        return np.asarray(mean + factors + own)

    # of other fits than these

    mean = wishart_rows = gamma_shapes = products = scatter = narrowed = _needs_a_matrix
    log_volume = halved = distances = misfit = entries = _needs_a_matrix
    row_products = natural = central = _needs_a_matrix


def called(word: str) -> Factored | None:
    """Return the structure of this word, if it is one of factor analysers."""
    number = word.removeprefix(PREFIX)
    return Factored(word) if word != number and number.isdecimal() and int(number) > 0 else None


def _check_loadings(factors: Array) -> None:
    """Refuse loadings that overflow beside the variances."""
    good = (np.abs(factors) < np.sqrt(LARGEST_FACTOR)).all(axis=(1, 2))
    if not good.all():
        raise DegenerateCovarianceError(int(np.argmin(good)))


@one_blas_thread()
def gains(factors: Array) -> tuple[Array, Array]:
    """Return the eigenvalues of A' D^-1 A (K, q), the largest first, and their axes."""
    scaled = factors[..., :-1]
    values, axes = np.linalg.eigh(scaled.swapaxes(1, 2) @ scaled)
    return np.maximum(values, 0.0)[:, ::-1], axes[..., ::-1]


@one_blas_thread()
def directions(factors: Array) -> tuple[Array, Array]:
    """Return what gives factors of rows, M^-1 A' D^-1 (K, q, d), and what is left of them, M^-1."""
    values, axes = gains(factors)
    inverse = (axes / (1.0 + values)[:, None]) @ axes.swapaxes(1, 2)
    inverse = 0.5 * (inverse + inverse.swapaxes(1, 2))
    scaled = factors[..., :-1] * factors[..., -1:]
    return inverse @ scaled.swapaxes(1, 2), inverse


@one_blas_thread()
def canonical(structure: Structure, covariances: Array) -> Array:
    """Return the same covariances with loadings of which A' D^-1 A is diagonal, falling.

    Of each factor the largest loading is positive. Rotations of factors change no density.
    """
    found = np.array(covariances)
    loadings = covariances[..., :-1] @ gains(structure.factors(covariances))[1]
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.take_along_axis(loadings, largest[:, None], axis=1)
    found[..., :-1] = np.where(signs < 0.0, -loadings, loadings)
    return found
