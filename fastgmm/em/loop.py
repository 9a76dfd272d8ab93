"""EM: a step from statistics to parameters, and the only loop.

Dempster, Laird and Rubin (1977), section 2, with the M-step of a covariance family. To stop by the
distance to the limit: Böhning, Dietz, Schaub, Schlattmann and Lindsay (1994), Annals of the
Institute of Statistical Mathematics 46; McLachlan and Krishnan (2008), section 4.9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from fastgmm.covariance import Family
from fastgmm.em.acceleration import Memory
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array, SufficientStatistics

# Defaults of a fit. Of two clusters of sizes 100:1 and 300:1, as much as 4 deviations apart, 1e-7
# is right in 110 sets of 110, 1e-6 in 99, scikit-learn's 1e-3 in 47; the slowest took 767 passes
# (bench/stopping.py).
TOLERANCE = 1e-7
MAX_PASSES = 1000


class Outcome(Enum):
    """Why EM stopped, or that it has not."""

    RUNNING = "running"
    CONVERGED = "converged"
    OUTDONE = "outdone"
    OUT_OF_PASSES = "out of passes"
    DEGENERATE = "degenerate"

    @property
    def advice(self) -> str:
        """A sentence for the user: what happened and what can be done."""
        return _ADVICE[self]


_ADVICE = {
    Outcome.RUNNING: "EM has not stopped yet: give it more passes.",
    Outcome.CONVERGED: (
        "The log-likelihood of a row changed by less than tol in the last pass, or, with "
        "stopping='aitken', is estimated to be less than tol from its limit."
    ),
    Outcome.OUTDONE: (
        "Another candidate is better by more than this one would gain, so EM went on without it."
    ),
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


def change(objectives: Sequence[float]) -> float:
    """What the last step of EM has changed: scikit-learn's rule."""
    return abs(objectives[-1] - objectives[-2])


# At c, ratios r that rise go on rising: if 1 - r loses more than c (1 - r) of itself in a pass, the
# increments come to rest before they are e^(-1/c) of the last.
RISING = 0.5
ROUNDING = 1e-13  # of an objective: sums of the same terms in another order, or fewer at a time


def aitken(objectives: Sequence[float]) -> float:
    """Estimated distance of the last objective to the limit (Böhning et al. 1994).

    Near the limit every increment is the same part of the one before, so the rest is a geometric
    series. Of the last two such ratios the larger is taken, and both must be ratios of a series
    that converges: early on they are not, and the distance is infinite. So it is while ratios
    still rise, by which increments that shrink may come to rest, or grow again.
    """
    increments = np.diff(objectives[-4:])
    if len(increments) < 3:
        return math.inf
    if np.all(np.abs(increments) <= ROUNDING * abs(objectives[-1])):
        return 0.0
    if not (np.all(np.isfinite(increments)) and np.all(increments[:-1])):
        return math.inf
    ratios = increments[1:] / increments[:-1]
    if np.any(ratios < 0.0) or np.any(ratios >= 1.0):
        return math.inf
    lost = 1.0 - ratios  # the part of an increment by which the next is smaller
    if lost[0] - lost[1] > RISING * lost[0] * lost[1]:
        return math.inf
    ratio = float(np.max(ratios))
    return float(abs(increments[-1])) * ratio / (1.0 - ratio)


class StoppingRule(NamedTuple):
    """How far EM is from done, told from the objectives of its last steps."""

    distance: Callable[[Sequence[float]], float]
    n_objectives: int  # that the distance asks for


STOPPING_RULES = {"change": StoppingRule(change, 2), "aitken": StoppingRule(aitken, 4)}


RESTING = 0.1  # of a tolerance
RESTING_PART = 1e-5  # of an objective: ten times what 60 float32 rows were seen to be moved by


def rests(objectives: Sequence[float], tolerance: float) -> bool:
    """Whether EM has fallen in its last steps, and they lie within a part of a tolerance.

    It does not fall but by rounding, which is then all that moves it: of float32 rows the
    increments have no ratio, and 11 passes went by before they were seen to wander.
    """
    last = objectives[-4:]
    is_told = len(last) == 4 and last[0] > -math.inf
    return (
        is_told
        and min(after - before for before, after in pairwise(last)) < 0.0
        and max(last) - min(last) < min(RESTING * tolerance, RESTING_PART * abs(last[-1]))
    )


WANDERING_PASSES = 5  # and as many before them, to compare with
WANDERING_TURNS = 3  # from rising to falling or back


def wanders(objectives: Sequence[float], tolerance: float) -> bool:
    """Whether rounding moves the objectives more than EM does, which alone would raise them.

    In float32 the objective of 60 rows goes up and down by 1e-6 for ever, or turns in a circle of
    three steps of 3e-4. A change below 1e-7 comes there by chance, if it does.
    """
    last = objectives[-2 * WANDERING_PASSES - 1 :]
    is_told = len(last) > 2 * WANDERING_PASSES and last[0] > -math.inf
    if not is_told or tolerance == 0.0:
        return False
    increments = [after - before for before, after in pairwise(last)]
    n_turns = sum(before * after < 0.0 for before, after in pairwise(increments))
    gain = max(last[-WANDERING_PASSES:]) - max(last[:-WANDERING_PASSES])
    return n_turns >= WANDERING_TURNS and gain < WANDERING_PASSES * tolerance


NEAR_THE_LIMIT = 1e-6  # nats a row, of the last increment
STEADY = 0.05  # by which the factors of the last increments may differ
SLOW_PASSES = 20


def is_slow(objectives: Sequence[float], tolerance: float, rule: str = "change") -> bool:
    """Whether the last increments of EM shrink steadily, and will take many passes to be small.

    Later than that it could not help, and earlier an extrapolation may leave EM's own way for
    another limit: of 64 climbs from default starts, 1 did so begun at 1e-4, none begun at 1e-6.
    A tolerance of 0 asks for passes, not for the limit.
    """
    increments = [after - before for before, after in pairwise(objectives[-6:])]
    if len(increments) < 5 or not all(0.0 < each < math.inf for each in increments):
        return False
    factors = [after / before for before, after in pairwise(increments)]
    is_steady = max(factors) < 1.0 and max(factors) - min(factors) <= STEADY
    still = STOPPING_RULES[rule].distance(objectives) * min(factors) ** SLOW_PASSES
    return bool(is_steady and increments[-1] < NEAR_THE_LIMIT and still > tolerance > 0.0)


@dataclass(frozen=True)
class Stopping:
    """When to stop: scikit-learn's `tol` and `max_iter`, and what `tol` bounds."""

    tolerance: float  # on the distance that the rule tells
    max_passes: int
    rule: str = "change"  # or "aitken"

    def judge(
        self, trace: Sequence[float], previous_objective: float = -math.inf, start: int = 0
    ) -> Outcome:
        """Judge a trace of objectives that follow `previous_objective`.

        Steps of EM alone are judged: of (previous_objective, *trace), what lies before `start` is
        left out, since an extrapolation may gain little and yet be far from the limit.
        """
        distance, n_objectives = STOPPING_RULES[self.rule]
        objectives = (previous_objective, *trace)[start:]
        if (
            trace
            and len(objectives) >= n_objectives
            and distance(objectives) < self.tolerance
            and not self._has_leapt((previous_objective, *trace), start)
        ):
            return Outcome.CONVERGED
        if wanders(objectives, self.tolerance) or rests(objectives, self.tolerance):
            return Outcome.CONVERGED
        return Outcome.OUT_OF_PASSES if len(trace) >= self.max_passes else Outcome.RUNNING

    def _has_leapt(self, objectives: Sequence[float], start: int) -> bool:
        """Whether the extrapolation before the last steps has gained much, so that others may.

        After one, increments fall fast at first, whatever is left: the distance looks short.
        """
        if self.rule == "change" or start == 0:
            return False
        return objectives[start] - objectives[start - 1] >= self.tolerance

    def is_near(self, trace: Sequence[float], start: int) -> bool:
        """Whether little was gained, and too few steps of EM were made to judge by."""
        n_steps = len(trace) + 1 - start
        gained_little = len(trace) > 1 and change(trace) < self.tolerance
        return gained_little and n_steps < STOPPING_RULES[self.rule].n_objectives


@dataclass(frozen=True, eq=False)
class State:
    """What EM carries from pass to pass for one candidate.

    `parameters` are always what EM itself would keep. What the next pass sees is `next`: those, or
    an extrapolation on trial. All fields but the rule and the failure are numbers, strings, arrays
    or frozen dataclasses of these, so that a state can be written to a file and taken up again.
    """

    rule: UpdateRule
    parameters: Parameters
    previous_objective: float = -math.inf  # before the first pass; finite in a warm start
    trace: tuple[float, ...] = ()  # an objective a pass; one that failed its trial repeats the last
    outcome: Outcome = Outcome.RUNNING
    failure: Exception | None = None  # set when the outcome is DEGENERATE
    memory: Memory | None = None  # of the acceleration; None for EM alone
    trial: Parameters | None = None  # an extrapolation that no pass has seen yet
    start: int = 0  # of the steps of EM alone, in (previous_objective, *trace)

    @property
    def next(self) -> Parameters:
        """The parameters that the next pass is to see."""
        return self.parameters if self.trial is None else self.trial

    @property
    def steps(self) -> tuple[float, ...]:
        """The objectives of the last steps of EM alone."""
        return (self.previous_objective, *self.trace)[self.start :]


DataPass = Callable[[list[Parameters]], Sequence[SufficientStatistics]]
Report = Callable[[int, State], object]
Outdone = Callable[[Sequence[State]], Iterable[int]]


def step(state: State, statistics: SufficientStatistics, stopping: Stopping) -> State:
    """One M-step, judged by the objective of the parameters that made the statistics.

    A step that fails leaves the parameters as they were, with the outcome DEGENERATE. Where those
    that made the statistics were on trial and are no better, EM goes on as if without them.
    """
    objective = state.rule.objective(state.next, statistics)
    if state.trial is not None and not state.trace[-1] <= objective < math.inf:
        return _without_trial(state, stopping)
    if not math.isfinite(objective):
        return _degenerate(state, _overflow(objective, len(state.trace) + 1))
    trace = (*state.trace, objective)
    try:
        parameters = state.rule.estimate(statistics, previous=state.next)
    except DegenerateCovarianceError as failure:
        if state.trial is not None:
            return _without_trial(state, stopping)
        return _degenerate(replace(state, trace=trace), failure)
    start = state.start if state.trial is None else len(trace)
    outcome = stopping.judge(trace, state.previous_objective, start)
    found = replace(
        state, parameters=parameters, trace=trace, outcome=outcome, trial=None, start=start
    )
    if state.memory is None or outcome is Outcome.CONVERGED:
        return found
    return _accelerated(found, state, stopping)


def _accelerated(found: State, before: State, stopping: Stopping) -> State:
    """Return the state that a step of EM has found with an extrapolation, if there is one."""
    memory = found.memory
    assert memory is not None  # asked by the caller
    if memory.waits:
        has_begun = is_slow(found.trace, stopping.tolerance, stopping.rule)
        return replace(found, memory=replace(memory, has_begun=has_begun))
    memory = memory.with_step(before.next, found.parameters, of_trial=before.trial is not None)
    if before.trial is None and found.trace[-1] < (-math.inf, *before.trace)[-1]:
        memory = memory.discouraged()  # EM fell, as it may where reg_covar holds a variance up
    if memory.rest > 0 or stopping.is_near(found.trace, found.start):
        return replace(found, memory=memory.rested())
    memory, trial = memory.extrapolate(found.parameters)
    return replace(found, memory=memory, trial=trial)


def _without_trial(state: State, stopping: Stopping) -> State:
    """Go on from the parameters of EM, after a pass that was in vain."""
    assert state.memory is not None  # who has a trial has a memory
    trace = (*state.trace, state.trace[-1])
    out = len(trace) >= stopping.max_passes
    return replace(
        state,
        trace=trace,
        outcome=Outcome.OUT_OF_PASSES if out else Outcome.RUNNING,
        memory=state.memory.discouraged(),
        trial=None,
        start=len(trace),
    )


def run(
    states: Iterable[State],
    data_pass: DataPass,
    stopping: Stopping,
    report: Report | None = None,
    outdone: Outdone = lambda _: (),
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
    outdone : callable, optional
        Tells after every pass which candidates go on no more, since another is better.
    """
    states = [_admit(state, stopping) for state in states]
    while running := [c for c, state in enumerate(states) if state.outcome is Outcome.RUNNING]:
        found = data_pass([states[c].next for c in running])
        for c, statistics in zip(running, found, strict=True):
            states[c] = step(states[c], statistics, stopping)
        for c in outdone(states):
            states[c] = replace(states[c], outcome=Outcome.OUTDONE)
        if report is not None:
            for c in running:
                report(c, states[c])
    return states


def _admit(state: State, stopping: Stopping) -> State:
    """Stop a running state that has had its passes already."""
    if state.outcome is not Outcome.RUNNING:
        return state
    return replace(
        state, outcome=stopping.judge(state.trace, state.previous_objective, state.start)
    )


def _degenerate(state: State, failure: Exception) -> State:
    return replace(state, outcome=Outcome.DEGENERATE, failure=failure, trial=None)


def _overflow(objective: float, n_passes: int) -> DataError:
    return DataError(
        f"the log-likelihood became {objective} in pass {n_passes}: rows lie too far from every "
        "component for their densities to be numbers; scale the features, or start nearer to them"
    )
