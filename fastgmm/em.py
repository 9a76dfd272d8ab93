"""EM: a step from statistics to parameters, and the only loop.

Dempster, Laird and Rubin (1977), section 2, with the M-step of a covariance family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import numpy as np

from fastgmm.covariance import Family
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.parameters import Parameters
from fastgmm.statistics import Array, SufficientStatistics


class Outcome(Enum):
    """Why EM stopped, or that it has not."""

    RUNNING = "running"
    CONVERGED = "converged"
    OUT_OF_PASSES = "out of passes"
    DEGENERATE = "degenerate"

    @property
    def advice(self) -> str:
        """A sentence for the user: what happened and what can be done."""
        return _ADVICE[self]


_ADVICE = {
    Outcome.RUNNING: "EM has not stopped yet: give it more passes.",
    Outcome.CONVERGED: "The log-likelihood of a row changed by less than tol in the last pass.",
    Outcome.OUT_OF_PASSES: (
        "EM did not converge in max_iter passes; increase max_iter or tol, "
        "or continue from here with warm_start."
    ),
    Outcome.DEGENERATE: (
        "A covariance collapsed or a number overflowed; use fewer components, "
        "a larger reg_covar or data on a smaller scale."
    ),
}


class UpdateRule(Protocol):
    """How statistics become parameters, and what EM climbs."""

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters that raise the objective."""

    def objective(self, parameters: Parameters, statistics: SufficientStatistics) -> float:
        """Value of the parameters that made the statistics."""


@dataclass(frozen=True)
class MaximumLikelihood:
    """The M-step of a covariance family, and the log-likelihood a unit of row weight."""

    family: Family
    reg_covar: float | Array  # added to every variance, or to that of each feature (d,)

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Parameters:
        """Parameters of highest expected log-likelihood.

        A component without weight keeps its previous mean and covariance and gets weight 0.
        Without `previous`, as in a first M-step from labels, it stays at its origin with
        `reg_covar` for a covariance.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite.
        """
        occupied = statistics.occupied
        weights = np.where(occupied, statistics.weight, 0.0)
        means = statistics.means
        covariances = self.family.estimate(statistics, means, self.reg_covar)
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the covariances, below
            weights /= weights.sum()
        if previous is not None and not occupied.all():
            means = np.where(occupied[:, None], means, previous.means)
            if self.family.structure != "tied":
                covariances[~occupied] = previous.covariances[~occupied]
        return Parameters.from_covariances(self.family.structure, weights, means, covariances)

    def objective(self, parameters: Parameters, statistics: SufficientStatistics) -> float:
        """Mean log-likelihood of the rows under the parameters that made the statistics."""
        return statistics.mean_log_likelihood


@dataclass(frozen=True)
class Stopping:
    """When to stop: scikit-learn's `tol` and `max_iter`."""

    tolerance: float  # on the change of the objective
    max_passes: int

    def judge(self, trace: Sequence[float], previous_objective: float = -math.inf) -> Outcome:
        """Judge a trace of objectives that follow `previous_objective`."""
        last_two = (previous_objective, *trace)[-2:]
        if trace and abs(last_two[1] - last_two[0]) < self.tolerance:
            return Outcome.CONVERGED
        return Outcome.OUT_OF_PASSES if len(trace) >= self.max_passes else Outcome.RUNNING


@dataclass(frozen=True, eq=False)
class State:
    """What EM carries from pass to pass for one candidate."""

    rule: UpdateRule
    parameters: Parameters
    previous_objective: float = -math.inf  # before the first pass; finite in a warm start
    trace: tuple[float, ...] = ()  # an objective a pass, of the parameters that pass saw
    outcome: Outcome = Outcome.RUNNING
    failure: Exception | None = None  # set when the outcome is DEGENERATE


DataPass = Callable[[list[Parameters]], Sequence[SufficientStatistics]]
Report = Callable[[int, State], object]


def step(state: State, statistics: SufficientStatistics, stopping: Stopping) -> State:
    """One M-step, judged by the objective of the parameters that made the statistics.

    A step that fails leaves the parameters as they were, with the outcome DEGENERATE.
    """
    objective = state.rule.objective(state.parameters, statistics)
    if not math.isfinite(objective):
        return _degenerate(state, _overflow(objective, len(state.trace) + 1))
    state = replace(state, trace=(*state.trace, objective))
    try:
        parameters = state.rule.estimate(statistics, previous=state.parameters)
    except DegenerateCovarianceError as failure:
        return _degenerate(state, failure)
    outcome = stopping.judge(state.trace, state.previous_objective)
    return replace(state, parameters=parameters, outcome=outcome)


def run(
    states: Iterable[State],
    data_pass: DataPass,
    stopping: Stopping,
    report: Report | None = None,
) -> list[State]:
    """Step every candidate until all have stopped; each pass over the data serves them all.

    Parameters
    ----------
    states : iterable of State
        The candidates; those that have stopped before are returned as they are.
    data_pass : callable
        Makes the statistics of a list of Parameters, in one pass. What it raises propagates.
    stopping : Stopping
    report : callable, optional
        Called with a candidate's index and its new state after each of its steps.
    """
    states = [_admit(state, stopping) for state in states]
    while running := [c for c, state in enumerate(states) if state.outcome is Outcome.RUNNING]:
        found = data_pass([states[c].parameters for c in running])
        for c, statistics in zip(running, found, strict=True):
            states[c] = step(states[c], statistics, stopping)
            if report is not None:
                report(c, states[c])
    return states


def _admit(state: State, stopping: Stopping) -> State:
    """Stop a running state that has had its passes already."""
    if state.outcome is not Outcome.RUNNING:
        return state
    return replace(state, outcome=stopping.judge(state.trace, state.previous_objective))


def _degenerate(state: State, failure: Exception) -> State:
    return replace(state, outcome=Outcome.DEGENERATE, failure=failure)


def _overflow(objective: float, n_passes: int) -> DataError:
    return DataError(
        f"the log-likelihood became {objective} in pass {n_passes}: rows lie too far from every "
        "component for their densities to be numbers; scale the features, or start nearer to them"
    )
