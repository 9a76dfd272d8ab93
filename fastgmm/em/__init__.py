"""Expectation-maximisation: the loop, when it stops, how it is accelerated, what can go wrong."""

from fastgmm.em.loop import (
    MAX_PASSES,
    ROUNDING,
    STOPPING_RULES,
    TOLERANCE,
    DataPass,
    MaximumLikelihood,
    Outcome,
    State,
    Stopping,
    UpdateRule,
    aitken,
    run,
)

__all__ = [
    "MAX_PASSES",
    "ROUNDING",
    "STOPPING_RULES",
    "TOLERANCE",
    "DataPass",
    "MaximumLikelihood",
    "Outcome",
    "State",
    "Stopping",
    "UpdateRule",
    "aitken",
    "run",
]
