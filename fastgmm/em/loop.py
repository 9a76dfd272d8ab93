"""EM: a step from statistics to parameters, and the only loop.

Dempster, Laird and Rubin (1977), section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fastgmm.em.acceleration import Acceleration
from fastgmm.em.outcome import Outcome
from fastgmm.em.stopping import Stopping, is_slow
from fastgmm.em.update_rules import UpdateRule
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread


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
    trace: tuple[float, ...] = ()  # one objective per pass; a failed trial repeats the last
    outcome: Outcome = Outcome.RUNNING
    failure: Exception | None = None  # set when the outcome is DEGENERATE
    acceleration: Acceleration | None = None  # None: EM alone
    trial: Parameters | None = None  # an extrapolation that no pass has seen yet
    start: int = 0  # of the steps of EM alone, in (previous_objective, *trace)
    log_prior: float = 0.0  # the part of the prior in the last objective of EM alone or of a trial
    left_out: float = 0.0  # nats per row, an estimate, by the last pass that counted
    earlier: tuple[float, ...] = ()  # objectives of EM that led to the start, of the same rows

    @property
    def next(self) -> Parameters:
        """The parameters that the next pass is to see."""
        return self.parameters if self.trial is None else self.trial

    @property
    def log_likelihood(self) -> float:
        """The last objective without the part of the prior."""
        return self.trace[-1] - self.log_prior

    @property
    def steps(self) -> tuple[float, ...]:
        """The objectives of the last steps of EM alone."""
        if self.earlier and self.start == 0:
            return (*self.earlier, *self.trace)
        return (self.previous_objective, *self.trace)[self.start :]


DataPass = Callable[[list[Parameters]], Sequence[SufficientStatistics]]
Report = Callable[[int, State], object]
Outdone = Callable[[Sequence[State]], Iterable[int]]


@one_blas_thread()  # once for all that a step computes: 16 microseconds, of 160 at K=5, d=2
def step(state: State, statistics: SufficientStatistics, stopping: Stopping) -> State:
    """One M-step, judged by the objective of the parameters that made the statistics.

    A step that fails leaves the parameters as they were, with the outcome DEGENERATE. Where those
    that made the statistics were on trial and are no better, EM goes on as if without them.
    """
    log_prior = state.rule.log_prior(state.next, statistics.row_weight)
    objective = statistics.mean_log_likelihood + log_prior
    if state.trial is not None and not state.trace[-1] <= objective < math.inf:
        return _without_trial(state, stopping)
    if _dared_too_much(state, objective, stopping):
        return _safer(state, stopping)
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
        state,
        parameters=parameters,
        trace=trace,
        outcome=outcome,
        trial=None,
        start=start,
        log_prior=log_prior,
        left_out=statistics.left_out / statistics.row_weight,
    )
    if state.acceleration is None or outcome is Outcome.CONVERGED:
        return found
    return _accelerated(found, state.acceleration, state, stopping)


def _accelerated(found: State, squarem: Acceleration, before: State, stopping: Stopping) -> State:
    """Add an extrapolation, if there is one, to the state after a step of EM."""
    if squarem.waits:
        has_begun = is_slow(found.trace, stopping.tolerance, stopping.rule)
        return replace(found, acceleration=replace(squarem, has_begun=has_begun))
    squarem = squarem.with_step(before.next, found.parameters, of_trial=before.trial is not None)
    if before.trial is None and found.trace[-1] < (-math.inf, *before.trace)[-1]:
        squarem = squarem.discouraged()  # EM fell, as it may where reg_covar holds a variance up
    if squarem.rest > 0 or stopping.is_near(found.trace, found.start):
        return replace(found, acceleration=squarem.rested())
    squarem, trial = squarem.extrapolate(found.parameters)
    return replace(found, acceleration=squarem, trial=_admitted(trial, found))


def _admitted(trial: Parameters | None, found: State) -> Parameters | None:
    """Return the trial as the rule allows it, if it does."""
    try:
        return None if trial is None else found.rule.admitted(trial, found.parameters)
    except DegenerateCovarianceError:
        return None


def _dared_too_much(state: State, objective: float, stopping: Stopping) -> bool:
    """Whether an update that EM alone would not make has lowered the objective."""
    dares = state.trial is None and state.parameters.safer is not None and bool(state.trace)
    return dares and not objective >= state.trace[-1] - stopping.tolerance


def _safer(state: State, stopping: Stopping) -> State:
    """Go on from what EM alone would have kept."""
    trace = (*state.trace, state.trace[-1])
    out = len(trace) >= stopping.max_passes
    return replace(
        state,
        parameters=state.parameters.safer or state.parameters,
        trace=trace,
        outcome=Outcome.OUT_OF_PASSES if out else Outcome.RUNNING,
        start=len(trace),
    )


def _without_trial(state: State, stopping: Stopping) -> State:
    """Go on from EM's own parameters after a trial that failed."""
    trace = (*state.trace, state.trace[-1])
    out = len(trace) >= stopping.max_passes
    return replace(
        state,
        trace=trace,
        outcome=Outcome.OUT_OF_PASSES if out else Outcome.RUNNING,
        acceleration=None if state.acceleration is None else state.acceleration.discouraged(),
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
    """Stop a running state that has had all its passes."""
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
