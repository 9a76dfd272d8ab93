"""What `truncation` of `GaussianMixture` means: how much of a row passes may leave out."""

from __future__ import annotations

from typing import Any

from fastgmm.estimators.factored import family_of
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.truncated import Truncated

AUTO = "auto"
NATS = 1e-3  # what "auto" means, of a row's log-likelihood
NUMBERS = ("truncated_mass_",)  # that a model file keeps


def bound_of(estimator: Any) -> float | None:
    """Return the nats that passes may leave out of each row; None where they leave out nothing."""
    truncation = getattr(estimator, "truncation", None)  # an estimator that says nothing has none
    return None if truncation is None else NATS if truncation == AUTO else float(truncation)


def seen(estimator: Any, parameters: Parameters) -> Parameters:
    """Return a mixture as passes are to see it."""
    check(estimator)
    return bounded(parameters, bound_of(estimator))


def bounded(parameters: Parameters, bound: float | None) -> Parameters:
    """Return a mixture of which passes may leave out so much."""
    return parameters if bound is None else Truncated.of(parameters, bound)


def check(estimator: Any, has_labels: bool = False) -> None:
    """Refuse what does not go together with a truncation.

    Raises
    ------
    ValueError
        If components have no covariances of their own, values may be missing, or rows be noise or
        labelled.
    """
    if bound_of(estimator) is None:
        return
    said = f"truncation={estimator.truncation!r} is for passes over"
    kind = estimator.covariance_type
    structure = family_of(estimator).structure
    if not structure.is_axis_parallel and (structure.is_shared or not structure.has_matrices):
        raise ValueError(
            f"{said} variances along the features or a covariance matrix of each component, and "
            f"covariance_type={kind!r} has neither; choose another, or leave truncation out"
        )
    if estimator.missing == "em":
        raise ValueError(
            f"{said} complete rows, and missing='em' takes rows that lack values; leave one of the "
            "two out"
        )
    if estimator.noise is not False:
        raise ValueError(
            f"{said} rows of components alone, and noise={estimator.noise!r} is beside them; leave "
            "one of the two out"
        )
    if has_labels:
        raise ValueError(
            f"{said} rows without classes, and labels give some; leave one of the two out"
        )
