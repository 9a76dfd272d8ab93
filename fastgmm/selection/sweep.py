"""Candidates of several sizes and families, fitted in shared passes over the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastgmm import em, passes
from fastgmm.checkpoint import Moment
from fastgmm.covariance import Family
from fastgmm.estimators.fitting import Climb
from fastgmm.estimators.randomness import RandomState, generator
from fastgmm.estimators.reporting import Progress, Verbose
from fastgmm.estimators.resuming import Kept
from fastgmm.estimators.rows import Rows
from fastgmm.estimators.starts import regularisation
from fastgmm.parameters import Parameters
from fastgmm.sample import Sample, sample_of
from fastgmm.selection.candidate import Candidate
from fastgmm.selection.growth import Growth
from fastgmm.selection.mending import mended

# the state of every candidate, or why it has no start
Begun = dict[tuple[Family, int], em.State | Exception]


class Sweep(Climb):
    """EM from the starts of all candidates over the rows of one source.

    Callbacks are shown the candidate of lowest BIC so far.

    Parameters
    ----------
    begun : dict
        The state of every candidate, or why it has no start.
    rows : Rows
    keep : callable
        Called before every pass, to write down how far the sweep has come.
    """

    def __init__(self, begun: Begun, rows: Rows, keep: Callable[[Climb], None]) -> None:
        super().__init__([e for e in begun.values() if isinstance(e, em.State)], rows, keep=keep)
        self.families = [key[0] for key, each in begun.items() if isinstance(each, em.State)]
        self.failures = {
            c: each for c, each in enumerate(begun.values()) if isinstance(each, Exception)
        }
        self.mending: list[em.State] = []

    @property
    def moment(self) -> Moment:
        """All that is needed to go on from here."""
        return replace(super().moment, repairing=tuple(self.mending), failures=self.failures)

    def go_on_from(self, moment: Moment) -> None:
        """Stand where another sweep over the same rows has stood."""
        states = self.states  # the same, each with the rule of its family
        super().go_on_from(replace(moment, repairing=()))
        self.states, self.mending = states, list(moment.repairing)

    def again(self, states: list[em.State], stopping: em.Stopping) -> list[em.State]:
        """Climb from other states, or from where an earlier call has brought them."""

        def report(at: int, state: em.State) -> None:
            self.mending[at] = state

        kept = self.mending or states
        self.mending = [
            replace(state, rule=fresh.rule) for state, fresh in zip(kept, states, strict=True)
        ]
        return em.run(self.mending, self._pass, stopping, report)

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
    stopping: em.Stopping,
    random_state: RandomState,
    progress: Progress,
    kept: Kept,
) -> list[Candidate]:
    """Fit every number of components in every family.

    One pass draws a sample, on which the starts grow; then as many as the slowest candidate
    needs, shared by all; and one for the criteria. Where a curve dips, two or more mend it.

    Raises
    ------
    ValueError
        If the rows are fewer than the least number of components.
    Exception
        What the first candidate failed of, if all of them failed.
    """
    rng = generator(None if kept.record is not None else random_state)
    sample = sample_of(rows.source, kept.choose_seed(rng))
    kept.compare(sample)
    added = regularisation(reg_covar, is_relative, sample)
    rules = [em.MaximumLikelihood(family, added) for family in families]
    before = None if kept.record is None else kept.record.moment(rules[0])
    if before is not None:
        begun = _taken_up(before, counts, rules)
    else:
        begun = _starts(rows, sample, counts, rules, stopping.tolerance, rng)
    climb = Sweep(begun, rows, kept.keep)
    if not climb.states:
        raise climb.failures[0]
    if before is not None:
        climb.go_on_from(before)
    climb.run(stopping, Verbose(0, 1, 0), progress)
    found = _judged(begun, climb)
    if not climb.was_stopped:
        found = mended(found, rows.source, stopping, climb.again)
    kept.keep(climb, is_finished=not climb.was_stopped, durable=True)
    if all(candidate.totals is None for candidate in found):
        raise next(each.failure for each in found if each.failure is not None)
    return found


def _starts(
    rows: Rows,
    sample: Sample,
    counts: Sequence[int],
    rules: Sequence[em.MaximumLikelihood],
    tolerance: float,
    rng: np.random.Generator,
) -> Begun:
    """Grow the starts of every family on one sample."""
    n_rows = rows.source.n_rows
    possible = [count for count in counts if n_rows is None or count <= n_rows]
    found: Begun = {}
    for rule in rules:
        starts = Growth(sample, rule, tolerance, rng).starts(possible)
        for count in counts:
            start = starts.get(count, _too_many(count))
            found[rule.family, count] = (
                em.State(rule, start) if isinstance(start, Parameters) else start
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
