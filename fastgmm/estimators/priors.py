"""What a user says of a prior, and what that means for the rows of a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastgmm.covariance import Family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.prior_strength import STRENGTHS
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

AUTO = "auto"
FRALEY_RAFTERY_PRECISION = 0.01  # rows at the mean


@dataclass(frozen=True, eq=False)
class ConjugatePrior:
    """Conjugate prior of the weights, means and covariances of a mixture.

    Weights have a Dirichlet distribution, each covariance an inverse Wishart distribution, and each
    mean, given its covariance, a normal one. A component of n rows, mean m and summed squares W
    about it then has the covariance (S + W + p n / (p + n) (m - m0)(m - m0)') / (n + v + d + 2) of
    the posterior mode, with p the `mean_precision` and v the `degrees_of_freedom`; without a prior
    on means, p = 0, the divisor is n + v + d + 1. "diag" and "spherical" have inverse gamma
    distributions instead, with v + 2 and (v + 2) / d in the place of v + d + 1. Components of
    "tied" share one.

    Parameters
    ----------
    degrees_of_freedom : float, optional
        Of each covariance; above n_features - 1. Default: n_features + 2.
    scale : array-like, optional
        Scale matrix S, (n_features, n_features); its diagonal (n_features,) for "diag", one number
        for "spherical". Default: that of Fraley and Raftery, the covariance of all rows divided by
        n_components ** (2 / n_features); for "diag" and "spherical" the mean of its variances.
    mean : array-like of shape (n_features,), optional
        Of each mean. Default: that of all rows.
    mean_precision : float, default=0.0
        Number of rows that `mean` counts as; 0 says nothing of means.
    weight_concentration : float, default=1.0
        Of the Dirichlet distribution; 1 says nothing of weights, more draws them together.

    References
    ----------
    Fraley, C. and Raftery, A. E. (2007), Bayesian regularization for normal mixture estimation and
    model-based clustering, Journal of Classification 24, 155-181, sections 3.1 and 3.2.
    """

    degrees_of_freedom: float | None = None
    scale: npt.ArrayLike | None = None
    mean: npt.ArrayLike | None = None
    mean_precision: float = 0.0
    weight_concentration: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no number, or out of its range."""
        _check_number("mean_precision", self.mean_precision, 0.0)
        _check_number("weight_concentration", self.weight_concentration, 1.0)
        if self.degrees_of_freedom is not None:
            _check_number("degrees_of_freedom", self.degrees_of_freedom, 0.0)

    @classmethod
    def fraley_raftery(cls) -> Self:
        """Return the prior of R's mclust, its `defaultPrior`: 0.01 rows at the mean of all."""
        return cls(mean_precision=FRALEY_RAFTERY_PRECISION)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make it again, as JSON has them."""
        return {
            name: value if value is None or isinstance(value, float) else np.asarray(value).tolist()
            for name, value in vars(self).items()
        }

    def prior(
        self, family: Family, n_components: int, sample: Sample, reg_covar: float | Array
    ) -> Prior:
        """Return the prior of a fit, with what is not given taken from a sample of its rows.

        Raises
        ------
        ValueError
            If the scale or the mean is of another shape, the scale is not positive definite, or the
            degrees of freedom are too few.
        """
        structure, n_features = family.structure, sample.rows.shape[1]
        freedom = n_features + 2.0 if self.degrees_of_freedom is None else self.degrees_of_freedom
        if freedom <= n_features - 1.0:
            raise ValueError(
                f"degrees_of_freedom={freedom:g} of the prior are too few for {n_features} "
                f"features; give more than {n_features - 1}"
            )
        rows = structure.wishart_rows(freedom, n_features)
        divisor = np.asarray(structure.divisor(np.array([rows]), rows, n_features))
        scale = self._scale(family, n_components, sample)
        covariance = np.array(scale / divisor.reshape(()))
        variances = structure.diagonal(covariance)
        variances += structure.added(reg_covar)  # as every covariance has it
        _check_positive(structure, covariance, n_features)
        mean: Array | float = sample.origin
        if self.mean is not None:
            mean = _shaped("mean", self.mean, (n_features,))
        return Prior(
            rows, covariance, float(self.mean_precision), mean, self.weight_concentration - 1.0
        )

    def _scale(self, family: Family, n_components: int, sample: Sample) -> Array:
        """Return the scale in the structure's shape, or that of Fraley and Raftery."""
        structure, n_features = family.structure, sample.rows.shape[1]
        shape = structure.shape(1, n_features)
        if self.scale is not None:
            return _shaped("scale", self.scale, shape if structure.is_shared else shape[1:])
        with one_blas_thread():
            total = (sample.rows.T * sample.weights) @ sample.rows
        if structure.is_axis_parallel or len(sample.rows) <= n_features:
            total = np.diag(np.diag(total))
        if structure.is_axis_parallel:
            total = np.eye(n_features) * np.trace(total) / n_features
        return np.asarray(structure.narrowed(total)) / n_components ** (2.0 / n_features)


def fixed_prior(
    prior: object,
    family: Family,
    n_components: int,
    sample: Sample | None,
    reg_covar: float | Array,
) -> Prior | None:
    """Return the prior that is known before a fit begins, or None."""
    if not isinstance(prior, ConjugatePrior) or sample is None:
        return None
    return prior.prior(family, n_components, sample, reg_covar)


def strengths(prior: object, is_ours: bool, reg_covar: float) -> tuple[float, ...] | None:
    """Return the numbers of rows among which a fit is to choose, or None for no such prior.

    "auto" acts where all of the start is ours, and leaves a fit with reg_covar=0 as it is asked
    for.
    """
    if prior == AUTO:
        return STRENGTHS if is_ours and reg_covar > 0.0 else None
    if not isinstance(prior, Real) or float(prior) == 0.0:
        return None
    return (float(prior),)


def said(prior: object) -> Any:
    """Return a prior as a checkpoint compares it."""
    return repr(prior.settings()) if isinstance(prior, ConjugatePrior) else prior


def again(prior: object, attributes: Mapping[str, Any]) -> Prior | None:
    """Return the prior of the last fit, from its attributes, for rows that go on from there."""
    covariance = attributes.get("prior_covariance_")
    if prior is None or covariance is None:
        return None
    is_number = isinstance(prior, Real)
    strength = float(prior) if is_number else float(attributes["prior_strength_"])  # type: ignore[arg-type]
    return Prior(strength, np.asarray(covariance, np.float64)) if strength > 0.0 else None


def _shaped(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return an array of a prior, if it has the shape that the rows ask for."""
    array = np.asarray(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(
            f"the {name} of the prior has shape {array.shape}; for these rows it needs {shape}, "
            "with finite numbers"
        )
    return array


def _check_positive(structure: Structure, covariance: Array, n_features: int) -> None:
    """Refuse a scale that no covariance is drawn towards, by the covariance that it stands for."""
    try:
        structure.factors(covariance.reshape(structure.shape(1, n_features)))
        is_sound = np.allclose(covariance, covariance.T)
    except DegenerateCovarianceError:
        is_sound = False
    if not is_sound:
        kind = "positive" if structure.is_axis_parallel else "symmetric and positive definite"
        raise ValueError(
            f"the scale of the prior should be {kind}; give another `scale`, or a `reg_covar` "
            "above 0 where the rows that it is taken from do not spread in every direction"
        )


def _check_number(name: str, value: Any, least: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not least <= float(value) < math.inf
    ):
        raise ValueError(f"{name}={value!r} of a prior should be a number, from {least:g} on")
