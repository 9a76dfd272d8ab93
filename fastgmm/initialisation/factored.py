"""The first loadings of factor analysers: what the rows of each component have in common.

A start of one variance per feature says which rows are whose. The correlations within each
component have their principal axes taken (Tipping and Bishop 1999), by repeated products with the
rows, so that no matrix of d x d is made.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastgmm.covariance.factor_analysers import FactorAnalysers
from fastgmm.initialisation.wide import labels_by
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

ROUNDS = 10  # of products with the rows
SPARE = 5  # directions that are followed beside those that are asked for
OWN = 0.1  # of a feature's variance is its own at least: few rows say little of what is shared


@one_blas_thread()
def with_loadings(
    start: Parameters,
    sample: Sample,
    family: FactorAnalysers,
    reg_covar: float | Array,
    rng: np.random.Generator,
) -> Parameters:
    """Return a start of factor analysers from one of variances, on the rows that it was found on.

    Parameters
    ----------
    start : Parameters
        Of the diagonal structure.
    sample : Sample
    family : FactorAnalysers
    reg_covar : float or ndarray of shape (d,)
        The least variance of each feature that is its own.
    rng : numpy.random.Generator
    """
    here = replace(start, means=start.means - sample.origin)
    labels = labels_by(here, sample.rows)
    n_features, n_factors = start.n_features, family.structure.shape(1, 1)[-1] - 1
    directions = rng.standard_normal((n_features, min(n_factors + SPARE, n_features)))
    covariances = np.zeros((start.n_components, n_features, n_factors + 1))
    covariances[..., -1] = start.variances
    order, counts = (
        np.argsort(labels, kind="stable"),
        np.bincount(labels, minlength=start.n_components),
    )
    for k, its in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        if len(its) > 2 * n_factors:
            weights = sample.weights[its] / sample.weights[its].sum()
            deviations = np.sqrt(start.variances[k])
            scaled = (sample.rows[its] - weights @ sample.rows[its]) / deviations
            found = _loadings(scaled * np.sqrt(weights)[:, None], directions, n_factors)
            covariances[k, :, :-1] = found * deviations[:, None]
            covariances[k, :, -1] *= np.maximum(1.0 - (found**2).sum(axis=1), OWN)
    covariances[..., -1] = np.maximum(covariances[..., -1], reg_covar)
    return Parameters.from_covariances(family.structure, start.weights, start.means, covariances)


@one_blas_thread()
def _loadings(rows: Array, axes: Array, n_factors: int) -> Array:
    """Return the loadings of the principal axes of rows, whose variances are about 1.

    The variance along an axis, less the mean of those along all other axes, is that of its factor.
    """
    for _ in range(ROUNDS):
        axes, _ = np.linalg.qr(rows.T @ (rows @ axes))
    along = rows @ axes
    variances, turn = np.linalg.eigh(along.T @ along)
    variances, axes = variances[::-1][:n_factors], axes @ turn[:, ::-1][:, :n_factors]
    own = max((rows**2).sum() - variances.sum(), 0.0) / max(rows.shape[1] - n_factors, 1)
    return np.asarray(axes * np.sqrt(np.maximum(variances - own, 0.0)))
