"""EM on statistics that fade: what is remembered of the rows before, and how rows arrive.

Cappé and Moulines (2009), Journal of the Royal Statistical Society B 71, 'On-line
expectation-maximization algorithm for latent data models'.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array, SufficientStatistics


def remembered(
    parameters: Parameters, row_weight: float, reg_covar: float | Array
) -> SufficientStatistics:
    """Return statistics of so much weight whose M-step gives these parameters again.

    So a model needs no memory but its parameters and a number. Variances below `reg_covar`, which
    no M-step makes, are remembered as 0.
    """
    structure, weight = parameters.structure, row_weight * parameters.weights
    second = np.array(parameters.covariances)
    variances = structure.diagonal(second)
    variances[...] = np.maximum(variances - structure.added(reg_covar), 0.0)
    return replace(
        SufficientStatistics.zeros(structure, parameters.means),
        weight=weight,
        second=second * structure.divisor(weight, row_weight, parameters.n_features),
        row_weight=row_weight,
    )


def retained(before: float, arriving: float, power: float) -> float:
    """Return the part of the memory that is kept while rows of some weight arrive.

    Every unit of weight t takes a step of t**-power. For a power of 1 that is the mean of all
    rows. Integrated over the weight that arrives, so that what is kept of two batches is what is
    kept of one batch made of both: the size of batches does not count, but to rounding.
    """
    if before <= 0.0:
        return 0.0
    if power == 1.0:
        return before / (before + arriving)
    left = 1.0 - power
    return math.exp(-((before + arriving) ** left - before**left) / left)


def faded(
    memory: SufficientStatistics, arriving: SufficientStatistics, kept: float
) -> SufficientStatistics:
    """Return both together, in the weight of all: `kept` of it is the memory's, the rest is new.

    Both are of the same origin, and each of positive weight.
    """
    total = memory.row_weight + arriving.row_weight
    old = kept * total / memory.row_weight
    new = (1.0 - kept) * total / arriving.row_weight
    return replace(
        memory,
        weight=old * memory.weight + new * arriving.weight,
        first=old * memory.first + new * arriving.first,
        second=old * memory.second + new * arriving.second,
        log_likelihood=arriving.log_likelihood,
        n_rows=memory.n_rows + arriving.n_rows,
        row_weight=total,
    )
