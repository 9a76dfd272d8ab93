"""Expectation-maximisation: the loop, when it stops, how it is accelerated, what can go wrong."""

from fastgmm.em.fixed import Fixed, FreeMaximisation
from fastgmm.em.heavy_tails import EACH, SHARED, HeavyTails
from fastgmm.em.loop import DataPass, State, run, step
from fastgmm.em.noise import Noise
from fastgmm.em.outcome import Outcome
from fastgmm.em.stopping import MAX_PASSES, ROUNDING, STOPPING_RULES, TOLERANCE, Stopping, aitken
from fastgmm.em.update_rules import Maximisation, UpdateRule
from fastgmm.em.variational import Variational

__all__ = [
    "EACH",
    "MAX_PASSES",
    "ROUNDING",
    "SHARED",
    "STOPPING_RULES",
    "TOLERANCE",
    "DataPass",
    "Fixed",
    "FreeMaximisation",
    "HeavyTails",
    "Maximisation",
    "Noise",
    "Outcome",
    "State",
    "Stopping",
    "UpdateRule",
    "Variational",
    "aitken",
    "run",
    "step",
]
