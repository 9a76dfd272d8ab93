"""The attributes of a fitted mixture that end in an underscore, and the Parameters they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastgmm import em
from fastgmm.covariance import structure_of
from fastgmm.errors import DataError
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.factored import PREFIX, Factored, canonical
from fastgmm.mixture.heavy_tails import Tailed, covariances_of
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Hyperparameters, Posterior, held

POSTERIOR = ("weight_concentration_", "mean_precision_", "degrees_of_freedom_")
HELD = 0.5  # rows, from which on a component is active
ARRAYS = ("weights", "means", "covariances", "precisions_cholesky")
FITTED = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "components_",
    "noise_variance_",
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
    "classes_",
    "_first_rows",  # of partial_fit
)


def attributes_of(
    parameters: Parameters, dtype: np.dtype[Any], names: tuple[str, ...] | None
) -> dict[str, Any]:
    """Return what describes a mixture, in arrays of this dtype that are the user's own."""
    if isinstance(parameters.structure, Factored):
        return _named(attributes_of_factors(parameters, dtype), parameters, names)
    with np.errstate(over="ignore"):  # refused below
        kept = {name: getattr(parameters, name).astype(dtype) for name in ARRAYS}
    attributes: dict[str, Any] = {f"{name}_": array for name, array in kept.items()}
    # of the factors as they are kept, so that a saved model comes back with the same bits
    rounded = Parameters(parameters.structure, **kept)
    with np.errstate(over="ignore"):
        attributes["precisions_"] = rounded.precisions.astype(dtype)
    _refuse_overflow(attributes, dtype)
    if isinstance(parameters, Tailed):
        found = attributes_of_tails(rounded, parameters.degrees_of_freedom)
        attributes |= found | {
            name: found[name].astype(dtype) for name in ("scales_", "covariances_")
        }
    if isinstance(parameters, WithNoise):
        attributes["noise_weight_"] = parameters.noise_weight
        attributes["noise_log_volume_"] = parameters.log_volume
        with np.errstate(over="ignore"):
            attributes["noise_volume_"] = float(np.exp(parameters.log_volume))
    return _named(attributes, parameters, names)


def _named(
    attributes: dict[str, Any], parameters: Parameters, names: tuple[str, ...] | None
) -> dict[str, Any]:
    """Add what describes the features."""
    attributes["n_features_in_"] = parameters.n_features
    if names is not None:
        attributes["feature_names_in_"] = np.asarray(names, dtype=object)
    return attributes


def attributes_of_factors(parameters: Parameters, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what describes factor analysers: loadings and variances, and no matrices."""
    found = canonical(parameters.structure, parameters.covariances)
    with np.errstate(over="ignore"):  # refused below
        attributes: dict[str, Any] = {
            "weights_": parameters.weights.astype(dtype),
            "means_": parameters.means.astype(dtype),
            "components_": found[..., :-1].swapaxes(1, 2).astype(dtype, order="C"),
            "noise_variance_": found[..., -1].astype(dtype),
        }
    _refuse_overflow(attributes, dtype)
    return attributes


def attributes_of_tails(mixture: Parameters, degrees_of_freedom: Array) -> dict[str, Any]:
    """Return what describes t-distributions besides: their scales, and what these are not."""
    return {
        "scales_": np.array(mixture.covariances),
        "degrees_of_freedom_": np.array(degrees_of_freedom, np.float64),
        "covariances_": covariances_of(mixture, degrees_of_freedom),
    }


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
    known = "precisions_cholesky_", "covariances_", "components_"
    factors = any(name in attributes for name in known)
    return factors and "weights_" in attributes and "means_" in attributes


def parameters_of(attributes: Mapping[str, Any], covariance_type: str) -> Parameters:
    """Return the parameters that the public attributes stand for.

    Either of `covariances_` and `precisions_cholesky_` may be missing. Shapes are checked, since
    compiled loops would read past the end of an array that is too short.
    """
    if "scales_" in attributes:
        normal = {name: value for name, value in attributes.items() if name != "scales_"}
        mixture = parameters_of(normal | {"covariances_": attributes["scales_"]}, covariance_type)
        degrees = _attribute(attributes, "degrees_of_freedom_", (mixture.n_components,))
        return Tailed.of(mixture, degrees)
    if "noise_weight_" in attributes:
        normal = {name: value for name, value in attributes.items() if name != "noise_weight_"}
        mixture = parameters_of(normal, covariance_type)
        noise = float(attributes["noise_weight_"]), float(attributes["noise_log_volume_"])
        return WithNoise.beside(mixture, *noise)
    if "components_" in attributes:
        return _factored(attributes)
    structure = structure_of(covariance_type)
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


def _factored(attributes: Mapping[str, Any]) -> Parameters:
    """Return the factor analysers that the public attributes stand for."""
    components = np.asarray(attributes["components_"], dtype=np.float64)
    if components.ndim != 3 or not components.shape[1]:
        raise ValueError(
            "the attribute 'components_' should have three dimensions, of components, factors and "
            f"features, but its shape is {components.shape}"
        )
    n_components, n_factors, n_features = components.shape
    weights = _attribute(attributes, "weights_", (n_components,))
    means = _attribute(attributes, "means_", (n_components, n_features))
    own = _attribute(attributes, "noise_variance_", (n_components, n_features))
    covariances = np.concatenate([components.swapaxes(1, 2), own[..., None]], axis=2)
    return Parameters.from_covariances(f"{PREFIX}{n_factors}", weights, means, covariances)


def _attribute(attributes: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    array = np.asarray(attributes[name], dtype=np.float64)
    if array.shape != shape:
        raise ValueError(
            f"the attribute {name!r} should have the shape of {shape}, but has {array.shape}"
        )
    return array


def held_by(attributes: Mapping[str, Any]) -> Array:
    """Return the weight of the rows that each component holds, (K,)."""
    concentration = attributes["weight_concentration_"]
    is_process = np.ndim(concentration) == 2
    before = 1.0 if is_process else attributes["weight_concentration_prior_"]
    return held(
        (before, concentration[0] if is_process else concentration),
        (attributes["mean_precision_prior_"], attributes["mean_precision_"]),
    )


def attributes_of_posterior(
    found: Posterior, before: Hyperparameters, n_rows: int, row_weight: float
) -> dict[str, Any]:
    """Return what a posterior has beside a mixture, and the prior, as scikit-learn names it."""
    covariance, degrees = np.array(before.covariance), np.array(found.degrees_of_freedom)
    attributes: dict[str, Any] = {
        "weight_concentration_": np.array(found.weight_concentration),
        "mean_precision_": np.array(found.mean_precision),
        "degrees_of_freedom_": degrees if degrees.ndim else float(degrees),
        "weight_concentration_prior_": before.concentration,
        "mean_precision_prior_": before.mean_precision,
        "mean_prior_": np.array(before.mean),
        "degrees_of_freedom_prior_": before.degrees_of_freedom,
        "covariance_prior_": covariance if covariance.ndim else float(covariance),
    }
    active = before.weight(found) >= HELD * row_weight / n_rows
    return attributes | {"n_active_": int(active.sum())}


def posterior_of(
    attributes: Mapping[str, Any], covariance_type: str, reg_covar: float | Array = 0.0
) -> Posterior:
    """Return the posterior that the public attributes stand for."""
    mixture = parameters_of(attributes, covariance_type)
    each = (mixture.n_components,)
    concentration = _positive(attributes, "weight_concentration_", (2, *each), each)
    precision = _positive(attributes, "mean_precision_", each)
    shape = () if mixture.structure.is_shared else each
    degrees = _positive(attributes, "degrees_of_freedom_", shape)
    return Posterior(
        mixture.structure,
        mixture.weights,
        mixture.means,
        mixture.covariances,
        mixture.precisions_cholesky,
        concentration,
        precision,
        degrees,
        reg_covar,
    )


def _positive(attributes: Mapping[str, Any], name: str, *shapes: tuple[int, ...]) -> Array:
    """Return an attribute of one of these shapes."""
    array = np.asarray(attributes[name], dtype=np.float64)
    if array.shape not in shapes or not np.all((array > 0.0) & np.isfinite(array)):
        raise ValueError(
            f"the attribute {name!r} should be positive numbers in the shape of "
            f"{' or '.join(map(str, shapes))}, but is {array!r}"
        )
    return array
