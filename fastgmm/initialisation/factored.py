"""The first loadings of factor analysers: what the rows of each component have in common.

A start of one variance per feature says which rows are whose. The correlations within each
component have their principal axes taken (Tipping and Bishop 1999), by repeated products with the
rows, so that no matrix of d x d is made.

Which start of variances leads on shows only with loadings: the default one does where clusters are
compact, but of 200 components of image patches, which differ in contrast, it left three quarters
with single rows. So short climbs from it and from random rows are judged by rows that are left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fastgmm import em, passes
from fastgmm.covariance import family as family_of
from fastgmm.covariance.factor_analysers import FactorAnalysers
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.short_runs import source_of
from fastgmm.initialisation.wide import labels_by
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

ROUNDS = 10  # of products with the rows
SPARE = 5  # directions that are followed beside those that are asked for
KINDS = ("auto", "random_from_data")
LEFT_OUT = 0.2  # of the sample, by which starts are judged
PASSES = 5  # of EM before: who is ahead then was ahead after 20, or 100
LEAST_ROWS = 10  # of the sample for each component: fewer judge nothing
OWN = 0.1  # of a feature's variance is its own at least: few rows say little of what is shared


def auto_start(
    sample: Sample, n_components: int, rule: em.Maximisation, rng: np.random.Generator
) -> Parameters:
    """Return the better of two starts of factor analysers.

    Parameters
    ----------
    sample : Sample
    n_components : int
    rule : Maximisation
        Of a family of factor analysers.
    rng : numpy.random.Generator

    Raises
    ------
    DegenerateCovarianceError
        If the default start of variances degenerates.
    """
    own, *others = KINDS
    found = [started(sample, own, n_components, rule, rng)]
    if n_components == 1 or len(sample.rows) < LEAST_ROWS * n_components:
        return found[0]
    for other in others:
        try:
            found.append(started(sample, other, n_components, rule, rng))
        except DegenerateCovarianceError:
            continue
    n_rows = len(sample.rows)
    is_left_out = rng.permutation(n_rows) < LEFT_OUT * n_rows  # never none
    climbed, left_out = _part(sample, ~is_left_out), _part(sample, is_left_out)
    scores = [_score(start, sample, climbed, left_out, rule) for start in found]
    return found[int(np.argmax(scores))]


def started(
    sample: Sample, method: str, n_components: int, rule: em.Maximisation, rng: np.random.Generator
) -> Parameters:
    """Return a start of factor analysers by one method of `init_params`."""
    start = start_from(sample, method, n_components, of_variances(rule), rng)
    assert isinstance(rule.family, FactorAnalysers)
    return with_loadings(start, sample, rule.family, rule.reg_covar, rng)


def of_variances(rule: em.Maximisation) -> em.Maximisation:
    """Return the rule of a start of variances alone."""
    return em.Maximisation(family_of("diag"), rule.reg_covar)


def _part(sample: Sample, its: npt.NDArray[np.bool_]) -> Sample:
    """Return some rows of a sample."""
    return sample._replace(rows=sample.rows[its], weights=sample.weights[its])


def _score(
    start: Parameters, sample: Sample, climbed: Sample, left_out: Sample, rule: em.Maximisation
) -> float:
    """Return how likely rows are that a short climb has not seen."""
    here = replace(start, means=start.means - sample.origin)
    source = source_of(climbed)
    (end,) = em.run(
        [em.State(rule, here)],
        lambda candidates: passes.statistics(source, candidates),
        em.Stopping(0.0, PASSES),
    )
    if end.failure is not None:
        return -np.inf
    # not by the kernels of scores, which a fit would have to compile for this alone
    (found,) = passes.statistics(source_of(left_out), [end.parameters])
    return found.mean_log_likelihood


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
