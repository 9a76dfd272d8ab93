"""Probabilistic principal components: some axes of their own variance, one for all others.

Tipping and Bishop (1999): of a component's covariance the first eigenvalues stay as they are, and
the others become their mean. The sums are those of full covariances.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fastgmm.covariance.family import Constraint, Family, turned
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.structure import FULL
from fastgmm.parallel.blas import one_blas_thread

WORD = "ppca"


def ppca(n_factors: int) -> Family:
    """Return the family of so many axes."""
    maximise, count = partial(_levelled, n_factors), partial(_count, n_factors)
    constraint = Constraint(maximise, count, is_of_each=True)
    return Family(f"{WORD}-{n_factors}", WORD, FULL, constraint)


def _count(n_factors: int, n_components: int, n_features: int) -> int:
    """Count loadings, but for a rotation of the axes, and one variance for each component."""
    n_rotations = n_factors * (n_factors - 1) // 2
    return n_components * (n_features * n_factors - n_rotations + 1)


@one_blas_thread()
def _levelled(n_factors: int, covariances: Array, weights: Array) -> Array:
    variances, axes = np.linalg.eigh(covariances)
    variances[:, :-n_factors] = variances[:, :-n_factors].mean(axis=1, keepdims=True)
    return turned(variances, axes)


@one_blas_thread()
def loadings_of(covariances: Array, n_factors: int) -> tuple[Array, Array]:
    """Return loadings (K, d, q), the longest first, and the variances of the other axes (K,).

    Of each factor the largest loading is positive.
    """
    variances, axes = np.linalg.eigh(covariances)
    own = variances[:, :-n_factors].mean(axis=1)
    along = np.maximum(variances[:, -n_factors:] - own[:, None], 0.0)
    loadings = (axes[..., -n_factors:] * np.sqrt(along)[:, None])[..., ::-1]
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.take_along_axis(loadings, largest[:, None], axis=1)
    return np.where(signs < 0.0, -loadings, loadings), own
