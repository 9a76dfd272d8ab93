"""Checks of the priors of `BayesianGaussianMixture`, and their defaults from the rows."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from fastgmm import passes
from fastgmm.covariance import Family, family
from fastgmm.em.diagnostics import listed
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.mixture.arrays import LARGEST_FACTOR, Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Hyperparameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample, feature_variances
from fastgmm.sources import Source
from fastgmm.sources.checks import LARGEST

PROCESS, DISTRIBUTION = "dirichlet_process", "dirichlet_distribution"
LARGEST_PRIOR = 1e300  # so that as many as there are features and components are still a number
SINGULAR = 1e-6  # of a deviation, what the other features leave of it
# Deviations that a far mean may draw those of components away from their rows: products of rows
# about these means then keep 6 digits, and the bound, at whose highest they stand, 12.
DRAWN = 1e5


def check(estimator: Any, n_features: int) -> None:
    """Refuse priors that are none, before the rows are read.

    Raises
    ------
    ValueError
        Naming the argument, its value and the rule.
    """
    for name in (
        "weight_concentration_prior",
        "mean_precision_prior",
        "degrees_of_freedom_prior",
    ):
        given = getattr(estimator, name)
        if given is not None and given > LARGEST_PRIOR:
            raise ValueError(
                f"The parameter {name!r} should be at most {LARGEST_PRIOR:g}, but got {given:g}: "
                f"its products are no numbers. Give a smaller one; rows of a fit do not count "
                f"beside {LARGEST_PRIOR:g} others anyway."
            )
    given = estimator.degrees_of_freedom_prior
    if given is not None and given <= n_features - 1:
        raise ValueError(
            "The parameter 'degrees_of_freedom_prior' should be greater than "
            f"{n_features - 1}, but got {given:.3f}. With rows of {n_features} feature(s) a "
            "precision has no density else; leave it out for the number of features."
        )
    _given_mean(estimator, n_features)
    _given_covariance(estimator, family(estimator.covariance_type), n_features)


def of_all_rows(source: Source, sample: Sample, is_axis_parallel: bool) -> SufficientStatistics:
    """Return the statistics of all rows as one component's, by a pass."""
    variances = np.maximum(feature_variances(sample), np.finfo(np.float64).tiny ** 0.5)
    weights = sample.weights / sample.weights.sum()
    origin = sample.origin + np.einsum("i,ij->j", weights, sample.rows)
    covariances = variances if is_axis_parallel else np.diag(variances)
    structure = "diagonal" if is_axis_parallel else "full"
    one = Parameters.from_covariances(structure, [1.0], origin[None], covariances[None])
    (found,) = passes.statistics(source, [one])
    found.check_weight()
    return found


def hyperparameters(
    estimator: Any,
    everything: SufficientStatistics,
    reg_covar: float | Array,
    names: tuple[str, ...] | None,
) -> Hyperparameters:
    """Return the priors as given, and what is not given from the statistics of all rows as one.

    Raises
    ------
    DataError
        If the rows' own covariance is no prior, since features are constant or repeat others.
    ValueError
        If priors that are given are too small, too large or too far away for double precision.
    """
    known, n_features = family(estimator.covariance_type), everything.means.shape[1]
    mean, covariance = (
        _given_mean(estimator, n_features),
        _given_covariance(estimator, known, n_features),
    )
    if covariance is None:
        covariance = _covariance(known.structure, everything, reg_covar, names)
    concentration = estimator.weight_concentration_prior
    precision, degrees = estimator.mean_precision_prior, estimator.degrees_of_freedom_prior
    found = Hyperparameters(
        known.structure,
        1.0 / estimator.n_components if concentration is None else float(concentration),
        estimator.weight_concentration_prior_type == PROCESS,
        1.0 if precision is None else float(precision),
        everything.means[0] if mean is None else mean,
        float(n_features if degrees is None else degrees),
        covariance,
        known.constraint is not None,
    )
    _check_expected_covariance(estimator, found)
    if mean is not None and not known.structure.is_axis_parallel:
        _check_distance(estimator, found, everything, names)
    return found


def _check_expected_covariance(estimator: Any, known: Hyperparameters) -> None:
    structure, degrees = known.structure, known.degrees_of_freedom
    expected = np.asarray(known.covariance / degrees)
    try:
        structure.factors(expected if structure.is_shared else expected[None])
    except DegenerateCovarianceError:
        least = np.min(structure.diagonal(expected))
        raise ValueError(
            f"The parameter '{estimator.covariance_type} covariance_prior' over "
            f"degrees_of_freedom_prior={degrees:g} expects a variance of {least:g}; its inverse is "
            f"no number unless deviations lie between {1.0 / LARGEST_FACTOR:g} and "
            f"{LARGEST_FACTOR:g}: scale the features, or give both priors for their scale."
        ) from None


def _check_distance(
    estimator: Any,
    known: Hyperparameters,
    everything: SufficientStatistics,
    names: tuple[str, ...] | None,
) -> None:
    """Refuse a mean that draws those of components where their products lose all digits."""
    away = np.abs(known.mean - everything.means[0])
    scatter = everything.structure.diagonal(everything.central)[0]
    deviations = np.sqrt(np.maximum(scatter, 0.0) / everything.row_weight)
    away = np.divide(away, deviations, out=np.zeros_like(away), where=deviations > 0.0)
    rows = everything.row_weight / estimator.n_components
    drawn = away / (1.0 + rows / known.mean_precision)
    worst = int(np.argmax(drawn))
    if drawn[worst] > DRAWN:
        raise ValueError(
            f"The parameter 'mean_prior' lies {away[worst]:.2g} deviations of "
            f"{listed('feature', [worst], names)} from the mean of the rows, and counts as "
            f"mean_precision_prior={known.mean_precision:g} rows: it draws the means of components "
            f"of {rows:g} rows {drawn[worst]:.2g} deviations away, where squares lose their digits "
            f"({DRAWN:g} is the most); give a mean nearer to the rows, or a lower "
            "mean_precision_prior."
        )


def _given_mean(estimator: Any, n_features: int) -> Array | None:
    if estimator.mean_prior is None:
        return None
    mean = _numbers(estimator.mean_prior, "mean_prior")
    mean, largest = _shaped(mean, (n_features,), "mean_prior"), LARGEST[mean.dtype]
    worst = int(np.abs(mean).argmax())
    if np.abs(mean[worst]) > largest:
        raise ValueError(
            f"The parameter 'mean_prior' holds {mean[worst]:g} for feature {worst}; a fit squares "
            f"its numbers, which must lie within ±{largest:g}: scale the feature."
        )
    return mean


@one_blas_thread()
def _given_covariance(estimator: Any, known: Family, n_features: int) -> Array | None:
    if estimator.covariance_prior is None:
        return None
    covariance = _numbers(estimator.covariance_prior, "covariance_prior")
    structure, kind = known.structure, estimator.covariance_type
    shape = structure.shape(1, n_features)
    one = shape if structure.is_shared else shape[1:]
    covariance = _shaped(covariance, one, f"{kind} covariance_prior")
    is_matrix = covariance.ndim == 2
    variances = np.linalg.eigvalsh(covariance) if is_matrix else covariance
    rule = "symmetric, positive-definite" if is_matrix else "positive"
    if not np.allclose(covariance, covariance.T):
        i, j = np.unravel_index(np.abs(covariance - covariance.T).argmax(), covariance.shape)
        found = f"has {covariance[i, j]:g} and {covariance[j, i]:g} at ({i}, {j}) and ({j}, {i})"
    elif not np.all(variances > 0.0):
        found = f"has the least {'eigenvalue' if is_matrix else 'variance'} {variances.min():g}"
    else:
        return covariance
    raise ValueError(
        f"The parameter '{kind} covariance_prior' should be {rule}. It {found}; give summed "
        "squares of rows about their mean, or leave it out for the covariance of the rows."
    )


def _numbers(values: Any, name: str) -> Array:
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":
            raise TypeError
        found = given.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"The parameter {name!r} should hold real numbers, but is "
            f"{' '.join(reprlib.repr(values).split())}; leave it out for its default."
        ) from None
    if not np.all(np.isfinite(found)):
        what = "NaN" if np.isnan(found).any() else "infinity"
        raise ValueError(
            f"Input {name} contains {what}, and numbers of a prior have to be finite; leave it out "
            "for its default."
        )
    return found


def _shaped(array: Array, shape: tuple[int, ...], name: str) -> Array:
    if array.shape != shape:
        way = {0: "one number", 1: "one number for each feature", 2: "a matrix of all features"}
        raise ValueError(
            f"The parameter {name!r} should have the shape of {shape}, but got {array.shape}. "
            f"Give {way[len(shape)]}, or leave it out for its default."
        )
    return array


def _covariance(
    structure: Structure,
    everything: SufficientStatistics,
    reg_covar: float | Array,
    names: tuple[str, ...] | None,
) -> Array:
    """Return the covariance of all rows, as scikit-learn divides it: by one row less.

    One that is singular is no prior: then `reg_covar` is added to each variance.
    """
    scatter, weight = everything.central[0], everything.row_weight
    matrix = np.array(scatter if scatter.ndim == 2 else np.diag(scatter))
    matrix /= weight - 1.0 if weight > 1.0 else weight
    if not _is_sound(structure, matrix):
        matrix += np.diag(np.broadcast_to(reg_covar, len(matrix)))
        if not _is_sound(structure, matrix):
            worst = int(np.argmin(np.diag(matrix)))
            name = f"feature {worst}" if names is None else f"feature {names[worst]!r}"
            raise DataError(
                f"the covariance of the rows is singular ({name} has the least variance, "
                f"{matrix[worst, worst]:.3g}), so that it is no prior; drop features that are "
                "constant or repeat others, give covariance_prior, or increase reg_covar"
            )
    return np.array(structure.narrowed(matrix))


@one_blas_thread()
def _is_sound(structure: Structure, matrix: Array) -> bool:
    """Whether what the structure keeps of a covariance has a determinant."""
    variances = np.diag(matrix)
    if not structure.tells_features_apart:
        return bool(variances.mean() > 0.0)
    if not np.all(variances > 0.0):
        return False
    if structure.is_axis_parallel:
        return True
    deviations = np.sqrt(variances)
    try:
        pivots = np.linalg.cholesky(matrix / np.outer(deviations, deviations))
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(pivots).min() > SINGULAR)
