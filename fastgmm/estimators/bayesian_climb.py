"""The climb of the lower bound: components are merged where that raises it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fastgmm import em
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.estimators.callbacks import Progress, StopRequestedError
from fastgmm.estimators.climb import Climb
from fastgmm.estimators.fitted_attributes import attributes_of_posterior
from fastgmm.initialisation.split_merge import Pair, apart
from fastgmm.mixture.posterior import Posterior

# Nats per row that the last pass has gained, when merges are tried: once as soon as clusters are
# seen, and once more at rest. Of 80 mixtures of 2 to 8 clusters, up to twice as many components, 12
# end higher than by the second alone, 4 lower, and they take 70 passes in the mean, not 133.
BEFORE_MERGES = (5e-2, 1e-5)
# Pairs that are merged on trial, each on its own: the nearest, and the nearest without a component
# in common (4 and 8 take fewer passes, 54, but as many for all candidates); and the passes of each
# trial. The covariance that "tied" components share has to widen first: after one pass none of
# three merges of six components was better.
MERGES, APART, TRIAL_PASSES = 2, 4, 5
STAGE = 2**31  # rounds of merges, in a checkpoint, that each stage counts as when it is over

Pairs = tuple[Pair, ...]  # of components, that are merged at once
Outcomes = dict[Pairs, em.State]  # of trials


class BayesianClimb(Climb):
    """A climb of the lower bound from some starts, in shared passes.

    All climb until a pass gains little; then each takes the best of its merges, of as many pairs as
    gain, as long as one is better. After two such stages all climb to the end.
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
        try:
            for stage, gain in enumerate(BEFORE_MERGES):
                self._merge_all(data_pass, stage, gain)
            states = tuple(em.run(self.states, data_pass, self.stopping, self._reported))
            self.moment = replace(self.moment, states=states)
        except StopRequestedError:
            self.was_stopped = True
        progress.end_pass(self.attributes)

    def _merge_all(self, data_pass: em.DataPass, stage: int, gain: float) -> None:
        """Climb until passes gain less than this, and merge as long as that is better."""
        loose = em.Stopping(max(self.stopping.tolerance, gain), self.stopping.max_passes)
        self._settled.clear()
        begun, over = stage * STAGE, (stage + 1) * STAGE
        while self.moment.n_rounds < over:
            states = tuple(em.run(self.states, data_pass, loose, self._reported))
            self.moment = replace(self.moment, states=states)
            if self._merge(data_pass) and self.moment.n_rounds + 1 < begun + self._most_rounds:
                self.moment = replace(self.moment, n_rounds=self.moment.n_rounds + 1)
            else:
                going_on = tuple(map(_going_on, self.states))
                self.moment = replace(self.moment, states=going_on, n_rounds=over)

    def _merge(self, data_pass: em.DataPass) -> bool:
        """Replace each state by the best of its merges, if one is better; tell whether one was.

        Better than the state after as many passes: else each merge whose component fills again
        would seem to gain what the climb gains, over and over.
        """
        trials = [
            (c, pairs, em.State(state.rule, posterior))
            for c, state in enumerate(self.states)
            if c not in self._settled
            for pairs, posterior in self._with_merges(state)
        ]
        few = em.Stopping(0.0, TRIAL_PASSES)
        tried = em.run([trial for *_, trial in trials], data_pass, few)
        outcomes: dict[int, Outcomes] = {}
        for (c, pairs, _), state in zip(trials, tried, strict=True):
            outcomes.setdefault(c, {})[pairs] = state
        leading = {c: self._best_merge(found) for c, found in outcomes.items()}
        better = {c: state for c, state in leading.items() if state is not None}
        self._settled |= set(range(len(self.states))) - set(better)
        merged = [
            _after(state, better[c]) if c in better else state
            for c, state in enumerate(self.states)
        ]
        self.moment = replace(self.moment, states=tuple(merged))
        return bool(better)

    def _best_merge(self, found: Outcomes) -> em.State | None:
        """Return the best merge, if one gains more than `tol`: of pairs that all gain alone."""
        first, least = found[()], -math.inf
        if first.failure is None:
            last = first.trace[-1]
            least = last + max(self.stopping.tolerance, em.ROUNDING * abs(last))
        gaining = {
            pairs: state
            for pairs, state in found.items()
            if pairs and state.failure is None and state.trace[-1] > least
        }
        sound = [
            state for pairs, state in gaining.items() if all((pair,) in gaining for pair in pairs)
        ]
        return max(sound, key=lambda state: state.trace[-1], default=None)

    def _with_merges(self, state: em.State) -> Iterator[tuple[Pairs, Posterior]]:
        """Yield the posterior of a state and its merges, if it has passes left for them.

        Merges of one pair each, and of 2, 4, ... pairs without a component in common at once.
        """
        passes_left = self.stopping.max_passes - len(state.trace)
        if state.outcome is not em.Outcome.CONVERGED or passes_left <= TRIAL_PASSES:
            return
        rule, found = state.rule, state.parameters
        assert isinstance(rule, em.Variational)
        assert isinstance(found, Posterior)
        near = rule.near(found)
        if not near:
            return
        separate = apart(near)[:APART]
        yield (), found
        single = dict.fromkeys([*near[:MERGES], *separate])
        sets: list[Pairs] = [(pair,) for pair in single]
        sizes = [2**n for n in range(1, len(separate).bit_length())]
        sets += [
            tuple(separate[:size]) for size in dict.fromkeys([*sizes, len(separate)]) if size > 1
        ]
        for pairs in sets:
            posterior = rule.merged(found, pairs)
            if posterior is not None:
                yield pairs, posterior

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
