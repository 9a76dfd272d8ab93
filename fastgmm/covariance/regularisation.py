"""Weighted scatter about the means, regularised: what every family's estimate is made from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT, Array, SufficientStatistics


class Scatter(NamedTuple):
    """Sums of r (x - mean)(x - mean)', with what they are to be divided by."""

    weight: Array  # (K,) summed responsibilities, positive
    moments: Array  # in the structure's shape, see SufficientStatistics.second
    n_features: int


def relative(reg_covar: float, variances: Array) -> Array:
    """Return `reg_covar` as a part of each feature's variance, (d,).

    A feature of one value has no scale, and is given `reg_covar` itself.
    """
    return reg_covar * np.where(variances > 0.0, variances, 1.0)


def regularised_scatter(
    statistics: SufficientStatistics, means: npt.ArrayLike, reg_covar: float | Array
) -> Scatter:
    """Scatter about the means, with `reg_covar` added to each variance that will come of it.

    A number is added to the variance of every feature, an array (d,) has one for each; a sphere
    takes their mean. Added to the scatter, weight times `reg_covar`, it leaves every family's
    constraint intact; added to the covariances it would not. A component without weight is given so
    little that it changes no sum over components, and its covariance is `reg_covar` alone.
    """
    weight = np.maximum(statistics.weight, NEGLIGIBLE_WEIGHT)
    n_features = statistics.first.shape[1]
    structure = statistics.structure
    # values near 1e154 overflow when squared; the verdict on what comes of it, with the component's
    # number, is that of Parameters.from_covariances
    with np.errstate(over="ignore", invalid="ignore"):
        at_means = np.isfinite(means).all() and np.array_equal(means, statistics.means)
        moments = np.array(statistics.central if at_means else statistics.rebased(means).second)
        divisor = structure.divisor(weight, weight.sum(), n_features)
        variances = structure.diagonal(moments)
        added = structure.diagonal(np.broadcast_to(divisor, moments.shape))
        # rounding may leave a variance of nothing just below 0
        variances[...] = np.maximum(variances, 0.0) + structure.added(reg_covar) * added
    return Scatter(weight, moments, n_features)
