"""What each component's rows say of its covariance, and what `reg_covar` adds to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastgmm.mixture.arrays import Array
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT, SufficientStatistics

ROUNDING = 0.5 * np.finfo(np.float64).eps ** 2  # of twice a squared mean: what its digits leave


def own_covariances(
    statistics: SufficientStatistics,
    means: npt.ArrayLike,
    reg_covar: float | Array,
    prior: Prior | None = None,
) -> Array:
    """Covariances about the means, in the structure's shape, with `reg_covar` in each variance.

    A number is added to the variance of every feature, an array (d,) has one for each; a sphere
    takes their mean. A component without weight has `reg_covar` alone, or the covariance of the
    prior. What comes of values that overflow is not finite: `Parameters.from_covariances` refuses
    it, with the component's number.
    """
    weight = np.maximum(statistics.weight, NEGLIGIBLE_WEIGHT)
    structure = statistics.structure
    with np.errstate(over="ignore", invalid="ignore"):  # values near 1e154 overflow when squared
        own = statistics.means
        at_means = np.isfinite(means).all() and (means is own or np.array_equal(means, own))
        moments = statistics.central if at_means else np.array(statistics.rebased(means).second)
        divisor = structure.divisor(weight, weight.sum(), statistics.first.shape[1])
        variances = structure.diagonal(moments)
        added = np.reshape(divisor, (-1, 1))
        # rounding may leave a variance of nothing just below 0, or that of the mean just above
        if not (reg_covar if isinstance(reg_covar, float) else np.any(reg_covar)):
            at = np.asarray(means)
            squares = structure.diagonal(structure.products(weight[:, None] * at, at))
            variances[variances < ROUNDING * squares] = 0.0
        variances[...] = np.maximum(variances, 0.0) + structure.added(reg_covar) * added
        found = np.asarray(moments / divisor)
    if prior is None:
        return found
    return prior.covariances(structure, statistics.weight, own, found)


def relative(reg_covar: float, variances: Array) -> Array:
    """Return `reg_covar` as a part of each feature's variance, (d,).

    A feature of one value has no scale, and is given `reg_covar` itself.
    """
    return reg_covar * np.where(variances > 0.0, variances, 1.0)
