"""Stepwise EM for `partial_fit`: the statistics of earlier rows fade while new rows arrive.

Cappé and Moulines (2009), Journal of the Royal Statistical Society B 71, 'On-line
expectation-maximization algorithm for latent data models'.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fastgmm.em.update_rules import UpdateRule
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics


def remembered(parameters: Parameters, row_weight: float, rule: UpdateRule) -> SufficientStatistics:
    """Return statistics of this weight whose M-step by the rule returns these parameters.

    So a model has to keep no more than its parameters and a weight. Variances below `reg_covar`,
    which no M-step makes, become 0.
    """
    structure, weight = parameters.structure, row_weight * parameters.weights
    second = np.array(parameters.covariances)
    if rule.prior is not None:
        second = rule.prior.taken_out(second, structure.mass(weight))
    variances = structure.diagonal(second)
    variances[...] = np.maximum(variances - structure.added(rule.reg_covar), 0.0)
    return replace(
        SufficientStatistics.zeros(structure, parameters.means),
        weight=weight,
        second=second * structure.divisor(weight, row_weight, parameters.n_features),
        row_weight=row_weight,
    )


def retained(before: float, arriving: float, power: float) -> float:
    """Return the part of earlier statistics that is kept when rows of some weight arrive.

    A unit of weight at time t takes a step of t**-power; a power of 1 gives the mean of all rows.
    Steps are integrated over the arriving weight, so the size of batches does not matter: two
    batches keep what one batch of both would keep, to rounding.
    """
    if before <= 0.0:
        return 0.0
    if power == 1.0:
        return before / (before + arriving)
    left = 1.0 - power
    return math.exp(-((before + arriving) ** left - before**left) / left)


def faded(
    past: SufficientStatistics, arriving: SufficientStatistics, kept: float
) -> SufficientStatistics:
    """Return the sum of both at their total weight, a part `kept` of it from the past.

    Both have the same origin and a positive weight.
    """
    total = past.row_weight + arriving.row_weight
    old = kept * total / past.row_weight
    new = (1.0 - kept) * total / arriving.row_weight
    return replace(
        past,
        weight=old * past.weight + new * arriving.weight,
        first=old * past.first + new * arriving.first,
        second=old * past.second + new * arriving.second,
        log_likelihood=arriving.log_likelihood,
        n_rows=past.n_rows + arriving.n_rows,
        row_weight=total,
    )
