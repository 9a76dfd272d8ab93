"""Allowed values of constructor parameters, with checks that scikit-learn does not make."""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from operator import index
from typing import Any

import numpy as np
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

from fastgmm import em
from fastgmm.covariance import FAMILIES, WITH_FACTORS
from fastgmm.em.acceleration import ACCELERATIONS
from fastgmm.errors import suggestion
from fastgmm.estimators.priors import AUTO, ConjugatePrior
from fastgmm.initialisation.methods import METHODS
from fastgmm.mixture import heavy_tails

LARGEST_REG_COVAR = 1e290  # the square of sources.checks.LARGEST: a larger variance overflows


NORMAL_ALONE = (
    "n_factors",
    "fixed",
    "noise",
    "components_per_class",
    "missing",
    "truncation",
)  # parameters of GaussianMixture that StudentTMixture does not have

Constraints = dict[str, list[Any]]

EM: Constraints = {  # shared by all estimators
    "tol": [Interval(Real, 0.0, None, closed="left")],
    "stopping": [StrOptions(set(em.STOPPING_RULES))],
    "reg_covar": [Interval(Real, 0.0, None, closed="left")],
    "reg_covar_relative": ["boolean"],
    "prior": [Interval(Real, 0.0, None, closed="left"), StrOptions({AUTO}), ConjugatePrior, None],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "missing": [StrOptions({"error", "em"})],
    "random_state": ["random_state", np.random.Generator, np.random.SeedSequence],
}
GAUSSIAN_MIXTURE: Constraints = EM | {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "covariance_type": [StrOptions(FAMILIES.keys()), StrOptions(set(WITH_FACTORS))],
    "n_factors": [Interval(Integral, 1, None, closed="left"), None],
    "acceleration": [StrOptions(set(ACCELERATIONS)), None],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "init_params": [StrOptions({"auto", "random", *METHODS})],
    "weights_init": ["array-like", None],
    "means_init": ["array-like", None],
    "precisions_init": ["array-like", None],
    "responsibilities_init": [object],
    "components_per_class": [Interval(Integral, 1, None, closed="left")],
    "fixed": [Mapping, None],
    "noise": ["boolean", Interval(Real, 0.0, None, closed="neither")],
    "warm_start": ["boolean"],
    "step_power": [Interval(Real, 0.5, 1.0, closed="right")],
    "truncation": [Interval(Real, 0.0, 1.0, closed="right"), StrOptions({AUTO}), None],
    "verbose": ["verbose"],
    "verbose_interval": [Interval(Integral, 1, None, closed="left")],
}
STUDENT_T_MIXTURE: Constraints = {
    name: allowed for name, allowed in GAUSSIAN_MIXTURE.items() if name not in NORMAL_ALONE
} | {
    "covariance_type": [StrOptions(FAMILIES.keys())],
    "degrees_of_freedom": [
        Interval(Real, heavy_tails.LEAST, None, closed="left"),
        Options(Real, {np.inf}),
        StrOptions({em.SHARED, em.EACH}),
    ],
}
# of whose covariances a prior and the posterior are of one kind
CONJUGATE = [
    name
    for name, each in FAMILIES.items()
    if each.constraint is None or each.name in ("EII", "EEI")  # whose precision all share
]
POSITIVE: list[Any] = [Interval(Real, 0.0, None, closed="neither"), None]
OF_LIKELIHOOD = (
    "n_factors",
    "prior",
    "weights_init",
    "means_init",
    "precisions_init",
    "responsibilities_init",
    "components_per_class",
    "fixed",
    "noise",
    "truncation",
)
BAYESIAN_GAUSSIAN_MIXTURE: Constraints = {
    name: allowed for name, allowed in GAUSSIAN_MIXTURE.items() if name not in OF_LIKELIHOOD
} | {
    "covariance_type": [StrOptions(set(CONJUGATE))],
    "weight_concentration_prior_type": [
        StrOptions({"dirichlet_process", "dirichlet_distribution"})
    ],
    "weight_concentration_prior": POSITIVE,
    "mean_precision_prior": POSITIVE,
    "mean_prior": ["array-like", None],
    "degrees_of_freedom_prior": POSITIVE,
    "covariance_prior": ["array-like", *POSITIVE],
}
AUTO_GAUSSIAN_MIXTURE: Constraints = EM | {
    "n_components": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "covariance_type": [str, "array-like"],
    "criterion": [str],
}


PLAIN = (int, float, str, bool, type(None))  # what is equal is valid alike, and stays as it is


def check_all(estimator: type, settings: Mapping[str, Any]) -> None:
    """Check settings by the constraints of an estimator: ours, then scikit-learn's."""
    for setting, value in settings.items():
        if type(value) in PLAIN:
            _check_once(estimator, setting, value)
        else:
            _check(estimator, setting, value)


def _check(estimator: Any, setting: str, value: Any) -> None:
    name, constraints = estimator.__name__, estimator._parameter_constraints
    check(name, {setting: value}, constraints)
    validate_parameter_constraints(constraints, {setting: value}, caller_name=name)


# all settings of a fit took 60 of its 1400 microseconds
_check_once = functools.lru_cache(maxsize=1024, typed=True)(_check)


def check(name: str, settings: Mapping[str, Any], constraints: Mapping[str, Any]) -> None:
    """Reject misspelt options, suggesting the nearest, and booleans given as numbers.

    Runs before scikit-learn's check of ranges, which takes True for the number 1.
    """
    for setting, value in settings.items():
        kinds = constraints.get(setting, ())
        is_count = any(map(_is_count, kinds)) and "boolean" not in kinds
        if isinstance(value, bool | np.bool_) and is_count:
            raise InvalidParameterError(
                f"The {setting!r} parameter of {name} must be a number. Got {value!r} instead."
            )
        words = [kind for kind in kinds if isinstance(kind, StrOptions)]
        if isinstance(value, str) and words:
            _check_word(name, setting, value, {word for each in words for word in each.options})
    if (reg_covar := settings.get("reg_covar")) and _is_past(reg_covar, LARGEST_REG_COVAR):
        raise InvalidParameterError(
            f"The 'reg_covar' parameter of {name} must be at most {LARGEST_REG_COVAR:g}, which no "
            f"variance of the rows exceeds. Got {reg_covar!r} instead."
        )


def _is_count(kind: object) -> bool:
    return isinstance(kind, Interval)


def _is_past(value: object, most: float) -> bool:
    return isinstance(value, float | int) and most < value < np.inf


def _check_word(name: str, setting: str, value: str, options: Collection[str]) -> None:
    """Reject a string that is not an option; suggest the nearest."""
    if value in options:
        return
    if setting == "covariance_type" and value in FAMILIES:
        raise InvalidParameterError(no_conjugate(f"The {setting!r} parameter of {name}", value))
    known = ", ".join(map(repr, sorted(options)))
    raise InvalidParameterError(
        f"The {setting!r} parameter of {name} must be a str among {{{known}}}. "
        f"Got {value!r} instead{suggestion(value, options)}."
    )


def no_conjugate(which: str, value: str) -> str:
    """Say that a family is none for variational Bayes, and which are."""
    return (
        f"{which} is {value!r}, which has no conjugate prior; those that have are "
        f"{', '.join(map(repr, CONJUGATE))}."
    )


def checked_count(name: str, value: Any, n_features: int) -> int:
    """Return a number of rows to draw as an int, or say what it has to be."""
    is_whole = hasattr(value, "__index__") and not isinstance(value, bool)
    try:
        count = index(value) if is_whole else None
    except TypeError:  # of an array that is no single number
        count = None
    if count is None:
        raise InvalidParameterError(
            f"Invalid value for {name!r}: {value!r}. It is the number of rows to draw, a whole "
            "number from 1 on."
        )
    if count < 1:
        raise ValueError(
            f"Invalid value for {name!r}: {count}. The sampling requires at least one sample."
        )
    most = sys.maxsize // (8 * n_features)
    if count > most:
        raise InvalidParameterError(
            f"Invalid value for {name!r}: {count}. It is the number of rows to draw, a whole "
            f"number from 1 on, and no array holds more than {most} rows of {n_features} "
            "feature(s); draw fewer at a time."
        )
    return count
