"""Starts for each number of components, each grown from the one before, on a sample.

Baudry and Celeux (2015): K+1 components start from K with one of them divided, so that failed
starts leave no dips in a criterion's curve. A few cuts and fresh starts run EM together for some
passes over a part of the sample; the best goes on over the whole sample, and the next K grows from
it. Passes over a sample are cheap, so EM runs as far as the criterion can tell: past saddles that
would cost hundreds of passes over all rows. A start that cannot become the best stops earlier.

Where rows are few, K+1 components grow under the prior of K, and their own is chosen by how well
rows that are left out are predicted: by likelihood alone, a start whose component was about to
collapse won, and three diagonal components of wine stood against a fourth that was 130 too high.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from fastgmm import em, passes
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.auto import regularised_start
from fastgmm.initialisation.coordinates import whiten
from fastgmm.initialisation.kmeans import Members, k_means, maximise, members
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.prior_strength import Regularised, has_many_rows, regularised_from
from fastgmm.initialisation.short_runs import ShortRuns
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample, by_priority, counted
from fastgmm.selection.contest import Contest
from fastgmm.selection.splitting import best_cuts, divided
from fastgmm.sources import Source, open_source, with_weights

TRIED_CUTS = 3  # of those that promise most
TRIAL = em.Stopping(1e-4, 10)
POLISHING_PASSES = 300
# Rows on which alternatives are made and tried; the best goes on with the whole sample
FEWEST_ROWS = 5_000
ROWS_PER_FEATURE = 50  # of each component
FRESH_FROM_ALL_KINDS = 8  # components: beyond, growing is sound, and default starts cost most
# Fresh starts of few rows: from one, four seeds of six chose four diagonal components of wine whose
# BIC is 18 above the best, from three none
FRESH_OF_FEW, FEW_ROWS = 3, 1_000
# Default starts, with a prior of their own, that compete with the best of all that has grown, up to
# so many rows. From 20 seeds, the BIC of digits (full) was up to 103 above that of a loop of fits
# with five starts, with two such starts never; that of wine up to 18, with three never
REFINING, REFINING_OF_FEW, REFINED_ROWS = 2, 3, 4_000
AGREEING = 1.0  # of the criterion: closer than this, a start has led to the same

Grown = Regularised | Exception  # the exception says why there are none


class Growth:
    """Mixtures of one family, growing on a sample.

    Parameters
    ----------
    sample : Sample
    rule : em.Maximisation
    contest : Contest
        On all rows.
    rng : numpy.random.Generator
    strengths : sequence of float, default=()
        Numbers of rows that the prior of a start may count as; () for no prior. Each mixture grows
        under the prior of the one before.
    best : float, default=inf
        The lowest criterion on the sample that other families have reached.
    others : sequence of dict, default=()
        What `starts` has found for these families. A family with a constraint begins where they
        have ended, in the place of fresh starts: 14 families take a half to a third of the time,
        and the lowest BIC of sets simulated from each was the same within 0.2.
    """

    def __init__(
        self,
        sample: Sample,
        rule: em.Maximisation,
        contest: Contest,
        rng: np.random.Generator,
        strengths: Sequence[float] = (),
        best: float = math.inf,
        others: Sequence[dict[int, Grown]] = (),
    ) -> None:
        self.others = others
        self.sample = sample._replace(origin=np.zeros_like(sample.origin))
        self.origin = sample.origin
        self.source = source_of(self.sample)
        self.rule, self.rng, self.strengths = rule, rng, strengths
        self.contest, self.best = of_sample(contest, sample), best
        self.priorities, self.order = by_priority(sample.weights, rng)
        self.values: dict[int, float] = {}  # criterion of each number of components on the sample

    def starts(self, counts: Sequence[int]) -> dict[int, Grown]:
        """Return parameters and prior, or the failure, for each number of components."""
        found: dict[int, Grown] = {}
        last: Regularised | None = None
        for count in _path(sorted(counts)):
            with one_blas_thread():  # else the bits of its products follow the number of threads
                grown = self._grown(last, count)
            if isinstance(grown, Regularised):
                last, own = grown, grown.parameters
                grown = grown._replace(parameters=replace(own, means=own.means + self.origin))
            if count in counts:
                found[count] = grown
        return found

    def refined(self, count: int) -> Regularised | None:
        """Return what a few default starts lead to, if that is better than the best so far.

        With more than few rows, where a start costs most, one that agrees with the best is the
        last.
        """
        found, n_rows = None, len(self.sample.rows)
        if count == 1 or not self.sample.n_rows <= n_rows <= REFINED_ROWS:
            return None
        for _ in range(REFINING_OF_FEW if self._has_few_rows else REFINING):
            with one_blas_thread():  # else the bits of its products follow the number of threads
                start = self._fresh(count)
                if isinstance(start, Exception):
                    continue
                rule = self._under(start.prior, self.sample)
                begun = em.State(rule, start.parameters)
                polished = polish(begun, self.source, self.contest, self.best)
            gained = self.best - self.contest.reached([polished])
            if gained > AGREEING:
                own = polished.parameters
                own = replace(own, means=own.means + self.origin)
                found, self.best = Regularised(own, start.prior), self.best - gained
            elif gained > -AGREEING and not self._has_few_rows:
                break
        return found

    def _fresh(self, count: int) -> Grown:
        """Return a default start with a prior of its own, or the failure."""
        try:
            if self.strengths:
                return regularised_start(self.sample, count, self.rule, self.strengths, self.rng)
            return Regularised(start_from(self.sample, "auto", count, self.rule, self.rng), None)
        except DegenerateCovarianceError as failure:
            return failure

    def _grown(self, last: Regularised | None, count: int) -> Grown:
        """Grow one mixture from a smaller one."""
        fewer = self._fewer(count)
        rule = self._under(None if last is None else last.prior, fewer)
        smaller = None if last is None else last.parameters
        alternatives = list(self._alternatives(smaller, count, fewer, rule))
        starts = [em.State(rule, each) for each in alternatives if isinstance(each, Parameters)]
        tried = ShortRuns(fewer, rule).advance(starts, TRIAL.max_passes)
        sound = best_first(tried)
        for state, prior in self._led(sound, count, fewer):
            polished = polish(state, self.source, self.contest, self.best)
            if polished.failure is None:
                self.values[count] = self.contest.reached([polished])
                self.best = min(self.best, self.values[count])
                return Regularised(polished.parameters, prior)
            tried.append(polished)
        failures = [state.failure for state in tried if state.failure is not None]
        without = [each for each in reversed(alternatives) if isinstance(each, Exception)]
        return [*failures, *without][0]

    def _led(
        self, sound: Sequence[em.State], count: int, fewer: Sample
    ) -> Iterator[tuple[em.State, Prior | None]]:
        """Yield states, the best first, with the prior under which they are to go on."""
        n_parameters = self.rule.family.n_parameters(count, self.sample.rows.shape[1])
        many = len(self.strengths) > 1 and has_many_rows(self.sample, n_parameters)
        if sound and self.strengths and count > 1 and not many:
            here = fewer._replace(own_weight=self._own_weight(fewer))
            most = len(sound) if self._has_few_rows else 1
            starts = [state.parameters for state in sound[:most]]
            found = regularised_from(starts, here, self.rule, self.strengths)
            rule = self._under(found.prior, self.sample)
            yield em.State(rule, found.parameters), found.prior
        for state in sound:
            yield em.State(self.rule, state.parameters), None

    def _under(self, prior: Prior | None, sample: Sample) -> em.Maximisation:
        """Return the rule with a prior, for rows of a part of the sample."""
        of_sample = None if prior is None else prior.on(1.0 / self._own_weight(sample))
        return self.rule.under(of_sample)

    @property
    def _has_few_rows(self) -> bool:
        """Whether more starts may be tried, and all be asked how well they predict."""
        return len(self.sample.rows) <= FEW_ROWS

    def _own_weight(self, fewer: Sample) -> float:
        return self.sample.own_weight * len(fewer.rows) / len(self.sample.rows)

    def _alternatives(
        self, smaller: Parameters | None, count: int, fewer: Sample, rule: em.Maximisation
    ) -> Iterator[Parameters | Exception]:
        """Yield a few divisions of the smaller mixture, and fresh starts."""
        n_cuts = count - (0 if smaller is None else smaller.n_components)
        if smaller is not None:
            yield from self._divisions(smaller, n_cuts, fewer, rule)
        neighbours = self._neighbours(count, fewer, rule)
        if neighbours:
            yield from neighbours
        elif n_cuts > 1 or count <= FRESH_FROM_ALL_KINDS:
            start = partial(start_from, self.sample, "auto", count)
            for _ in range(FRESH_OF_FEW if self._has_few_rows else 1):
                yield _tried(start, self.rule, self.rng)
        else:
            for shares in self._clusters(fewer, count):
                yield _tried(maximise, fewer, shares, self.rule)

    def _neighbours(self, count: int, fewer: Sample, rule: em.Maximisation) -> list[Parameters]:
        """Return the M-steps from the components that other families have ended in."""
        if self.rule.family.constraint is None:
            return []
        known = [each[count] for each in self.others if count in each]
        ended = [each.parameters for each in known if isinstance(each, Regularised)]
        source = source_of(fewer)
        here = [replace(each, means=each.means - self.origin) for each in ended]
        divisions = [partial(_shares, source, each) for each in here]
        return ShortRuns(fewer, rule).begun(divisions)

    def _clusters(self, fewer: Sample, count: int) -> Iterator[list[Members]]:
        """Yield the clusters of k-means on standardised and on whitened features."""
        with one_blas_thread():
            whitened = whiten(fewer.rows - fewer.weights @ fewer.rows, fewer.weights)
        for rows in (whitened.standardised, whitened.invariant):
            _, labels = k_means(fewer._replace(rows=rows), count, self.rng)
            yield members(fewer, np.zeros((count, fewer.rows.shape[1])), labels)

    def _divisions(
        self, smaller: Parameters, n_cuts: int, fewer: Sample, rule: em.Maximisation
    ) -> Iterator[Parameters | Exception]:
        """Yield the best ways to divide one component, or the best way to divide several."""
        responsibilities = passes.responsibilities(source_of(fewer), smaller)
        cuts = best_cuts(fewer.rows, fewer.weights, responsibilities, smaller)
        chosen = [[cut] for cut in cuts[:TRIED_CUTS]]
        if n_cuts > 1:
            best = {cut.component: cut for cut in reversed(cuts)}  # the last to come is the best
            several = sorted(best.values(), key=lambda cut: -cut.gain)[:n_cuts]
            chosen = [several] if len(several) == n_cuts else []
        for each in chosen:
            yield _tried(divided, smaller, each, rule)

    def _fewer(self, count: int) -> Sample:
        """Return a part of the sample; a larger part holds the rows of a smaller one."""
        most = max(FEWEST_ROWS, ROWS_PER_FEATURE * count * self.sample.rows.shape[1])
        chosen = self.order[:most]
        weights = self.sample.weights[chosen]
        if most < len(self.order):
            # times the largest: those that are equal stay so to the last bit
            weights = counted(weights, self.priorities[self.order[most]]) * weights.max()
        return self.sample._replace(rows=self.sample.rows[chosen], weights=weights / weights.sum())


def _shares(source: Source, parameters: Parameters) -> Array:
    return passes.responsibilities(source, parameters).T


def _path(counts: Sequence[int]) -> Iterator[int]:
    """Yield the numbers of components from 1 to the last; gaps are crossed by doubling."""
    at = 1
    for count in counts:
        while at < count:
            yield at
            at = min(2 * at, count)
    yield counts[-1]


def _tried(start: Callable[..., Parameters], *arguments: object) -> Parameters | Exception:
    """Return the parameters of a start, or the failure if it is degenerate."""
    try:
        return start(*arguments)
    except DegenerateCovarianceError as failure:
        return failure


def of_sample(contest: Contest, sample: Sample) -> Contest:
    """Return the contest as it would be on the rows of a sample, for short runs."""
    count = len(sample.rows)
    return replace(
        contest,
        n_rows=count,
        row_weight=float(count),
        max_passes=POLISHING_PASSES,
        rule="aitken",
    )


def polish(state: em.State, source: Source, contest: Contest, best: float = math.inf) -> em.State:
    """Run EM over the whole sample, as long as it can come below a value of the criterion."""
    start = em.State(state.rule, state.parameters, acceleration=Acceleration("auto"))
    outdone = partial(contest.outdone, best=best)
    data_pass = partial(passes.statistics, source)
    (found,) = em.run([start], data_pass, contest.stopping, outdone=outdone)
    return found


def best_first(states: Sequence[em.State]) -> list[em.State]:
    """Return the sound states, the likeliest first."""
    sound = [state for state in states if state.failure is None]
    return sorted(sound, key=lambda state: -state.trace[-1])


def source_of(sample: Sample) -> Source:
    """Return the rows of a sample, less its origin, as a source."""
    return with_weights(open_source(sample.rows), sample.weights)
