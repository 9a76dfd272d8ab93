"""The start of the default fit: candidates of many kinds climb a few passes on a sample.

Labels by k-means in several coordinate systems (see `coordinates`) and random partitions give the
first parameters; short runs of EM, advanced together, drop the losers by halves (emEM of Biernacki,
Celeux and Govaert 2003, with the successive halving of Jamieson and Talwalkar 2016).

Small clusters are kept in two ways. Rows of the sub-sample are drawn a third each by weight, by
squared Mahalanobis distance from the mean and by the fourth power of it, and weighed back, so that
a far cluster of one row in a thousand has many times its share of rows: without the last third, one
in eight features was lost from one of four seeds. And the coordinate of highest kurtosis points at
it, where k-means weighs rows by the fourth power of that distance: by weight alone it would rather
cut the large cluster in two, which saves 0.64 of its variance, than part one row in a thousand from
it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation import coordinates
from fastgmm.initialisation.kmeans import (
    Share,
    k_means_of_many,
    maximise,
    members,
    quick_k_means,
    random_shares,
    standardised_k_means,
    strata,
)
from fastgmm.initialisation.short_runs import Division, ShortRuns, are_many
from fastgmm.initialisation.split_merge import (
    Pair,
    Split,
    exchanges,
    merged,
    merges,
    splits,
    together,
)
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

FEWEST_ROWS = 2_000  # of the sub-sample
# rows of the sub-sample for each component, and for each feature of each: with 100 rows for each of
# fifty components in five dimensions, the winner was 0.04 nats a row short
ROWS_A_COMPONENT, ROWS_A_NUMBER = 250, 20
# and for each parameter of each: with 1.1, of 20 overlapping components in 32 features 9 starts of
# 18 were 0.2 to 0.5 nats a row short, since components had fitted rows of the sub-sample that
# others do not follow; with 2 one was, with 4 one, and fits took no longer with 2
ROWS_A_PARAMETER = 2
LLOYD_ROUNDS = 8  # EM goes on from there
RANDOM_PARTITIONS = 2
FIRST_PASSES, MORE_PASSES, LAST_PASSES, FULL_PASSES = (2, 2), 6, 10, 1
FINALISTS = 3
DOUBT = 0.1  # nats a row: a lead on the sub-sample that all rows would not take back, five sigma
# Three candidates that are at the same likeliest parameters were right in all 26 of 243 runs of the
# collection where there were such after two passes, and in all 37 where there were after four. Two
# would have been wrong in two of 53 and in four of 72
AGREEING, SAME = 3, 1e-3  # nats a row
EXCHANGES, TRIAL_PASSES, FIRST_TRIAL_PASSES = 8, 10, 2
# nats a row: of 71 exchanges that were worth it, the farthest behind was so by 0.055 after the
# second pass; of the others, three in five by more than 0.1
HOPELESS = 0.15
WORTH_IT = 1e-3  # nats a row: less than that is what the sub-sample happens to be like
# up to these, exchanges of the leader alone: few components have few ways to go wrong, and a fit of
# few rows should stay under 50 ms; beyond, exchanges of every finalist leave digits 0.0105 nats a
# row short of the best on average, not 0.0148 (six seeds)
FEW_COMPONENTS, FEW_ROWS = 4, 1_000
# where components are many, see `ShortRuns.is_many`: k-means in the systems of all features; two
# and then one go on; components are exchanged in tens, not one by one
SYSTEMS_OF_MANY, FEW_LEADERS = 3, 2
ROUNDS_OF_MANY, EXCHANGED_AT_ONCE, WORTH_IT_OF_MANY = 5, 30, 1e-4
PARTS = (1, 3, 9)  # of what promises to gain
TWINS = 1e-4  # nats a row: candidates so near to each other are taken for the same


def auto_start(
    sample: Sample, n_components: int, rule: em.UpdateRule, rng: np.random.Generator
) -> Parameters:
    """Choose the best of several kinds of start by short runs of EM.

    Parameters
    ----------
    sample : Sample
    n_components : int
    rule : UpdateRule
    rng : numpy.random.Generator

    Returns
    -------
    start : Parameters

    Raises
    ------
    DegenerateCovarianceError
        If every candidate degenerates, and k-means on standardised features does, too.
    """
    with one_blas_thread():  # else the bits of a product may follow the number of threads
        if n_components == 1:
            everything = Share(sample.rows, sample.weights, np.zeros(sample.rows.shape[1]))
            return maximise(sample, [everything], rule)
        best = _best(sample, n_components, rule, rng)
        if best is None:
            centres, labels = standardised_k_means(sample, n_components, rng)
            return maximise(sample, members(sample, centres, labels), rule)
        return replace(best, means=best.means + sample.origin)


def _best(
    sample: Sample, n_components: int, rule: em.UpdateRule, rng: np.random.Generator
) -> Parameters | None:
    """Return the winner of the short runs about the sample's origin, or None if none is sound."""
    centred = sample._replace(origin=np.zeros_like(sample.origin))
    n_features = sample.rows.shape[1]
    of_parameters = ROWS_A_PARAMETER * rule.family.n_parameters(1, n_features)
    most = n_components * max(ROWS_A_COMPONENT, ROWS_A_NUMBER * n_features, of_parameters)
    whitening, leverages = coordinates.whitening(sample.rows, sample.weights)
    fewer = sub_sample(centred, leverages, max(FEWEST_ROWS, most), rng)
    whitened = whitening.of(fewer.rows)
    short = ShortRuns(fewer, rule)
    many = short.is_many(n_components)
    if many:
        begin = short.begun_apart(clusters(fewer, whitened, n_components, rng))
    else:
        begin = short.begun(candidates(fewer, whitened, n_components, rng))
    states = [em.State(rule, parameters) for parameters in begin]
    for n_passes in FIRST_PASSES:
        states = short.advance(states, n_passes)
        # the first of them: the likeliest is so by chance, which follows the features' units
        states = agreeing(states)[:1] or states
    states = leaders(states, FEW_LEADERS if many else max(FINALISTS, len(states) // 2))
    finalists = 1 if many else FINALISTS if fewer is centred else 2
    for n_passes in (MORE_PASSES, LAST_PASSES):
        states = leaders(short.advance(states, n_passes), finalists)
    if many:
        states = [exchanged_together(state, short) for state in states]
    elif n_components > 2:
        thorough = fewer is centred and n_components > FEW_COMPONENTS and len(fewer.rows) > FEW_ROWS
        best = states if thorough else states[:1]
        better = [exchanged(state, short) for state in best]
        states = leaders([*better, *states[len(best) :]], finalists)
    states = [state for state in states if state.trace[-1] > states[0].trace[-1] - DOUBT]
    if len(states) > 1 and fewer is not centred:
        again = [em.State(rule, state.parameters) for state in states]
        states = leaders(ShortRuns(centred, rule).advance(again, FULL_PASSES), 1)
    return states[0].parameters if states else None


def most_candidates(n_components: int, n_rows: int) -> int:
    """Count the candidates that climb together, at most, on a sample of so many rows."""
    if n_components == 1:
        return 1
    if are_many(n_components, n_rows):
        return SYSTEMS_OF_MANY
    return coordinates.MOST_SYSTEMS + RANDOM_PARTITIONS


def agreeing(states: Sequence[em.State]) -> list[em.State]:
    """Return the likeliest of several candidates, if they are enough and at the same."""
    sound = [state for state in states if state.failure is None]
    best = max((state.trace[-1] for state in sound), default=0.0)
    found = [state for state in sound if state.trace[-1] > best - SAME]
    return found if len(found) >= AGREEING else []


def exchanged(state: em.State, short: ShortRuns) -> em.State:
    """Exchange components while that raises the log-likelihood."""
    for _ in range(EXCHANGES):
        shares = short.responsibilities(state.parameters)
        found = short.begun(exchanges(short.sample, state.parameters, shares))
        trials = [em.State(short.rule, parameters) for parameters in found]
        trials = short.advance(trials, FIRST_TRIAL_PASSES)
        hopeful = [
            trial
            for trial in trials
            if trial.failure is None and trial.trace[-1] > state.trace[-1] - HOPELESS
        ]
        better = leaders(short.advance(hopeful, TRIAL_PASSES - FIRST_TRIAL_PASSES), 1)
        if not better or better[0].trace[-1] < state.trace[-1] + WORTH_IT:
            break
        state = better[0]
    return state


def exchanged_together(state: em.State, short: ShortRuns) -> em.State:
    """Exchange several components at once while that raises the log-likelihood, or may do so."""
    most = max(1, state.parameters.n_components // EXCHANGED_AT_ONCE)
    has_gained = True
    for _ in range(ROUNDS_OF_MANY):
        if has_gained:
            best = splits(short.sample, short.held(state.parameters))
            pairs = merges(state.parameters)
        tried, best = best[:most], best[most:]  # here none is tried twice
        better = leaders(_trials(state, together(tried, pairs), short), 1)
        has_gained = bool(better) and better[0].trace[-1] > state.trace[-1] + WORTH_IT_OF_MANY
        if has_gained:
            (state,) = better
    return state


def _trials(
    state: em.State, found: Sequence[tuple[Pair, Split]], short: ShortRuns
) -> list[em.State]:
    """Try all of some exchanges and the best of them; the likeliest after two passes climbs on."""
    trials = []
    for count in dict.fromkeys(-(-len(found) // part) for part in PARTS if found):
        pairs = [pair for pair, _ in found[:count]]
        here = merged(state.parameters, pairs, short.rule.family)
        try:
            begin = short.divided(here, [(pair[1], split) for pair, split in found[:count]])
        except DegenerateCovarianceError:
            continue
        trials.append(em.State(short.rule, begin))
    best = leaders(short.advance(trials, FIRST_TRIAL_PASSES), 1)
    return short.advance(best, TRIAL_PASSES - FIRST_TRIAL_PASSES)


def clusters(
    sample: Sample, whitened: coordinates.Whitened, n_components: int, rng: np.random.Generator
) -> Iterator[list[Share]]:
    """Walk the clusters of many components, in the systems that keep all features."""
    nowhere = np.zeros((n_components, sample.rows.shape[1]))
    systems = coordinates.systems(sample.rows, whitened, n_components)
    for system in itertools.islice(systems, SYSTEMS_OF_MANY):
        seen = sample._replace(rows=system.rows)
        labels = k_means_of_many(seen, n_components, rng, LLOYD_ROUNDS)
        yield members(sample, nowhere, labels)


def candidates(
    sample: Sample, whitened: coordinates.Whitened, n_components: int, rng: np.random.Generator
) -> Iterator[Division]:
    """Walk the divisions of the rows of every kind."""
    emphasised = sample.weights * (whitened.invariant**2).sum(axis=1) ** 2
    if not emphasised.sum() > 0.0:  # no two rows differ
        emphasised = sample.weights
    for system in coordinates.systems(sample.rows, whitened, n_components):
        weights = emphasised if system.name in ("highest", "high") else sample.weights
        seen = sample._replace(rows=system.rows, weights=weights)
        labels = quick_k_means(seen, n_components, rng, LLOYD_ROUNDS)
        yield functools.partial(_of_labels, labels, n_components)
    for _ in range(RANDOM_PARTITIONS):
        shares = random_shares(sample.rows, n_components, rng)
        yield functools.partial(_at_once, shares)


def _of_labels(labels: npt.NDArray[np.int64], n_components: int) -> Array:
    """Give every row to the component of its label, (K, m)."""
    return (labels == np.arange(n_components)[:, None]).astype(np.float64)


def _at_once(shares: Callable[[], Iterator[Array]]) -> Array:
    """Hold the shares of all components, (K, m)."""
    return np.array(list(shares()))


@one_blas_thread()
def sub_sample(sample: Sample, leverages: Array, most: int, rng: np.random.Generator) -> Sample:
    """Draw rows by weight, by leverage and by its square, and weigh them back; all, if few."""
    rows, weights = sample.rows, sample.weights
    if len(rows) <= most:
        return sample
    mean = max(float(weights @ leverages), np.finfo(float).tiny)
    relative = leverages / mean
    chances = weights * (1.0 + relative + relative**2 / max(float(weights @ relative**2), 1.0))
    chosen, counts = strata(chances, most, rng)
    weighed = counts * weights[chosen] / chances[chosen]
    return sample._replace(rows=rows[chosen], weights=weighed / weighed.sum())


def leaders(states: Sequence[em.State], most: int) -> list[em.State]:
    """Return the best sound states, best first, without twins."""
    sound = [(c, state) for c, state in enumerate(states) if state.failure is None]
    found: list[list[tuple[int, em.State]]] = []
    for c, state in sorted(sound, key=lambda each: -each[1].trace[-1]):
        if not found or found[-1][0][1].trace[-1] - state.trace[-1] > TWINS:
            found.append([])
        found[-1].append((c, state))
    # the first of twins, since the likeliest is so by rounding, which follows the features' units
    return [min(twins, key=lambda each: each[0])[1] for twins in found[:most]]
