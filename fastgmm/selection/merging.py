"""Challenge the best candidate: merge two of its components, and compare after EM.

The start of K components may lie near a saddle, where EM gains next to nothing for hundreds of
passes, while that of K+1 does not, and one component too many would be chosen. So the best
candidate must beat the mixture that EM finds after merging the pair that loses least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.em.acceleration import Acceleration
from fastgmm.initialisation.split_merge import merged, merges
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample
from fastgmm.selection.candidate import Candidate, best_of
from fastgmm.selection.contest import Contest
from fastgmm.selection.growth import TRIAL, best_first, of_sample, polish, source_of
from fastgmm.selection.monotone import Climbing
from fastgmm.sources import Source

TRIED_PAIRS = 3  # of those that promise most
DEVIATIONS = 4.0  # standard errors by which a sample may misjudge the loss of all rows


def challenged(
    candidates: Sequence[Candidate],
    sample: Sample,
    source: Source,
    contest: Contest,
    climbing: Climbing,
) -> list[Candidate]:
    """Return the candidates, the best of which beats what merging its components leads to."""
    found = list(candidates)
    while True:
        best = best_of(found, contest.criterion)
        at = _next_smaller(found, best)
        start = None if at is None else _start(best, found[at].n_components, sample, contest)
        if at is None or start is None:
            return found
        (state,) = climbing([start], best.value(contest.criterion), contest.max_passes)
        if state.failure is not None:
            return found
        (totals,) = passes.totals(source, [state.parameters])
        before = found[at].totals
        if before is not None and not totals.log_likelihood > before.log_likelihood:
            return found
        found[at] = replace(found[at], state=state, failure=None, totals=totals)
        if best_of(found, contest.criterion) is not found[at]:
            return found


def _next_smaller(candidates: Sequence[Candidate], best: Candidate) -> int | None:
    """Return the index of the largest smaller candidate of the same family."""
    smaller = [
        c
        for c, each in enumerate(candidates)
        if each.family is best.family and each.n_components < best.n_components
    ]
    return smaller[-1] if smaller else None


def _start(best: Candidate, n_components: int, sample: Sample, contest: Contest) -> em.State | None:
    """Return a start of fewer components, unless the sample says it loses more than it saves."""
    if best.state is None or best.failure is not None or not best.state.trace:
        return None
    rule = best.state.rule
    centred = sample._replace(origin=np.zeros_like(sample.origin))
    source = source_of(centred)
    ours = best.state.parameters
    ours = replace(ours, means=ours.means - sample.origin)
    with one_blas_thread():  # else the bits of its products follow the number of threads
        theirs = _with_fewer(ours, n_components, rule, centred, source, contest)
        if theirs is None:
            return None
        lost = passes.log_likelihoods(source, ours) - passes.log_likelihoods(source, theirs)
        mean = float(sample.weights @ lost)
        error = float(np.sqrt(sample.weights**2 @ (lost - mean) ** 2))
    spared = contest.charged(best.family, best.n_components)
    spared -= contest.charged(best.family, n_components)
    if (mean - DEVIATIONS * error) * contest.row_weight > spared:
        return None
    theirs = replace(theirs, means=theirs.means + sample.origin)
    return em.State(rule, theirs, acceleration=Acceleration("auto"))


def _with_fewer(
    parameters: Parameters,
    n_components: int,
    rule: em.UpdateRule,
    sample: Sample,
    source: Source,
    contest: Contest,
) -> Parameters | None:
    """Merge components two by two, running EM on the sample; None if that degenerates."""
    state = em.State(rule, parameters)
    while state.parameters.n_components > n_components:
        starts = [em.State(rule, each) for each in _unions(state.parameters, rule.family)]
        tried = best_first(em.run(starts, partial(passes.statistics, source), TRIAL))
        if not tried:
            return None
        state = tried[0]
    state = polish(state, source, of_sample(contest, sample))
    return state.parameters if state.failure is None else None


def _unions(parameters: Parameters, family: Family) -> Iterator[Parameters]:
    """Yield mixtures with two components merged, for the pairs that lose least."""
    for _, i, j in merges(parameters)[:TRIED_PAIRS]:
        both = merged(parameters, [(i, j)], family)
        kept = np.arange(parameters.n_components) != j
        own = parameters.structure.places(kept)
        yield Parameters(
            parameters.structure,
            both.weights[kept],
            both.means[kept],
            both.covariances[own],
            both.precisions_cholesky[own],
        )
