"""Fits candidates of several numbers of components and families in shared passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.em.acceleration import Acceleration
from fastgmm.estimators import priors
from fastgmm.estimators.callbacks import Progress
from fastgmm.estimators.climb import Climb, Prepared
from fastgmm.estimators.criteria import Criterion, named
from fastgmm.selection.candidate import Candidate, best_of
from fastgmm.selection.contest import Contest
from fastgmm.selection.descent import Descent, Start, holds_all, refine
from fastgmm.selection.monotone import mended
from fastgmm.storage.checkpoint import Moment

# the state of each candidate, or the error that left it without a start
Begun = dict[tuple[Family, int], em.State | Exception]


class Sweep(Climb):
    """Runs EM for all candidates over the rows of one source.

    Callbacks receive the candidate with the lowest BIC so far.

    Parameters
    ----------
    moment : Moment
        States of the candidates that have a start, by family and then by number of components,
        and the errors of the others.
    prepared : Prepared
    contest : Contest
        Decides which candidates have converged and which can still win.

    Attributes
    ----------
    candidates : list of Candidate
        All candidates with their results; empty before the end of `run`.
    """

    def __init__(self, moment: Moment, prepared: Prepared, contest: Contest) -> None:
        super().__init__(moment, prepared, contest.stopping)
        self.contest = contest
        self.candidates: list[Candidate] = []
        self.passed_over: set[int] = set()  # states whose components have collapsed
        self.n_again = 0  # repeated runs so far, including those in the checkpoint

    def run(self, progress: Progress) -> None:
        """Fit until no candidate can win any more, then mend dips."""
        going_on = True
        while going_on:
            super().run(progress)
            self.candidates = self._judged()
            going_on = not self.was_stopped and self.revive(self.candidates)
        if not self.was_stopped:
            self.candidates = self.improved(self.candidates)

    def improved(self, candidates: list[Candidate]) -> list[Candidate]:
        """Mend dips."""
        return mended(candidates, self.rows.source, self.contest, self.again)

    def chosen(self) -> Candidate:
        """Return the candidate of lowest criterion."""
        return best_of(self.candidates, self.contest.criterion)

    def may_win(self, rival: Candidate, best: Candidate) -> bool:
        """Whether more passes may bring a rival below the best."""
        value = best.value(self.contest.criterion)
        return rival.state is not None and self.contest.can_win(rival.state, value)

    @property
    def fits(self) -> tuple[em.State, ...]:
        """The states that are fitted to all rows."""
        return self.states

    def again(self, states: list[em.State], best: float, max_passes: int) -> list[em.State]:
        """Run EM from other states, or go on with them from the checkpoint.

        Each stops once it cannot come below ``best``, a value of the criterion.
        """
        before = self.moment.repairing[: self.n_again]
        kept = self.moment.repairing[self.n_again :][: len(states)] or states
        self.n_again += len(states)
        again = [replace(state, rule=fresh.rule) for state, fresh in zip(kept, states, strict=True)]

        def report(at: int, state: em.State) -> None:
            again[at] = state
            self.moment = replace(self.moment, repairing=(*before, *again))

        self.moment = replace(self.moment, repairing=(*before, *again))
        stopping = replace(self.contest.stopping, max_passes=max_passes)
        outdone = partial(self.contest.outdone, best=best)
        return em.run(again, self._pass, stopping, report, outdone)

    def outdone(self, states: Sequence[em.State]) -> Iterable[int]:
        """Return the states that cannot become the best any more."""
        return self.contest.outdone(states, passed_over=self.passed_over)

    def revive(self, candidates: Sequence[Candidate]) -> bool:
        """Resume stopped states that can win because the best so far has collapsed."""
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
            self._replace(c, replace(self.states[c], outcome=em.Outcome.RUNNING))
        return bool(held)

    @property
    def best(self) -> em.State:
        """The state with the lowest BIC so far, the first among equals."""

        def half_bic(state: em.State) -> float:
            if state.failure is not None or not state.trace:
                return np.inf
            row_weight = self.weigh_rows()
            n_parameters = state.rule.family.n_parameters(*state.parameters.means.shape)
            return float(
                0.5 * n_parameters * np.log(row_weight) - state.log_likelihood * row_weight
            )

        return min(self.fits, key=half_bic)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, with its size and covariance type."""
        best = self.best
        return super().attributes() | {
            "n_components_": best.parameters.n_components,
            "covariance_type_": best.rule.family.covariance_type,
        }

    def _judged(self) -> list[Candidate]:
        """Score all states that have not failed, in one pass; return every candidate."""
        source = self.rows.source
        sound = [state.parameters for state in self.fits if state.failure is None]
        totals, states = iter(passes.totals(source, sound)), iter(self.fits)
        found = []
        for c, (family, count) in enumerate(product(self.contest.families, self.contest.counts)):
            state = None if c in self.moment.failures else next(states)
            failure = self.moment.failures[c] if state is None else state.failure
            total = next(totals) if failure is None else None
            if total is not None and total.n_rows < count:
                failure, total = _too_many(count), None
            found.append(Candidate(count, family, state, failure, total, source.n_features))
        return found


def begin(
    estimator: Any, counts: Sequence[int], families: Sequence[Family], prepared: Prepared
) -> Sweep:
    """Make the starts of all candidates, or read their states from the checkpoint.

    Raises
    ------
    Exception
        The error of the first candidate, if none has a start.
    """
    rules = rules_of(families, prepared)
    contest = contest_of(estimator, named(estimator.criterion), counts, families, prepared)
    if prepared.record is None:
        moment = moment_of(starts_of(estimator, prepared, rules, contest).values())
    else:
        moment = taken_up(prepared.record.moment(rules[0]), counts, rules)
    if not moment.states:
        raise moment.failures[0]
    return Sweep(moment, prepared, contest)


def rules_of(families: Sequence[Family], prepared: Prepared) -> list[em.Maximisation]:
    """Return the update rule of each family."""
    return [em.Maximisation(family, prepared.reg_covar) for family in families]


def contest_of(
    estimator: Any,
    criterion: Criterion,
    counts: Sequence[int],
    families: Sequence[Family],
    prepared: Prepared,
) -> Contest:
    """Return what compares the candidates of an estimator."""
    sample = prepared.drawn
    return Contest(
        criterion,
        counts,
        families,
        prepared.rows.source.n_features,
        sample.n_rows,
        sample.row_weight,
        estimator.tol,
        estimator.max_iter,
        estimator.stopping,
    )


def moment_of(begun: Iterable[em.State | Exception]) -> Moment:
    """Return the moment before the first pass."""
    states, failures = [], {}
    for c, each in enumerate(begun):
        if isinstance(each, em.State):
            states.append(each)
        else:
            failures[c] = each
    return Moment(tuple(states), failures=failures)


def starts_of(
    estimator: Any, prepared: Prepared, rules: Sequence[em.Maximisation], contest: Contest
) -> Begun:
    """Make the starts of every family from one sample."""
    possible = [count for count in contest.counts if count <= prepared.drawn.n_rows]
    rng: Any = prepared.rng  # a generator, because no checkpoint holds the starts
    strengths = priors.strengths(estimator.prior, True, estimator.reg_covar) or ()
    descents: list[Descent] = []
    best = math.inf
    for rule in _richest_first(rules, prepared):
        others = [descent.found for descent in descents]
        descent = Descent(prepared.drawn, rule, contest, rng, strengths, best, others)
        descent.descend(possible)
        descents.append(descent)
        best = descent.best
    if not contest.is_patient:  # held-out rows compare candidates that are made alike
        refine(descents, possible)
    if not holds_all(prepared.drawn):
        best = math.inf
        for descent in descents:
            best = descent.settle(best)
    of_family = {descent.rule.family: descent.found for descent in descents}
    found: Begun = {}
    for rule in rules:
        for count in contest.counts:
            start = of_family[rule.family].get(count, _too_many(count))
            found[rule.family, count] = (
                _state(start, estimator, rule, prepared) if isinstance(start, Start) else start
            )
    return found


def _richest_first(rules: Sequence[em.Maximisation], prepared: Prepared) -> list[em.Maximisation]:
    """Return the rules in the order in which their starts are made.

    The likeliest families set a mark that spares others most of their passes: all 14 families of
    20 000 x 5 took 0.46 and 0.62 of the time of the given order.
    """
    if all(rule.family.constraint is None for rule in rules):
        return list(rules)
    n_features = prepared.rows.source.n_features
    return sorted(rules, key=lambda rule: -rule.family.n_parameters(2, n_features))


def _state(start: Start, estimator: Any, rule: em.Maximisation, prepared: Prepared) -> em.State:
    """Return a candidate before its first pass, with its prior."""
    own, prior, earlier = start
    sample, dtype = prepared.drawn, prepared.rows.source.dtype
    fixed = priors.fixed_prior(
        estimator.prior, rule.family, own.n_components, sample, prepared.reg_covar
    )
    is_same = holds_all(sample) and sample.incomplete is None and dtype == np.float64
    return em.State(
        rule.under(prior or fixed),
        own,
        acceleration=Acceleration("auto"),
        earlier=earlier if is_same and fixed is None else (),
    )


def taken_up(before: Moment, counts: Sequence[int], rules: Sequence[em.Maximisation]) -> Moment:
    """Return the moment of a checkpoint, with the update rule of each state."""
    of_all = [rule for rule in rules for _ in counts]
    own = [rule for c, rule in enumerate(of_all) if c not in before.failures]
    states = [
        replace(state, rule=rule.under(state.rule.prior))
        for state, rule in zip(before.states, own, strict=True)
    ]
    return replace(before, states=tuple(states))


def _too_many(count: int) -> ValueError:
    return ValueError(f"{count} components are more than there are rows")
