"""The parameters of a mixture of Student's t-distributions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import digamma

from fastgmm.mixture.arrays import Array, over, read_only
from fastgmm.mixture.parameters import Parameters

# Components of fewer degrees of freedom would be likelier and likelier about a few equal rows
LEAST = 1.0
# More count as infinite: a log density then differs from the normal one by some 1e-6 d
MOST = 1e6


@dataclass(frozen=True, eq=False)
class Tailed(Parameters):
    """Weights, centres, scales and degrees of freedom; `covariances` are the scales.

    Where degrees of freedom are infinite, a component is normal.
    """

    degrees_of_freedom: Array  # (K,)
    safer: Tailed | None = None  # what EM alone would keep, where an update dared more

    def __post_init__(self) -> None:
        """Make the arrays float64 and read-only."""
        super().__post_init__()
        object.__setattr__(self, "degrees_of_freedom", read_only(self.degrees_of_freedom))

    @classmethod
    def of(cls, mixture: Parameters, degrees_of_freedom: npt.ArrayLike) -> Tailed:
        """Return a mixture with these degrees of freedom, one for each component or for all."""
        each = np.broadcast_to(np.asarray(degrees_of_freedom, np.float64), mixture.weights.shape)
        return cls(
            mixture.structure,
            mixture.weights,
            mixture.means,
            mixture.covariances,
            mixture.precisions_cholesky,
            each,
        )

    @property
    def free(self) -> Array:
        """What an extrapolation of EM moves besides: log degrees of freedom that are finite."""
        return np.log(self.degrees_of_freedom[~self.is_normal])

    @property
    def free_metric(self) -> Array:
        """What a unit of each weighs in a norm: about the information in rows of the component."""
        return np.sqrt(0.1 * self.weights[~self.is_normal])

    def freed(self, found: Parameters, step: Array) -> Tailed:
        """Return another mixture with these degrees of freedom, moved by a step."""
        degrees, finite = np.array(self.degrees_of_freedom), ~self.is_normal
        degrees[finite] = np.clip(degrees[finite] * np.exp(step), LEAST, MOST)
        return Tailed.of(found, degrees)

    def without(self) -> Tailed:
        """Return the same without what EM alone would keep."""
        return replace(self, safer=None)

    @cached_property
    def is_normal(self) -> npt.NDArray[np.bool_]:
        """Whether a component is normal, (K,)."""
        return np.isinf(self.degrees_of_freedom)

    @property
    def inverses(self) -> Array:
        """One over the degrees of freedom, (K,)."""
        return 1.0 / self.degrees_of_freedom

    @property
    def log_heights(self) -> Array:
        """What the t-density has at its centre above the normal one of the same scale, log (K,).

        lnGamma((v + d) / 2) - lnGamma(v / 2) - d / 2 ln(v / 2): differences of lnGamma would be
        wrong by 1e-5 at v = 1e10.
        """
        from fastgmm.kernels.log_gamma import above_tangent

        half = 0.5 * np.where(self.is_normal, 2.0, self.degrees_of_freedom)
        step = 0.5 * self.n_features
        slope = digamma(half) - np.log(half)
        heights = above_tangent(half + step, half) + step * slope
        return np.where(self.is_normal, 0.0, heights)


def covariances_of(mixture: Parameters, degrees_of_freedom: Array) -> Array:
    """Return the covariances of t-distributions with these scales, v / (v - 2) times as large.

    Infinite for v of 2 or less. Where components share a scale, but not their degrees of freedom,
    each has a covariance of its own.
    """
    degrees = np.asarray(degrees_of_freedom)
    finite = np.isfinite(degrees) & (degrees > 2.0)
    times = np.where(finite, degrees / np.where(finite, degrees - 2.0, 1.0), 1.0)
    times[degrees <= 2.0] = np.inf
    scales = mixture.covariances
    if mixture.structure.is_shared:
        if np.all(times == times[0]):
            return np.asarray(_times(float(times[0]), scales))
        scales = np.broadcast_to(scales, (len(times), *scales.shape))
    return np.asarray(_times(over(times, scales), scales))


def _times(factor: Array | float, scales: Array) -> Array:
    """Multiply, with 0 times infinity 0: features that do not go together still do not."""
    with np.errstate(invalid="ignore"):
        found = factor * scales
    return np.where(scales == 0.0, 0.0, found)
