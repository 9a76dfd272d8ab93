"""Starts for each number of components, each merged from one of more, on a sample.

A default start of the most components has a part in every cluster. Merging two of them at a time,
those that lose least after some passes of EM, leads to the best mixtures of fewer (Figueiredo and
Jain 2002 let components die out likewise). Mixtures that grow by one component at a time keep what
they did wrong: of ten overlapping clusters in five features they had eleven to thirteen components,
and 190 to 530 of BIC too much. From a few more components than the best, other default starts come
down, until some in turn find nothing better.

Passes over a sample are cheap, so EM runs as far as the criterion can tell: past saddles that would
cost hundreds of passes over all rows. A start that cannot become the best stops earlier. Where the
sample has all rows, its last objectives go with it: one pass more tells that it has lost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.auto import regularised_start
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.prior_strength import (
    common_covariance_of,
    has_many_rows,
    is_starved,
    regularised_from,
    unit_of,
)
from fastgmm.initialisation.short_runs import ShortRuns
from fastgmm.initialisation.split_merge import Pair, apart, merged, merges
from fastgmm.initialisation.work import from_above
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample, by_priority, counted
from fastgmm.selection.contest import Contest
from fastgmm.sources import Source, open_source, with_weights

TRIED_PAIRS = 3  # of those that promise most
FIRST_PASSES, MORE_PASSES = 3, 7  # of each, and of the likeliest
# Rows on which merges are tried; the best goes on with the whole sample
FEWEST_ROWS = 5_000
ROWS_PER_FEATURE = 50  # of each component
# The first time down, only what may be the best is worth more passes, and others come down later
FIRST, POLISHING_PASSES = em.Stopping(1e-4, 20), 300
# Up to so many rows, a merged mixture gets a prior of its own. Under that of eight components, two
# of wine were 57 of BIC above what a fit of two finds
FEW_ROWS = 4_000
DESCENTS = 8  # at most
FEWER = 2  # components than the best, where they end
IN_VAIN, IN_VAIN_OF_FEW = 2, 3  # in turn that find nothing better; of few rows, which take 0.1 s
AGREEING = 1.0  # of the criterion: closer than this, a start has led to the same
# Where rows are more than few: with so many per parameter, a prior of this strength in rows keeps
# components from collapsing. Of 20 000 x 5, to look for strengths took 1.4 of 6.2 s, and found 0.01
# to 1, which moved BIC by less than 0.3
ENOUGH_ROWS, WEAK = 25, 0.1
CLEAR = 3.0  # standard errors by which a part of the rows tells which mixture is worse
STEPS = 3  # of EM: with the next, they show what is left


class Start(NamedTuple):
    """A mixture with its prior, and the objectives of the last steps of EM that led to it."""

    parameters: Parameters
    prior: Prior | None
    earlier: tuple[float, ...] = ()  # of the rows of the sample


Found = Start | Exception  # the exception says why there is none


class Descent:
    """Mixtures of one family, merged on a sample.

    Parameters
    ----------
    sample : Sample
    rule : em.Maximisation
    contest : Contest
        On all rows.
    rng : numpy.random.Generator
    strengths : sequence of float, default=()
        Numbers of rows that the prior of a start may count as; () for no prior.
    best : float, default=inf
        The lowest criterion on the sample that other families have reached.
    others : sequence of dict, default=()
        What has been found for these families. A family with a constraint begins where they have
        ended, in the place of a default start: 14 families take a half to a third of the time, and
        the lowest BIC of sets simulated from each was the same within 0.2.

    Attributes
    ----------
    found : dict of int to Start or Exception
        The best start, or the failure, by number of components.
    values : dict of int to float
        Their criterion on the sample; inf where components have collapsed.
    """

    def __init__(
        self,
        sample: Sample,
        rule: em.Maximisation,
        contest: Contest,
        rng: np.random.Generator,
        strengths: Sequence[float] = (),
        best: float = math.inf,
        others: Sequence[Mapping[int, Found]] = (),
    ) -> None:
        self.others = others
        self.sample = sample._replace(origin=np.zeros_like(sample.origin))
        self.origin = sample.origin
        self.source = _source_of(self.sample)
        self.rule, self.rng, self.strengths = rule, rng, strengths
        # among mixtures of all rows, and of the sample alone
        self.whole = replace(contest, max_passes=POLISHING_PASSES, rule="aitken")
        self.contest, self.best = _of_sample(self.whole, sample), best
        self.priorities, self.order = by_priority(sample.weights, rng)
        self.found: dict[int, Found] = {}
        self.values: dict[int, float] = {}
        self._leader: tuple[Parameters, float] | None = None  # and its log-likelihood per row

    @property
    def least(self) -> float:
        """The lowest criterion of this family; inf if all have failed."""
        return min(self.values.values(), default=math.inf)

    @property
    def best_count(self) -> int:
        """The number of components that has it."""
        return min(self.values, key=self.values.__getitem__, default=1)

    def descend(self, counts: Sequence[int]) -> None:
        """Find mixtures of these numbers of components, from the most down to the fewest."""
        for at in range(len(counts), 0, -1):
            # what has failed or collapsed on the way is begun anew
            if not self.values.get(counts[at - 1], math.inf) < math.inf:
                self._down(counts[:at], counts, FIRST, self.others)

    def refine(self, counts: Collection[int]) -> None:
        """Let others come down, from above the best and from itself, until some are in vain."""
        most_in_vain = IN_VAIN_OF_FEW if len(self.sample.rows) <= FEW_ROWS else IN_VAIN
        in_vain = 0
        for turn in range(DESCENTS if self.least < math.inf else 0):
            before, best = self.best, self.best_count
            above = best if turn % 2 else from_above(best)
            most = min(above, max(best, self.sample.n_rows))
            if most == 1:
                return
            path = range(max(1, best - FEWER), most + 1)
            self._down(path, counts, self.contest.stopping)
            in_vain = 0 if self.best < before - AGREEING else in_vain + 1
            if in_vain == most_in_vain:
                return

    def settle(self, best: float = math.inf) -> float:
        """Go on over the sample as long as all rows would, and return the lowest criterion of all.

        Each as long as it could come below the best so far, if all rows were as the sample is. Of
        1 000 000 x 10, 13 to 20 components took 4 to 14 passes over all rows until they could not
        win, and take 4, but for the last, which takes 11.
        """
        with one_blas_thread():  # else the bits of its products follow the number of threads
            for count in sorted(self.values, key=self.values.__getitem__):
                own, prior, _ = cast(Start, self.found[count])
                start = replace(own, means=own.means - self.origin)
                state = em.State(self._under(prior, self.sample), start)
                state = self._polished(state, self.whole.stopping, self.whole, best)
                if state.failure is None:
                    own = replace(state.parameters, means=state.parameters.means + self.origin)
                    self.found[count] = Start(own, prior)
                    best = min(best, self.whole.reached([state]))
        return best

    def _down(
        self,
        path: Sequence[int],
        counts: Collection[int],
        stopping: em.Stopping,
        others: Sequence[Mapping[int, Found]] = (),
    ) -> None:
        """Come down from a default start, and keep what is better of these counts.

        What other families have found stands in the place of the default start, and competes with
        what is merged, if this family has a constraint.
        """
        with one_blas_thread():  # else the bits of its products follow the number of threads
            start = self._near_start(path[-1], others) or self._start(path[-1])
            if isinstance(start, Exception):
                self.found.setdefault(path[-1], start)
                return
            own, prior, _ = start
            state = em.State(self._under(prior, self.sample), own)
            for count in reversed(path):
                while state.failure is None and state.parameters.n_components > count:
                    state, prior = self._merged(state, prior, count, others)
                if state.failure is not None:
                    self.found.setdefault(count, state.failure)
                    return
                if not self._may_be_best(state):
                    continue
                begun = em.State(self._under(prior, self.sample), state.parameters)
                state = self._polished(begun, stopping, self.contest, self.best)
                if state.failure is not None:
                    self.found.setdefault(count, state.failure)
                    return
                if count in counts:
                    self._keep(state, prior)

    def _keep(self, state: em.State, prior: Prior | None) -> None:
        """Keep a state if it is the best of its number of components."""
        own, value = state.parameters, self.contest.reached([state])
        count = own.n_components
        if count in self.values and not value < self.values[count]:
            return
        if value < self.least:
            self._leader = own, state.log_likelihood
        earlier = tuple(each for each in state.steps[-STEPS:] if math.isfinite(each))
        own = replace(own, means=own.means + self.origin)
        self.found[count], self.values[count] = Start(own, prior, earlier), value
        self.best = min(self.best, value)

    @one_blas_thread()
    def _may_be_best(self, state: em.State) -> bool:
        """Whether a merged mixture may come below the best, or is the first of its size.

        A part of the rows tells how it differs from the leader, whose log-likelihood is known.
        """
        count = state.parameters.n_components
        is_needed = not self.values.get(count, math.inf) < math.inf
        if self._leader is None or is_needed or not state.trace:
            return True
        leader, its = self._leader
        fewer = self._fewer(count)
        rows, weights = open_source(fewer.rows), fewer.weights
        of_rows, of_leader = (
            passes.log_likelihoods(rows, each) for each in (state.parameters, leader)
        )
        more = of_rows - of_leader
        mean = float(weights @ more)
        variance = float(weights @ (more - mean) ** 2) * float(weights @ weights)
        shift = its + mean + CLEAR * math.sqrt(variance) - state.trace[-1]
        state = replace(state, trace=tuple(each + shift for each in state.trace))
        return self.contest.can_win(state, self.best)

    def _start(self, count: int) -> Found:
        """Return a default start with a prior of its own, or the failure."""
        try:
            if not self.strengths:
                own = start_from(self.sample, "auto", count, self.rule, self.rng)
                return Start(own, None)
            if not self._are_enough(count):
                return Start(
                    *regularised_start(self.sample, count, self.rule, self.strengths, self.rng)
                )
            return self._with_prior(start_from(self.sample, "auto", count, self.rule, self.rng))
        except DegenerateCovarianceError as failure:
            return failure

    def _are_enough(self, count: int) -> bool:
        """Whether there are enough rows for so many components under a weak prior."""
        n_parameters = self.rule.family.n_parameters(count, self.sample.rows.shape[1])
        is_free = len(self.strengths) > 1 and len(self.sample.rows) > FEW_ROWS
        return is_free and has_many_rows(self.sample, n_parameters, ENOUGH_ROWS)

    def _with_prior(self, own: Parameters) -> Start:
        """Return a mixture under a prior, weak where rows are enough, and none where many."""
        count = own.n_components
        n_parameters = self.rule.family.n_parameters(count, own.n_features)
        is_starved_here = self._are_enough(count) and is_starved(own, self.sample)
        if has_many_rows(self.sample, n_parameters) and not is_starved_here:
            return Start(own, None)
        if is_starved_here or not self._are_enough(count):
            return Start(*regularised_from([own], self.sample, self.rule, self.strengths))
        (found,) = passes.statistics(_source_of(self._fewer(count)), [own])
        common = common_covariance_of(found, self.rule.reg_covar)
        return Start(own, Prior(WEAK * unit_of(self.sample), common))

    def _merged(
        self,
        state: em.State,
        prior: Prior | None,
        least: int,
        others: Sequence[Mapping[int, Found]],
    ) -> tuple[em.State, Prior | None]:
        """Return the best of some mixtures with fewer components, at least so many.

        Where rows are few, it has a prior of its own.
        """
        at = state.parameters.n_components
        n_merged = min(at - least, max(1, at // 2))
        short = self._short(at, prior)
        collapsed = self.contest.collapsed(state)
        found = [*unions(state.parameters, n_merged, self.rule.family, collapsed)]
        best = _best_of([*found, *self._near(at - n_merged, short, others)], short)
        if best.failure is not None:
            return best, prior
        own = best.parameters
        if self.strengths and len(self.sample.rows) <= FEW_ROWS:
            own, prior = regularised_from([own], self.sample, self.rule, self.strengths)
        return replace(best, parameters=own), prior

    def _near_start(self, count: int, others: Sequence[Mapping[int, Found]]) -> Start | None:
        """Return the best of what is near, with a prior of its own where rows are not many."""
        short = self._short(count, None)
        found = self._near(count, short, others)
        best = _best_of(found, short) if found else None
        if best is None or best.failure is not None:
            return None
        own = best.parameters
        return self._with_prior(own) if self.strengths else Start(own, None)

    def _near(
        self, count: int, short: ShortRuns, others: Sequence[Mapping[int, Found]]
    ) -> list[Parameters]:
        """Return the M-steps from the components that other families have ended in."""
        if self.rule.family.constraint is None:
            return []
        known = [each[count] for each in others if count in each]
        ended = [each.parameters for each in known if isinstance(each, Start)]
        source = _source_of(short.sample)
        here = [replace(each, means=each.means - self.origin) for each in ended]
        return short.begun([partial(_shares, source, each) for each in here])

    def _short(self, count: int, prior: Prior | None) -> ShortRuns:
        fewer = self._fewer(count)
        return ShortRuns(fewer, self._under(prior, fewer))

    def _polished(
        self, state: em.State, stopping: em.Stopping, contest: Contest, best: float
    ) -> em.State:
        """Run EM over the whole sample, as long as it can come below the best."""
        start = em.State(state.rule, state.parameters, acceleration=Acceleration("auto"))
        data_pass = partial(passes.statistics, self.source)
        outdone = partial(contest.outdone, best=best)
        (found,) = em.run([start], data_pass, stopping, outdone=outdone)
        return found

    def _under(self, prior: Prior | None, sample: Sample) -> em.Maximisation:
        """Return the rule with a prior, for rows of a part of the sample."""
        own_weight = self.sample.own_weight * len(sample.rows) / len(self.sample.rows)
        return self.rule.under(None if prior is None else prior.on(1.0 / own_weight))

    def _fewer(self, count: int) -> Sample:
        """Return a part of the sample; a larger part holds the rows of a smaller one."""
        most = max(FEWEST_ROWS, ROWS_PER_FEATURE * count * self.sample.rows.shape[1])
        chosen = self.order[:most]
        weights = self.sample.weights[chosen]
        if most < len(self.order):
            # times the largest: those that are equal stay so to the last bit
            weights = counted(weights, self.priorities[self.order[most]]) * weights.max()
        return self.sample._replace(rows=self.sample.rows[chosen], weights=weights / weights.sum())


def refine(descents: Sequence[Descent], counts: Collection[int]) -> None:
    """Refine all families but those that are above the best by more than all its penalty."""
    best = math.inf
    for descent in sorted(descents, key=lambda each: each.least):
        family = descent.rule.family
        is_free = family.constraint is None  # others have begun where these have ended
        penalty = 2.0 * descent.contest.charged(family, descent.best_count) if is_free else 0.0
        if descent.least - penalty < best:
            descent.best = min(descent.best, best)
            descent.refine(counts)
            best = min(best, descent.least)


def unions(
    parameters: Parameters, n_merged: int, family: Family, first: Collection[int] = ()
) -> Iterator[Parameters]:
    """Yield mixtures with so many pairs of components merged, those that lose least.

    Of one pair there are several; of more, which share no component, there is one. Pairs with the
    components that are named first come before others.
    """
    pairs: list[Pair] = [(i, j) for _, i, j in merges(parameters)]
    pairs.sort(key=lambda pair: not (pair[0] in first or pair[1] in first))
    if n_merged == 1:
        for pair in pairs[:TRIED_PAIRS]:
            yield _united(parameters, [pair], family)
    else:
        yield _united(parameters, apart(pairs)[:n_merged], family)


def _united(parameters: Parameters, pairs: Sequence[Pair], family: Family) -> Parameters:
    """Merge these pairs, and leave out what has given its rows away."""
    both = merged(parameters, pairs, family)
    kept = np.delete(np.arange(parameters.n_components), [j for _, j in pairs])
    own = parameters.structure.places(kept)
    return Parameters(
        parameters.structure,
        both.weights[kept],
        both.means[kept],
        both.covariances[own],
        both.precisions_cholesky[own],
    )


def _best_of(found: Sequence[Parameters], short: ShortRuns) -> em.State:
    """Return the likeliest after some passes, or the first failure if all have failed."""
    tried = [em.State(short.rule, each) for each in found]
    for n_passes in (FIRST_PASSES, MORE_PASSES):
        tried = short.advance(tried, n_passes)
        sound = [each for each in tried if each.failure is None]
        if not sound:
            break
        tried = [max(sound, key=lambda each: each.trace[-1])]
    return tried[0]


def _shares(source: Source, parameters: Parameters) -> Array:
    return passes.responsibilities(source, parameters).T


def holds_all(sample: Sample) -> bool:
    """Whether a sample has left out no row; rows that are equal may be one in it."""
    return sample.own_weight >= sample.row_weight


def _of_sample(contest: Contest, sample: Sample) -> Contest:
    """Return the contest as it would be on the rows of a sample."""
    if holds_all(sample):
        return contest
    count = len(sample.rows)
    return replace(contest, n_rows=count, row_weight=float(count))


def _source_of(sample: Sample) -> Source:
    """Return the rows of a sample, less its origin, as a source."""
    return with_weights(open_source(sample.rows), sample.weights)
