"""Where EM begins: at what the user gives, where the last fit ended, or at starts of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastgmm import em
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.estimators.fitted_attributes import parameters_of
from fastgmm.estimators.validation import inputs, mixture_arrays
from fastgmm.initialisation.methods import start_from
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array
from fastgmm.passes.subsample import Sample, feature_variances, sample_of
from fastgmm.sources import Source


class Given(NamedTuple):
    """What the user says of the start; None where nothing is said."""

    weights: Array | None
    means: Array | None
    precisions: Array | None

    @property
    def is_complete(self) -> bool:
        """Whether no start of our own is needed."""
        return not any(value is None for value in self)

    @property
    def is_nothing(self) -> bool:
        """Whether all of the start is our own."""
        return all(value is None for value in self)

    def alone(self, structure: str) -> Parameters:
        """Return the parameters that are given, all of them."""
        return Parameters.from_precisions(structure, *self)  # type: ignore[arg-type]

    def instead_of(self, start: Parameters) -> Parameters:
        """Return a start of our own with what is given in the place of its values."""
        weights = start.weights if self.weights is None else self.weights
        means = start.means if self.means is None else self.means
        if self.precisions is not None:
            return Parameters.from_precisions(start.structure, weights, means, self.precisions)
        return Parameters(
            start.structure, weights, means, start.covariances, start.precisions_cholesky
        )


def checked(estimator: Any, n_features: int) -> Given:
    """Return what `weights_init`, `means_init` and `precisions_init` say, checked."""
    n_components, kind = estimator.n_components, estimator.covariance_type
    weights, means = estimator.weights_init, estimator.means_init
    precisions = estimator.precisions_init
    if weights is not None:
        with mixture_arrays.named("weights_init"):
            weights = mixture_arrays.checked_weights(weights, n_components).astype(np.float64)
            mixture_arrays.refuse_zero(weights)
    if means is not None:
        with mixture_arrays.named("means_init"):
            means = mixture_arrays.checked_means(means, n_components, n_features).astype(np.float64)
    if precisions is not None:
        with mixture_arrays.named("precisions_init"):
            precisions = mixture_arrays.checked_matrices(
                precisions, f"{kind} precision", kind, n_components, n_features
            ).astype(np.float64)
    return Given(weights, means, precisions)


def fresh(
    estimator: Any,
    sample: Sample,
    rule: em.MaximumLikelihood,
    said: Given,
    rng: np.random.Generator,
) -> list[em.State]:
    """Return the states of `n_init` starts, found on one sample of the rows.

    A start whose covariance collapses is left out, unless all do. Where no pass will judge them,
    with `max_iter` 0, there is one.

    Raises
    ------
    DegenerateCovarianceError
        If every start collapses.
    """

    def start() -> em.State | DegenerateCovarianceError:
        try:
            own = start_from(
                sample,
                estimator.init_params,
                estimator.n_components,
                rule.family,
                rule.reg_covar,
                rng,
            )
        except DegenerateCovarianceError as failure:
            return failure
        return em.State(rule, said.instead_of(own))

    n_starts = estimator.n_init if estimator.max_iter > 0 else 1
    found = [start() for _ in range(n_starts)]
    states = [state for state in found if isinstance(state, em.State)]
    if not states:
        raise next(failure for failure in found if not isinstance(failure, em.State))
    return states


def sampled(estimator: Any, source: Source, seed: int, marked: bool) -> Sample:
    """Draw the sample that starts are found on, of no fewer rows than components."""
    sample = sample_of(source, seed, marked)
    if source.n_rows is not None:  # known of every source that has been walked to its end
        inputs.check_count(source.n_rows, estimator.n_components)
    return sample


def regularisation(reg_covar: float, is_relative: bool, sample: Sample | None) -> float | Array:
    """Return what is added to every variance, or to that of each feature (d,).

    Relative to the variances of a sample, so that no pass is needed for them. A feature of one
    value has no scale, and is given `reg_covar` itself.
    """
    if sample is None or not is_relative:
        return float(reg_covar)
    variances = feature_variances(sample)
    return reg_covar * np.where(variances > 0.0, variances, 1.0)


def settings(estimator: Any, from_last: bool) -> dict[str, Any]:
    """Return what a fit follows from, beside the rows: arguments, and where the last one ended."""
    arguments = estimator.get_params(deep=False)
    if not from_last:
        return arguments | {"the start": "of its own"}
    ended = [np.ravel(getattr(estimator, name)) for name in ("weights_", "means_", "covariances_")]
    return arguments | {"the start": np.concatenate(ended)}


def resumed(
    attributes: Mapping[str, Any], estimator: Any, rule: em.MaximumLikelihood, n_features: int
) -> em.State:
    """Return the state in which the last fit ended.

    Raises
    ------
    ValueError
        If that fit was of another number of components or features, or another covariance type.
    """
    shape = (estimator.n_components, n_features)
    before = attributes["means_"].shape
    if before != shape:
        raise ValueError(
            f"warm_start cannot go from {before[0]} components of {before[1]} features to "
            f"{shape[0]} components of {shape[1]} features; fit with warm_start=False"
        )
    try:
        parameters = parameters_of(attributes, estimator.covariance_type)
    except ValueError as error:
        raise ValueError(
            f"warm_start cannot go on with covariance_type={estimator.covariance_type!r}: {error}; "
            "fit with warm_start=False"
        ) from error
    return em.State(rule, parameters, previous_objective=float(attributes["lower_bound_"]))
