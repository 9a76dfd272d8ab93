"""The climb of the lower bound: components are merged where that raises it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastgmm import em
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.estimators.callbacks import Progress, StopRequestedError
from fastgmm.estimators.climb import Climb
from fastgmm.estimators.fitted_attributes import attributes_of_posterior
from fastgmm.mixture.posterior import Posterior

BEFORE_MERGES = 1e-5  # nats per row that the last pass has gained, when merges are tried
# Merges that are tried at a time, and passes of each. The covariance that "tied" components share
# has to widen first: after one pass none of three merges of six components was better.
MERGES, TRIAL_PASSES = 4, 5
DONE = 2**31  # rounds of merges, in a checkpoint: no more are tried


class BayesianClimb(Climb):
    """A climb of the lower bound from some starts, in shared passes.

    First all climb until a pass gains little; then each takes the best of its merges as long as
    one is better; then all climb to the end.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._settled: set[int] = set()  # states of which no merge is better

    @property
    def _most_rounds(self) -> int:
        """As many as there are components to be emptied."""
        return max(state.parameters.n_components for state in self.states)

    def run(self, progress: Progress) -> None:
        """Climb until every start has stopped, or a callback asks to."""
        data_pass = progress.watched(self._pass, self.attributes)
        loose = em.Stopping(max(self.stopping.tolerance, BEFORE_MERGES), self.stopping.max_passes)
        try:
            while self.moment.n_repairs < self._most_rounds:
                states = tuple(em.run(self.states, data_pass, loose, self._reported))
                self.moment = replace(self.moment, states=states)
                n_rounds = self.moment.n_repairs + 1 if self._merge(data_pass) else DONE
                self.moment = replace(self.moment, n_repairs=n_rounds)
            going_on = tuple(map(_going_on, self.states))
            self.moment = replace(self.moment, states=going_on)
            states = tuple(em.run(going_on, data_pass, self.stopping, self._reported))
            self.moment = replace(self.moment, states=states)
        except StopRequestedError:
            self.was_stopped = True
        progress.end_pass(self.attributes)

    def _merge(self, data_pass: em.DataPass) -> bool:
        """Replace each state by its best merge, if that is better; tell whether one was.

        Better than the state after as many passes: else each merge whose component fills again
        would seem to gain what the climb gains, over and over.
        """
        trials = [
            (c, em.State(state.rule, posterior))
            for c, state in enumerate(self.states)
            if c not in self._settled
            for posterior in self._with_merges(state)
        ]
        few = em.Stopping(0.0, TRIAL_PASSES)
        tried = em.run([trial for _, trial in trials], data_pass, few)
        own: dict[int, em.State] = {}  # the states themselves, which are tried first
        leading: dict[int, em.State] = {}
        for (c, _), state in zip(trials, tried, strict=True):
            first = own.setdefault(c, state)
            if state.failure is None and self._is_better(state, leading.get(c), first):
                leading[c] = state
        self._settled |= set(range(len(self.states))) - set(leading)
        merged = [
            _after(state, leading[c]) if c in leading else state
            for c, state in enumerate(self.states)
        ]
        self.moment = replace(self.moment, states=tuple(merged))
        return bool(leading)

    def _is_better(self, trial: em.State, leading: em.State | None, first: em.State) -> bool:
        """Whether a merge is better than the best so far, and by more than `tol` than no merge."""
        if leading is not None:
            return trial.trace[-1] > leading.trace[-1]
        if first.failure is not None:
            return True
        least = max(self.stopping.tolerance, em.ROUNDING * abs(first.trace[-1]))
        return trial.trace[-1] > first.trace[-1] + least

    def _with_merges(self, state: em.State) -> list[Posterior]:
        """Return the posterior of a state, and its merges if it has passes left for them."""
        passes_left = self.stopping.max_passes - len(state.trace)
        if state.outcome is not em.Outcome.CONVERGED or passes_left <= TRIAL_PASSES:
            return []
        rule, found = state.rule, state.parameters
        assert isinstance(rule, em.Variational)
        assert isinstance(found, Posterior)
        merges = rule.merges(found, MERGES)
        return [found, *merges] if merges else []

    def _degenerate(self, best: em.State) -> Warning | None:
        """Say that the mean before the rows is too far away, or else what is wrong."""
        found, rule = best.parameters, best.rule
        assert isinstance(found, Posterior)
        assert isinstance(rule, em.Variational)
        known = rule.hyperparameters
        if not best.trace or not known.is_outweighing(found):
            return super()._degenerate(best)
        return DegenerateComponentWarning(
            "The fit is degenerate: the distance of mean_prior from the rows is nearly all of the "
            f"variance of each component (mean_precision_prior={known.mean_precision:g}): give a "
            "mean_prior nearer to the rows, or a lower mean_precision_prior."
        )

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, in the precision of the rows."""
        best = self.best
        found, rule = best.parameters, best.rule
        assert isinstance(found, Posterior)
        assert isinstance(rule, em.Variational)
        return super().attributes() | attributes_of_posterior(
            found, rule.hyperparameters, self.count_rows(), self.weigh_rows()
        )


def _after(before: em.State, merged: em.State) -> em.State:
    """Return a state that goes on from its merge.

    Until the trial has served, its bound is that before it.
    """
    served = (before.trace[-1],) * (len(merged.trace) - 1) + merged.trace[-1:]
    trace = (*before.trace, *served)
    name = None if before.acceleration is None else before.acceleration.name
    return replace(
        merged,
        trace=trace,
        start=len(trace) - 1,
        previous_objective=before.previous_objective,
        outcome=em.Outcome.RUNNING,
        acceleration=None if name is None else Acceleration(name),
    )


def _going_on(state: em.State) -> em.State:
    """Return a state that has converged loosely, before it goes on."""
    if state.outcome is not em.Outcome.CONVERGED:
        return state
    return replace(state, outcome=em.Outcome.RUNNING)
