"""Candidates of several sizes and families, fitted in shared passes over the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.em.acceleration import Memory
from fastgmm.estimators.callbacks import Progress, Verbose
from fastgmm.estimators.checkpointing import Kept
from fastgmm.estimators.criteria import Criterion
from fastgmm.estimators.fitting import Climb
from fastgmm.estimators.starting_states import regularisation
from fastgmm.estimators.validation.inputs import Rows
from fastgmm.estimators.validation.random_state import RandomState, generator
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import Sample, sample_of
from fastgmm.selection.candidate import Candidate, best_of
from fastgmm.selection.contest import Contest
from fastgmm.selection.growth import Growth
from fastgmm.selection.merging import challenged
from fastgmm.selection.monotone import mended
from fastgmm.storage.checkpoint import Moment

# the state of every candidate, or why it has no start
Begun = dict[tuple[Family, int], em.State | Exception]


class Swept(NamedTuple):
    """What a sweep has found."""

    candidates: list[Candidate]
    contest: Contest


class Sweep(Climb):
    """EM from the starts of all candidates over the rows of one source.

    Callbacks are shown the candidate of lowest BIC so far.

    Parameters
    ----------
    begun : dict
        The state of every candidate, or why it has no start.
    rows : Rows
    contest : Contest
        Which tells who has arrived, and who can still win.
    keep : callable
        Called before every pass, to write down how far the sweep has come.
    """

    def __init__(
        self, begun: Begun, rows: Rows, contest: Contest, keep: Callable[[Climb], None]
    ) -> None:
        super().__init__([e for e in begun.values() if isinstance(e, em.State)], rows, keep=keep)
        self.families = [key[0] for key, each in begun.items() if isinstance(each, em.State)]
        self.failures = {
            c: each for c, each in enumerate(begun.values()) if isinstance(each, Exception)
        }
        self.mending: list[em.State] = []
        self.n_again = 0  # of these, climbed again by this call or left so by an earlier one
        self.contest = contest
        self.passed_over: set[int] = set()  # states that have turned out to be collapsed

    @property
    def moment(self) -> Moment:
        """All that is needed to go on from here."""
        return replace(super().moment, repairing=tuple(self.mending), failures=self.failures)

    def go_on_from(self, moment: Moment) -> None:
        """Stand where another sweep over the same rows has stood."""
        states = self.states  # the same, each with the rule of its family
        super().go_on_from(replace(moment, repairing=()))
        self.states, self.mending = states, list(moment.repairing)

    def again(self, states: list[em.State], best: float, max_passes: int) -> list[em.State]:
        """Climb from other states, or from where an earlier call has brought them.

        Each as long as it can come below `best`, a value of the criterion.
        """
        start, self.n_again = self.n_again, self.n_again + len(states)

        def report(at: int, state: em.State) -> None:
            self.mending[start + at] = state

        kept = self.mending[start : self.n_again] or states
        self.mending[start:] = [
            replace(state, rule=fresh.rule) for state, fresh in zip(kept, states, strict=True)
        ]
        stopping = replace(self.contest.stopping, max_passes=max_passes)
        outdone = partial(self.contest.outdone, best=best)
        return em.run(self.mending[start:], self._pass, stopping, report, outdone)

    def outdone(self, states: Sequence[em.State]) -> Iterable[int]:
        """Tell which cannot come to be the best any more."""
        return self.contest.outdone(states, passed_over=self.passed_over)

    def revive(self, candidates: Sequence[Candidate]) -> bool:
        """Let those go on that can win after all, since the best so far has collapsed."""
        criterion = self.contest.criterion
        best = best_of(candidates, criterion).value(criterion)
        of_states = [each for each in candidates if each.state is not None]
        self.passed_over = {c for c, each in enumerate(of_states) if each.has_collapsed}
        held = [
            c
            for c, state in enumerate(self.states)
            if state.outcome is em.Outcome.OUTDONE
            and c not in self.passed_over
            and self.contest.can_win(state, best)
        ]
        for c in held:
            self.states[c] = replace(self.states[c], outcome=em.Outcome.RUNNING)
        return bool(held)

    @property
    def best(self) -> em.State:
        """The sound state of lowest BIC by the log-likelihoods so far, the first of equals."""
        return self.states[self._best()]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, and what kind of mixture it is."""
        best = self._best()
        return super().attributes() | {
            "n_components_": self.states[best].parameters.n_components,
            "covariance_type_": self.families[best].covariance_type,
        }

    def _best(self) -> int:
        def half_bic(c: int) -> float:
            state, shape = self.states[c], self.states[c].parameters.means.shape
            if state.failure is not None or not state.trace:
                return np.inf
            row_weight = self.weigh_rows()
            penalty = 0.5 * self.families[c].n_parameters(*shape) * np.log(row_weight)
            return float(penalty - state.trace[-1] * row_weight)

        return min(range(len(self.states)), key=half_bic)


def sweep(
    rows: Rows,
    counts: Sequence[int],
    families: Sequence[Family],
    reg_covar: float,
    is_relative: bool,
    criterion: Criterion,
    stopping: em.Stopping,
    random_state: RandomState,
    progress: Progress,
    kept: Kept,
) -> Swept:
    """Fit every number of components in every family.

    One pass draws a sample, on which the starts grow; then as many as the slowest candidate
    needs, shared by all; and one for the criteria. Where a curve dips, two or more mend it. The
    tolerance of `stopping` is a share of what the criterion charges, see `Contest`.

    Raises
    ------
    ValueError
        If the rows are fewer than the least number of components.
    Exception
        What the first candidate failed of, if all of them failed.
    """
    rng = generator(None if kept.record is not None else random_state)
    sample = sample_of(rows.source, kept.choose_seed(rng), kept.compares)
    kept.compare(sample)
    added = regularisation(reg_covar, is_relative, sample)
    rules = [em.MaximumLikelihood(family, added) for family in families]
    contest = Contest(
        criterion,
        counts,
        families,
        rows.source.n_features,
        sample.n_rows,
        sample.row_weight,
        stopping.tolerance,
        stopping.max_passes,
        stopping.rule,
    )
    before = None if kept.record is None else kept.record.moment(rules[0])
    if before is not None:
        begun = _taken_up(before, counts, rules)
    else:
        begun = _starts(rows, sample, rules, contest, rng)
    climb = Sweep(begun, rows, contest, kept.keep)
    if not climb.states:
        raise climb.failures[0]
    if before is not None:
        climb.go_on_from(before)
    going_on = True
    while going_on:
        climb.run(contest.stopping, Verbose(0, 1, 0), progress)
        found = _judged(begun, climb)
        going_on = not climb.was_stopped and climb.revive(found)
    if not climb.was_stopped:
        found = mended(found, rows.source, contest, climb.again)
        found = challenged(found, sample, rows.source, contest, climb.again)
    kept.keep(climb, is_finished=not climb.was_stopped, durable=True)
    if all(candidate.totals is None for candidate in found):
        raise next(each.failure for each in found if each.failure is not None)
    return Swept(found, contest)


def _starts(
    rows: Rows,
    sample: Sample,
    rules: Sequence[em.MaximumLikelihood],
    contest: Contest,
    rng: np.random.Generator,
) -> Begun:
    """Grow the starts of every family on one sample."""
    n_rows = rows.source.n_rows
    possible = [count for count in contest.counts if n_rows is None or count <= n_rows]
    found: Begun = {}
    best = math.inf
    for rule in rules:
        growth = Growth(sample, rule, contest, rng, best)
        starts, best = growth.starts(possible), growth.best
        for count in contest.counts:
            start = starts.get(count, _too_many(count))
            found[rule.family, count] = (
                em.State(rule, start, memory=Memory("auto"))
                if isinstance(start, Parameters)
                else start
            )
    return found


def _taken_up(
    before: Moment, counts: Sequence[int], rules: Sequence[em.MaximumLikelihood]
) -> Begun:
    """Return the states that an earlier call has left, each with its own rule."""
    states = iter(before.states)
    each = ((rule, count) for rule in rules for count in counts)
    return {
        (rule.family, count): before.failures.get(c) or replace(next(states), rule=rule)
        for c, (rule, count) in enumerate(each)
    }


def _judged(begun: Begun, climb: Sweep) -> list[Candidate]:
    """Find the totals of all that are sound, in one pass."""
    sound = [state for state in climb.states if state.failure is None]
    totals = iter(passes.totals(climb.source, [state.parameters for state in sound]))
    states = iter(climb.states)
    found = []
    state: em.State | None
    failure: Exception | None
    for (family, count), start in begun.items():
        if isinstance(start, Exception):
            state, failure = None, start
        else:
            state = next(states)
            failure = state.failure
        total = next(totals) if failure is None else None
        if total is not None and total.n_rows < count:
            failure, total = _too_many(count), None
        found.append(Candidate(count, family, state, failure, total, climb.source.n_features))
    return found


def _too_many(count: int) -> ValueError:
    return ValueError(f"{count} components are more than there are rows")
