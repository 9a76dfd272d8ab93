"""Rows drawn from a mixture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastgmm.mixture.arrays import Array
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.parameters import Parameters


def sample(
    parameters: Parameters, n_samples: int, random_state: np.random.RandomState
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Draw rows from a mixture, in the order of their components.

    Parameters
    ----------
    parameters : Parameters
    n_samples : int
        Number of rows, at least 1.
    random_state : numpy.random.RandomState
        Asked in scikit-learn's order, so that both give the same rows.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features)
    labels : ndarray of shape (n_samples,)
        The component of each row.

    Raises
    ------
    MemoryError
        If the rows do not fit in memory; nothing is asked of `random_state` if that shows at once.
    """
    n_features = parameters.n_features
    try:
        np.empty((n_samples, n_features))  # the whole: a part of it might fit, and be drawn in vain
        return _sample(parameters, n_samples, random_state)
    except MemoryError as error:
        raise MemoryError(
            f"n_samples is {n_samples}, and so many rows of {n_features} feature(s) with their "
            f"labels take {8 * n_samples * (n_features + 1):,} bytes; draw them in pieces, each "
            "with a seed of its own or all with one RandomState, and write each to a file"
        ) from error


def _sample(
    parameters: Parameters, n_samples: int, random_state: np.random.RandomState
) -> tuple[Array, npt.NDArray[np.int64]]:
    # weights that were rounded to float32 may sum to more than multinomial() takes
    weights = parameters.alone.weights / max(1.0, parameters.alone.weights.sum())
    counts = random_state.multinomial(n_samples, weights)
    rows = np.vstack([_draw(parameters, k, count, random_state) for k, count in enumerate(counts)])
    return rows, np.repeat(np.arange(parameters.n_components, dtype=np.int64), counts)


def _draw(parameters: Parameters, k: int, count: int, random_state: np.random.RandomState) -> Array:
    covariance = parameters.covariances[parameters.structure.places(k)]
    rows = parameters.structure.draw(parameters.means[k], covariance, count, random_state)
    if not isinstance(parameters, Tailed) or parameters.is_normal[k]:
        return rows
    degrees = parameters.degrees_of_freedom[k]
    far = np.sqrt(degrees / random_state.chisquare(degrees, count))
    return np.asarray(parameters.means[k] + (rows - parameters.means[k]) * far[:, None])
