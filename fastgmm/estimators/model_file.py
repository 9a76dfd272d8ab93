"""A fitted mixture as a file of numbers with a header, and back."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from fastgmm.covariance import structure_of
from fastgmm.errors import ModelFileError
from fastgmm.estimators.fitted_attributes import attributes_of, history_of, parameters_of
from fastgmm.estimators.priors import ConjugatePrior
from fastgmm.estimators.validation import mixture_arrays
from fastgmm.estimators.validation.fixed import fixed_of, said
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.storage import archive
from fastgmm.version import __version__

MODEL = ("weights_", "means_", "covariances_", "precisions_cholesky_")
OF_FACTORS = ("weights_", "means_", "components_", "noise_variance_")
HISTORY = (
    "converged_",
    "n_iter_",
    "n_rows_",
    "row_weight_",
    "log_prior_",
    "prior_strength_",
    "read_as_",
    "n_active_",
)
BOUNDS = ("lower_bound_", "lower_bounds_")  # kept as arrays, since JSON has no infinity
INFINITE = "inf"  # as JSON has it
NOISE = ("noise_weight_", "noise_log_volume_")
Class = TypeVar("Class", bound=type)
CLASSES: dict[str, Any] = {}  # that are written, by the name that a file has for them
ARRAYS = (  # among the constructor's parameters
    "weights_init",
    "means_init",
    "precisions_init",
    "mean_prior",
    "covariance_prior",
)


def register(estimator: Class) -> Class:
    """Decorate a class of estimators whose models are written to files and read from them."""
    CLASSES[estimator.__name__] = estimator
    return estimator


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the public attributes and the constructor's parameters."""
    fitted = _complete(model)
    settings = model.get_params(deep=False)
    given = {name: settings.pop(name) for name in ARRAYS if np.ndim(settings.get(name)) > 0}
    if isinstance(settings.get("prior"), ConjugatePrior):
        settings["prior"] = settings["prior"].settings()
    if "responsibilities_init" in settings:  # as long as the rows
        settings["responsibilities_init"] = None
    if settings.get("fixed") is not None:
        settings["fixed"] = said(fixed_of(model))
    if not isinstance(settings["random_state"], Integral):
        settings["random_state"] = None
    header = {
        "class": next(e.__name__ for e in type(model).__mro__ if e in CLASSES.values()),
        "fastgmm": __version__,
        "settings": {name: _plain(value) for name, value in settings.items()},
        "history": {name: _plain(fitted[name]) for name in HISTORY if name in model._fitted_names},
        "feature_names": _names(fitted),
        "classes": _classes(model),
    }
    arrays = {name: fitted[name] for name in _kept(fitted)}
    if "scales_" in fitted:  # what covariances of t-distributions follow from
        arrays["covariances_"] = fitted["scales_"]
    numbers = (*BOUNDS, *(name for name in model._numbers if name in fitted))
    arrays |= {name: np.asarray(fitted[name], dtype=np.float64) for name in numbers}
    if fitted.get("prior_covariance_") is not None:
        arrays["prior_covariance_"] = np.asarray(fitted["prior_covariance_"])
    arrays |= {name: np.asarray(value) for name, value in given.items()}
    archive.write(path, header, arrays)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model that `GaussianMixture.save` has written.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    GaussianMixture
        It scores, samples and saves as the one that was saved, to the last bit.

    Raises
    ------
    ModelFileError
        If the file is truncated, altered, not one of ours, or no mixture.
    """
    header, arrays = archive.read(path)
    try:
        return _model(header, arrays)
    except KeyError as error:
        raise ModelFileError(f"{os.fspath(path)!r} holds no model: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{os.fspath(path)!r} holds no valid model: {error}") from error


def _complete(model: Any) -> dict[str, Any]:
    """Return all attributes that a file has room for, also of a model that was set by hand."""
    attributes = vars(model)
    parameters = parameters_of(attributes, model.covariance_type)
    dtype = np.asarray(attributes["means_"]).dtype
    dtype = dtype if dtype == np.float32 else np.dtype(np.float64)
    complete = attributes_of(parameters, dtype, names=None) | history_of(None, n_rows=0)
    complete["n_active_"] = parameters.n_components
    complete |= {
        name: np.asarray(value, dtype=dtype) if name in (*MODEL, *OF_FACTORS) else value
        for name, value in attributes.items()
    }
    return {name: value for name, value in complete.items() if name in model._fitted_names}


def _kept(arrays: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the arrays that are the mixture."""
    return OF_FACTORS if "components_" in arrays else MODEL


def _plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's, which JSON can hold."""
    value = value.item() if isinstance(value, np.generic) else value
    return INFINITE if isinstance(value, float) and math.isinf(value) else value


def _names(attributes: Mapping[str, Any]) -> list[str] | None:
    names = attributes.get("feature_names_in_")
    return None if names is None else [str(name) for name in names]


def _classes(model: Any) -> list[Any] | None:
    """Return the classes that rows were labelled with, if they were."""
    classes = vars(model).get("classes_")
    return None if classes is None else np.asarray(classes).tolist()


def _model(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
    if header["class"] not in CLASSES:
        known = ", ".join(map(repr, CLASSES))
        raise ValueError(f"its class is {header['class']!r}, and those that are read are {known}")
    settings = header["settings"] | {name: arrays[name] for name in ARRAYS if name in arrays}
    settings = {name: math.inf if _is_infinite(each) else each for name, each in settings.items()}
    if isinstance(settings.get("prior"), Mapping):
        settings["prior"] = ConjugatePrior(**settings["prior"])
    model = CLASSES[header["class"]](**settings)
    if "prior" not in settings and "prior" in model.get_params():  # from before there were priors
        model.set_params(prior=None)
    model._validate_params()
    _check_mixture(arrays, model.covariance_type, float(arrays.get("noise_weight_", 0.0)))
    needed = (*_kept(arrays), *(name for name in NOISE if name in arrays))
    attributes = {name: arrays[name] for name in needed}
    parameters = parameters_of(attributes, model.covariance_type)
    if "scales_" in model._fitted_names:
        parameters = Tailed.of(parameters, arrays["degrees_of_freedom_"])
    names = header["feature_names"]
    if names is not None and len(names) != parameters.n_features:
        raise ValueError(f"it names {len(names)} of {parameters.n_features} features")
    for name in names or ():
        if not isinstance(name, str):
            raise ValueError(f"it calls a feature {name!r}, which is no name")
    # a file from before these were kept, or before there were priors
    history = {"row_weight_": float(header["history"]["n_rows_"])}
    history |= {"log_prior_": 0.0, "prior_strength_": 0.0, "read_as_": None} | header["history"]
    attributes = (
        attributes_of(parameters, arrays["means_"].dtype, names)
        | {name: history[name] for name in HISTORY if name in model._fitted_names}
        | {"lower_bound_": float(arrays["lower_bound_"])}
        | {"lower_bounds_": arrays["lower_bounds_"].tolist()}
        | {"prior_covariance_": arrays.get("prior_covariance_")}
        | {name: _one_or_many(arrays[name]) for name in model._numbers if name in arrays}
    )
    if header.get("classes") is not None:
        attributes["classes_"] = _checked_classes(header["classes"], len(parameters.weights))
    model._publish({name: attributes[name] for name in attributes if name in model._fitted_names})
    model._parameters()  # refused if they do not belong together
    return model


def _is_infinite(value: Any) -> bool:
    return isinstance(value, str) and value == INFINITE


def _checked_classes(classes: Any, n_components: int) -> Any:
    """Return classes as an array, or refuse what are none."""
    kinds = {type(name) for name in classes}
    if len(kinds) != 1 or not kinds <= {int, str, bool} or len(classes) > n_components:
        raise ValueError(f"its classes are {classes!r}")
    return np.array(classes)


def _one_or_many(array: Any) -> Any:
    return float(array) if array.ndim == 0 else array


def _check_mixture(arrays: Mapping[str, Any], covariance_type: str, noise: float) -> None:
    """Refuse arrays that are no mixture.

    Definiteness is asked of the factors: a covariance that was rounded to single precision may
    have lost it, and is still good to look at.
    """
    for name in _kept(arrays):
        if not np.all(np.isfinite(arrays[name])):
            raise ValueError(f"{name!r} holds numbers that are not finite")
    shares = np.append(arrays["weights_"], noise).astype(arrays["weights_"].dtype)
    mixture_arrays.checked_weights(shares, len(arrays["means_"]) + 1)
    if "components_" in arrays:
        if not np.all(arrays["noise_variance_"] > 0.0):
            raise ValueError("a variance of the noise is not positive")
        return
    covariances, factors = arrays["covariances_"], arrays["precisions_cholesky_"]
    if structure_of(covariance_type).has_matrices:
        if not np.array_equal(covariances, covariances.swapaxes(-1, -2)):
            raise ValueError("a covariance is not symmetric")
        if np.tril(factors, -1).any():
            raise ValueError("a factor of the precisions is not triangular")
        covariances, factors = (np.diagonal(a, axis1=-2, axis2=-1) for a in (covariances, factors))
    if not (np.all(covariances > 0.0) and np.all(factors > 0.0)):
        raise ValueError("a covariance is not positive definite")
