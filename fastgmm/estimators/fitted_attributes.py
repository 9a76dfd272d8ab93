"""The attributes of a fitted mixture that end in an underscore, and the Parameters they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastgmm import em
from fastgmm.covariance import family
from fastgmm.errors import DataError
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters

ARRAYS = ("weights", "means", "covariances", "precisions_cholesky")
FITTED = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "converged_",
    "n_iter_",
    "lower_bound_",
    "lower_bounds_",
    "log_prior_",
    "prior_strength_",
    "prior_covariance_",
    "n_rows_",
    "row_weight_",
    "read_as_",
    "n_features_in_",
    "feature_names_in_",
    "_first_rows",  # of partial_fit
)


def attributes_of(
    parameters: Parameters, dtype: np.dtype[Any], names: tuple[str, ...] | None
) -> dict[str, Any]:
    """Return what describes a mixture, in arrays of this dtype that are the user's own."""
    with np.errstate(over="ignore"):  # refused below
        kept = {name: getattr(parameters, name).astype(dtype) for name in ARRAYS}
    attributes: dict[str, Any] = {f"{name}_": array for name, array in kept.items()}
    # of the factors as they are kept, so that a saved model comes back with the same bits
    rounded = Parameters(parameters.structure, **kept)
    with np.errstate(over="ignore"):
        attributes["precisions_"] = rounded.precisions.astype(dtype)
    _refuse_overflow(attributes, dtype)
    attributes["n_features_in_"] = parameters.n_features
    if names is not None:
        attributes["feature_names_in_"] = np.asarray(names, dtype=object)
    return attributes


def _refuse_overflow(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> None:
    """Refuse a mixture whose numbers single precision cannot hold."""
    for name, array in attributes.items():
        if not np.all(np.isfinite(array)):
            raise DataError(
                f"{name} of the fitted mixture would hold numbers past the range of {dtype}; give "
                "the rows as float64, scale them, or increase reg_covar"
            )


def history_of(
    state: em.State | None,
    n_rows: int,
    row_weight: float | None = None,
    read_as: str | None = None,
) -> dict[str, Any]:
    """Return what describes a fit: where EM stopped, and the way there."""
    trace = [] if state is None else list(state.trace)
    prior = None if state is None else state.rule.prior
    return {
        "converged_": state is not None and state.outcome is em.Outcome.CONVERGED,
        "n_iter_": len(trace),
        "lower_bound_": trace[-1] if trace else -math.inf,
        "lower_bounds_": trace,
        "log_prior_": 0.0 if state is None else state.log_prior,
        "prior_strength_": 0.0 if prior is None else float(prior.rows),
        "prior_covariance_": None if prior is None else np.array(prior.covariance),
        "n_rows_": n_rows,
        "row_weight_": float(n_rows if row_weight is None else row_weight),
        "read_as_": read_as,
    }


def is_fitted(attributes: Mapping[str, Any]) -> bool:
    """Whether the attributes make a mixture; scikit-learn's users set these by hand, too."""
    factors = "precisions_cholesky_" in attributes or "covariances_" in attributes
    return factors and "weights_" in attributes and "means_" in attributes


def parameters_of(attributes: Mapping[str, Any], covariance_type: str) -> Parameters:
    """Return the parameters that the public attributes stand for.

    Either of `covariances_` and `precisions_cholesky_` may be missing. Shapes are checked, since
    compiled loops would read past the end of an array that is too short.
    """
    structure = family(covariance_type).structure
    means = np.asarray(attributes["means_"], dtype=np.float64)
    if means.ndim != 2:
        raise ValueError(f"the attribute 'means_' should have two dimensions, but has {means.ndim}")
    weights = _attribute(attributes, "weights_", (len(means),))
    shape = structure.shape(*means.shape)
    if "precisions_cholesky_" not in attributes:
        covariances = _attribute(attributes, "covariances_", shape)
        return Parameters.from_covariances(structure, weights, means, covariances)
    factors = _attribute(attributes, "precisions_cholesky_", shape)
    if "covariances_" not in attributes:
        precisions = Parameters(structure, weights, means, factors, factors).precisions
        return Parameters.from_precisions(structure, weights, means, precisions)
    covariances = _attribute(attributes, "covariances_", shape)
    return Parameters(structure, weights, means, covariances, factors)


def _attribute(attributes: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    array = np.asarray(attributes[name], dtype=np.float64)
    if array.shape != shape:
        raise ValueError(
            f"the attribute {name!r} should have the shape of {shape}, but has {array.shape}"
        )
    return array
