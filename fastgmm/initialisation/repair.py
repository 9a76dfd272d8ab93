"""Repair of failed components: each takes half of a component that describes two clusters.

The rows of a failed component, if any, go to the next likeliest components. The repaired mixture
climbs some passes on the sample, and is used only if it is likelier there than the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fastgmm import em, passes
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.auto import TRIAL_PASSES, leaders
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.initialisation.short_runs import ShortRuns, source_of
from fastgmm.initialisation.split_merge import TRIALS, Split, held, splits
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample


def repaired(
    parameters: Parameters, failing: Sequence[int], sample: Sample, rule: em.Maximisation
) -> Parameters | None:
    """Return likelier parameters in which failing components split others, or None.

    Parameters
    ----------
    parameters : Parameters
    failing : sequence of int
        Components to move, fewer than all.
    sample : Sample
    rule : Maximisation
    """
    with one_blas_thread():  # else the bits of a product may follow the number of threads
        centred = sample._replace(origin=np.zeros_like(sample.origin))
        rule = rule.on(1.0 / sample.own_weight, sample.origin)
        here = replace(parameters, means=parameters.means - sample.origin)
        (before,) = passes.statistics(source_of(centred), [here])
        short = ShortRuns(centred, rule)
        trials = [em.State(rule, each) for each in _alternatives(here, failing, short)]
        better = leaders(short.advance(trials, TRIAL_PASSES), 1)
        reached = before.mean_log_likelihood + rule.log_prior(here, before.row_weight)
        if not better or better[0].trace[-1] <= reached:
            return None
        found = better[0].parameters
        return replace(found, means=found.means + sample.origin)


def _alternatives(
    parameters: Parameters, failing: Sequence[int], short: ShortRuns
) -> Iterator[Parameters]:
    """Yield the parameters after each of the most promising splits, unless they are singular."""
    sample, rule = short.sample, short.rule
    weights = parameters.weights.copy()
    weights[list(failing)] = 0.0
    rest = replace(parameters, weights=weights / weights.sum())  # as if these were not there
    if short.is_many(parameters.n_components):
        shares, its = None, short.held(rest)
    else:
        shares = short.responsibilities(rest)
        its = list(held(shares))
    ranked = splits(sample, its)
    for first in range(min(TRIALS, len(ranked))):
        moves = list(zip(failing, ranked[first:], strict=False))
        try:
            if shares is None:
                yield short.divided(rest, moves)
            else:
                given = _moved(shares, moves, sample, parameters.means)
                yield maximise(sample, given, rule)
        except DegenerateCovarianceError:
            continue


def _moved(
    shares: Array, moves: Iterable[tuple[int, Split]], sample: Sample, means: Array
) -> Iterator[Members]:
    """Yield the rows of each component after some have taken half of another."""
    moved = shares.copy()
    for k, split in moves:
        above = split.above(len(sample.rows))
        moved[k] = moved[split.component] * above
        moved[split.component] *= ~above
    for share, mean in zip(moved, means, strict=True):
        yield Members(sample.rows, sample.weights * share, mean)
