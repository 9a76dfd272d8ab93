"""Stepwise EM for `partial_fit`: the statistics of earlier rows fade while new rows arrive.

Cappé and Moulines (2009), Journal of the Royal Statistical Society B 71, 'On-line
expectation-maximization algorithm for latent data models'.
"""

from __future__ import annotations

import math
from dataclasses import replace

from fastgmm.mixture.statistics import SufficientStatistics, added


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
        extra=added(past.extra, arriving.extra, old, new),
        left_out=arriving.left_out,
    )
