"""Starts for each number of components, each grown from the one before, on a sample.

Baudry and Celeux (2015): K+1 components start from K with one of them divided, so that failed
starts leave no dips in a criterion's curve. A few cuts and fresh starts run EM together for some
passes over a part of the sample; the best goes on over the whole sample, and the next K grows from
it. Passes over a sample are cheap, so EM runs as far as the criterion can tell: past saddles that
would cost hundreds of passes over all rows. A start that cannot become the best stops earlier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeGuard

import numpy as np

from fastgmm import em, passes
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.coordinates import whiten
from fastgmm.initialisation.kmeans import Members, k_means, maximise, members
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.prior_strength import Regularised, has_many_rows, regularised_from
from fastgmm.mixture.parameters import Parameters
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

Grown = Parameters | Exception  # the exception says why there are none


class Growth:
    """Mixtures of one family, growing on a sample.

    Parameters
    ----------
    sample : Sample
    rule : em.UpdateRule
    contest : Contest
        On all rows.
    rng : numpy.random.Generator
    best : float, default=inf
        The lowest criterion on the sample that other families have reached.
    """

    def __init__(
        self,
        sample: Sample,
        rule: em.UpdateRule,
        contest: Contest,
        rng: np.random.Generator,
        best: float = math.inf,
    ) -> None:
        self.sample = sample._replace(origin=np.zeros_like(sample.origin))
        self.origin = sample.origin
        self.source = source_of(self.sample)
        self.rule, self.rng = rule, rng
        self.contest, self.best = of_sample(contest, sample), best
        self.priorities, self.order = by_priority(sample.weights, rng)

    def starts(self, counts: Sequence[int]) -> dict[int, Grown]:
        """Return parameters, or the failure, for each number of components."""
        found: dict[int, Grown] = {}
        last: Parameters | None = None
        for count in _path(sorted(counts)):
            with one_blas_thread():  # else the bits of its products follow the number of threads
                grown = self._grown(last, count)
            if isinstance(grown, Parameters):
                last = grown
                grown = replace(grown, means=grown.means + self.origin)
            if count in counts:
                found[count] = grown
        return found

    def regularised(self, start: Parameters, strengths: Sequence[float]) -> Regularised:
        """Return a start and the prior with which it predicts best, of some strengths in rows."""
        n_parameters = self.rule.family.n_parameters(*start.means.shape)
        many = has_many_rows(self.sample, n_parameters)
        if start.n_components == 1 or (len(strengths) > 1 and many):
            return Regularised(start, None)
        fewer = self._fewer(start.n_components)
        own_weight = self.sample.own_weight * len(fewer.rows) / len(self.sample.rows)
        here = fewer._replace(origin=self.origin, own_weight=own_weight)
        return regularised_from(start, here, self.rule, strengths)

    def _grown(self, smaller: Parameters | None, count: int) -> Grown:
        """Grow one mixture from a smaller one."""
        fewer = self._fewer(count)
        alternatives = list(self._alternatives(smaller, count, fewer))
        starts = [em.State(self.rule, each) for each in alternatives if _is_sound(each)]
        tried = em.run(starts, partial(passes.statistics, source_of(fewer)), TRIAL)
        for state in best_first(tried):
            polished = polish(state, self.source, self.contest, self.best)
            if polished.failure is None:
                self.best = min(self.best, self.contest.reached([polished]))
                return polished.parameters
            tried.append(polished)
        return next(
            (state.failure for state in tried if state.failure is not None), alternatives[-1]
        )

    def _alternatives(
        self, smaller: Parameters | None, count: int, fewer: Sample
    ) -> Iterator[Grown]:
        """Yield a few divisions of the smaller mixture, and fresh starts."""
        n_cuts = count - (0 if smaller is None else smaller.n_components)
        if smaller is not None:
            yield from self._divisions(smaller, n_cuts, fewer)
        if n_cuts > 1 or count <= FRESH_FROM_ALL_KINDS:
            start = partial(start_from, self.sample, "auto", count)
            yield _tried(start, self.rule, self.rng)
        else:
            for shares in self._clusters(fewer, count):
                yield _tried(maximise, fewer, shares, self.rule)

    def _clusters(self, fewer: Sample, count: int) -> Iterator[list[Members]]:
        """Yield the clusters of k-means on standardised and on whitened features."""
        with one_blas_thread():
            whitened = whiten(fewer.rows - fewer.weights @ fewer.rows, fewer.weights)
        for rows in (whitened.standardised, whitened.invariant):
            _, labels = k_means(fewer._replace(rows=rows), count, self.rng)
            yield members(fewer, np.zeros((count, fewer.rows.shape[1])), labels)

    def _divisions(self, smaller: Parameters, n_cuts: int, fewer: Sample) -> Iterator[Grown]:
        """Yield the best ways to divide one component, or the best way to divide several."""
        responsibilities = passes.responsibilities(source_of(fewer), smaller)
        cuts = best_cuts(fewer.rows, fewer.weights, responsibilities, smaller)
        chosen = [[cut] for cut in cuts[:TRIED_CUTS]]
        if n_cuts > 1:
            best = {cut.component: cut for cut in reversed(cuts)}  # the last to come is the best
            several = sorted(best.values(), key=lambda cut: -cut.gain)[:n_cuts]
            chosen = [several] if len(several) == n_cuts else []
        for each in chosen:
            yield _tried(divided, smaller, each, self.rule)

    def _fewer(self, count: int) -> Sample:
        """Return a part of the sample; a larger part holds the rows of a smaller one."""
        most = max(FEWEST_ROWS, ROWS_PER_FEATURE * count * self.sample.rows.shape[1])
        chosen = self.order[:most]
        weights = self.sample.weights[chosen]
        if most < len(self.order):
            # times the largest: those that are equal stay so to the last bit
            weights = counted(weights, self.priorities[self.order[most]]) * weights.max()
        return self.sample._replace(rows=self.sample.rows[chosen], weights=weights / weights.sum())


def _path(counts: Sequence[int]) -> Iterator[int]:
    """Yield the numbers of components from 1 to the last; gaps are crossed by doubling."""
    at = 1
    for count in counts:
        while at < count:
            yield at
            at = min(2 * at, count)
    yield counts[-1]


def _tried(start: Callable[..., Parameters], *arguments: object) -> Grown:
    """Return the parameters of a start, or the failure if it is degenerate."""
    try:
        return start(*arguments)
    except DegenerateCovarianceError as failure:
        return failure


def _is_sound(grown: Grown) -> TypeGuard[Parameters]:
    return isinstance(grown, Parameters)


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
