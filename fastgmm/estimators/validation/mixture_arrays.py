"""Checks of given weights, means, precisions and covariances."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array

from fastgmm.covariance import family, structure_of
from fastgmm.errors import DataError
from fastgmm.parallel.blas import one_blas_thread

Array = npt.NDArray[np.float64] | npt.NDArray[np.float32]


def checked_weights(values: npt.ArrayLike, n_components: int) -> Array:
    """Return the weights of the components: from 0 to 1, of sum 1."""
    weights = _of_shape(values, (n_components,), "weights")
    outside = (weights < 0.0) | (weights > 1.0)
    if outside.any():
        component = int(np.flatnonzero(outside)[0])
        # scikit-learn's own tests ask for these words with the two numbers the wrong way round;
        # the component makes good for it
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.min():.5f}, min value {weights.max():.5f} "
            f"(component {component} has {weights[component]:.5f})"
        )
    tolerance = 1e-6 if weights.dtype == np.float32 else 1e-8
    if abs(weights.sum(dtype=np.float64) - 1.0) > tolerance:
        raise ValueError(
            "The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{weights.sum():.5f}; divide them by their sum"
        )
    return weights


def checked_means(values: npt.ArrayLike, n_components: int, n_features: int) -> Array:
    """Return the means of the components."""
    return _of_shape(values, (n_components, n_features), "means")


def checked_matrices(
    values: npt.ArrayLike, what: str, covariance_type: str, n_components: int, n_features: int
) -> Array:
    """Return precisions or covariances, positive definite; `what` names them in an error."""
    structure = structure_of(covariance_type)
    matrices = _of_shape(values, structure.shape(n_components, n_features), what)
    if structure.is_axis_parallel:
        rule = "positive"
        good = matrices > 0.0
    else:
        rule = "symmetric, positive-definite"
        symmetric = np.isclose(matrices, matrices.swapaxes(-1, -2)).all(axis=(-2, -1))
        with one_blas_thread():
            values = np.linalg.eigvalsh(matrices)
        good = np.atleast_1d(symmetric & (values > 0.0).all(axis=-1))
    if not good.all():
        of_one = f"; that of component {np.argwhere(~good)[0][0]} is not"
        raise ValueError(f"'{what}' should be {rule}{'' if structure.is_shared else of_one}")
    return matrices


def checked_mixture(
    weights: npt.ArrayLike, means: npt.ArrayLike, covariances: npt.ArrayLike, covariance_type: str
) -> tuple[Array, Array, Array]:
    """Return weights, means and covariances that make a mixture together."""
    kind = family(covariance_type)
    centres: Array = check_array(means, dtype=[np.float64, np.float32], input_name="means")
    matrices = checked_matrices(covariances, "covariances", covariance_type, *centres.shape)
    shares = checked_weights(weights, len(centres))
    if kind.constraint is not None:
        doubled = np.asarray(matrices, np.float64), np.asarray(shares, np.float64)
        nearest = kind.nearest(*doubled)
        if not np.allclose(nearest, matrices, rtol=1e-5 if matrices.dtype == np.float32 else 1e-9):
            raise ValueError(
                f"'covariances' should be those of a mixture of covariance_type={covariance_type!r}"
                f", with what these have in common; they are not"
            )
    return shares, centres, matrices


@contextmanager
def named(argument: str) -> Iterator[None]:
    """Say of which argument an error speaks: scikit-learn's words know only what it holds."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{argument}: {error}") from error


def refuse_zero(weights: Array) -> None:
    """Refuse to start a component at weight 0, which no pass could raise again."""
    empty = np.flatnonzero(weights == 0.0)
    if len(empty):
        raise ValueError(
            f"component {empty[0]} starts with weight 0 and would never get a row; give it a small "
            "weight, or leave it out"
        )


def _of_shape(values: npt.ArrayLike, shape: tuple[int, ...], what: str) -> Array:
    if np.ma.is_masked(values):
        raise DataError(f"{what} has masked values, which are not supported; fill them in")
    array: Array = check_array(
        values,
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        allow_nd=True,
        ensure_min_samples=0,
        ensure_min_features=0,
        input_name=what,
    )
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{what}' should have the shape of {shape}, but got {array.shape}"
        )
    return array
