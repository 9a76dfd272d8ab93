"""The default start: the best of several kinds, chosen by short runs of EM on a sample.

k-means in several coordinate systems (see `coordinates`) and random partitions give the candidates;
short runs of EM drop half of them at a time (emEM of Biernacki, Celeux and Govaert 2003, with the
successive halving of Jamieson and Talwalkar 2016).

Small clusters survive for two reasons. A third each of the sub-sample is drawn with probability
proportional to weight, to squared Mahalanobis distance from the mean and to its square, with
importance weights, so a far cluster of one row in a thousand is over-represented; without the last
third, one in eight features lost it from one of four seeds. And along the coordinate of highest
kurtosis, which points at such a cluster, k-means weights rows by the fourth power of the distance:
by weight alone it would cut the large cluster in two instead, which saves 0.64 of its variance.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation import coordinates
from fastgmm.initialisation.clumps import with_clumps
from fastgmm.initialisation.kmeans import (
    Members,
    k_means_of_many,
    maximise,
    members,
    quick_k_means,
    random_responsibilities,
    standardised_k_means,
    strata,
)
from fastgmm.initialisation.prior_strength import (
    Regularised,
    has_many_rows,
    is_starved,
    regularised,
)
from fastgmm.initialisation.short_runs import Division, ShortRuns, are_many
from fastgmm.initialisation.split_merge import (
    NORMAL,
    Pair,
    Split,
    exchanges,
    merged,
    merges,
    splits,
    together,
)
from fastgmm.initialisation.wide import exchanged_start, is_wide, wide_start
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

FEWEST_ROWS = 2_000  # of the sub-sample
# Rows of the sub-sample per component, and per feature of a component: with 100 rows for each of 50
# components in five dimensions, the winner was 0.04 nats per row short
ROWS_PER_COMPONENT, ROWS_PER_FEATURE = 250, 20
# and per parameter of a component: for 20 overlapping components in 32 features, 9 of 18 starts
# over-fitted a sub-sample with 1.1 rows (0.2 to 0.5 nats per row short), 1 with 2 rows, 1 with 4
ROWS_PER_PARAMETER = 2
LLOYD_ROUNDS = 8  # EM goes on from there
RANDOM_PARTITIONS = 2
FIRST_PASSES, FULL_PASSES, TRIAL_PASSES = 2, 1, 10
# From so many rows per row of the sample on, a start is refined on half of the sample. The most
# passes over that half; and the rows per row of it that pay for one exchange.
FAR_MORE, MOST_PASSES, ROWS_OF_AN_EXCHANGE = 12.0, 20, 20.0
FEWEST_GO_ON = 3


class Effort(NamedTuple):
    """How much the short runs try."""

    restarts: int = 0  # of k-means, in coordinates of all features
    passes: tuple[int, int] = (6, 10)  # of the better half, of the finalists
    finalists: int = 3
    trial_passes: int = TRIAL_PASSES  # of an exchange


# Where the sub-sample leaves no row out. Rows without components (curves, uniform, skew, counts)
# have many maxima: of 320 such fits 240 were as likely as scikit-learn's best of ten starts with
# little effort, 295 with much, in 1.11 of the time. Ten passes give up an exchange too early where
# a maximum is flat: of the 80 worst of these fits 30 were as likely, and 50 with twenty
MUCH, LITTLE = Effort(16, (12, 40), 4, 20), Effort()
# Of fewer rows a likelier mixture predicts others no better: of 30, it lost 0.44 nats per row
RESTARTING_ROWS = 500
# Of 12 000 rows 137 of 140 fits are as likely with this, 135 with restarts
OF_PART, OF_MANY = Effort(finalists=2), Effort(finalists=1)
# With so many components, exchanges of clusters, each by the rows of three, give one more
# candidate: of 20 clusters in 20 000 x 5 all were found from six of six seeds, from four without.
# They may cost so many times what a start of many features may. With 100 components, some of two
# rows were left
APART, APART_TIMES, OF_APART = range(12, 50), 4.0, Effort(6, (12, 40), 2, 20)
DOUBT = 0.1  # nats per row, five sigma: a larger lead on the sub-sample holds on the whole sample
# Stop early once three candidates agree within 1e-3 nats per row: in 243 benchmark runs this
# happened 26 times after two passes and 37 times after four, and was never wrong. Two agreeing
# candidates would have been wrong in 2 of 53 and in 4 of 72
AGREEING, SAME = 3, 1e-3
EXCHANGES, FIRST_TRIAL_PASSES = 8, 2
# nats per row: of 71 exchanges that paid off, the worst was behind by 0.055 after the second pass;
# of the others, three in five were by more than 0.1
HOPELESS = 0.15
WORTH_IT = 1e-3  # nats per row: a smaller gain is noise of the sub-sample
# Up to these, only the leader is improved by exchanges, which keeps a fit of few rows under 50 ms.
# Beyond, every finalist is: digits then end 0.0105 nats per row short of the best, not 0.0148
# (mean of six seeds)
FEW_COMPONENTS, FEW_ROWS = 4, 1_000
# With many components, see `ShortRuns.is_many`: k-means only in the coordinate systems that keep
# all features; two candidates, then one, go on; components are exchanged in tens, not one by one
SYSTEMS_OF_MANY, FEW_LEADERS = 3, 2
ROUNDS_OF_MANY, EXCHANGED_AT_ONCE, WORTH_IT_OF_MANY = 5, 30, 1e-4
PARTS = (1, 3, 9)  # all, a third and a ninth of the promising exchanges are tried together
TWINS = 1e-4  # nats per row: candidates nearer to each other count as the same


def auto_start(
    sample: Sample, n_components: int, rule: em.Maximisation, rng: np.random.Generator
) -> Parameters:
    """Choose the best of several kinds of start by short runs of EM.

    Parameters
    ----------
    sample : Sample
    n_components : int
    rule : Maximisation
        For the rows that the sample stands for.
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
            return _of_one(sample, rule)
        if is_wide(n_components, sample.rows.shape[1]):
            wide = wide_start(sample, n_components, rule, (), rng)
            return _otherwise(sample, n_components, rule, rng) if wide is None else wide.parameters
        found = _best(sample, n_components, rule, rng)
        return _otherwise(sample, n_components, rule, rng) if found is None else found.best


def regularised_start(
    sample: Sample,
    n_components: int,
    rule: em.Maximisation,
    strengths: Sequence[float],
    rng: np.random.Generator,
) -> Regularised:
    """Choose a start of several components, and the prior with which it predicts best.

    As `auto_start` does, and of some strengths in rows. Where there is one, it is the prior's,
    however many rows there are.
    """
    with one_blas_thread():
        if is_wide(n_components, sample.rows.shape[1]):
            wide = wide_start(sample, n_components, rule, strengths, rng)
            return wide or Regularised(_otherwise(sample, n_components, rule, rng), None)
        found = _best(sample, n_components, rule, rng)
        if found is None:
            return Regularised(_otherwise(sample, n_components, rule, rng), None)
        n_parameters = rule.family.n_parameters(n_components, sample.rows.shape[1])
        are_enough = has_many_rows(sample, n_parameters) and not is_starved(found.best, sample)
        many = are_enough or found.short.is_many(n_components)
        if many and len(strengths) > 1:
            return Regularised(found.best, None)
        n_rows, n_all = len(found.short.sample.rows), len(sample.rows)
        own_weight = sample.own_weight * n_rows / n_all
        best = regularised(found.starts, found.short, strengths, own_weight)
        if best is None:
            return Regularised(found.best, None)
        means = best.parameters.means + sample.origin
        return best._replace(parameters=replace(best.parameters, means=means))


def _of_one(sample: Sample, rule: em.Maximisation) -> Parameters:
    """Return the M-step of a mixture of one component."""
    everything = Members(sample.rows, sample.weights, np.zeros(sample.rows.shape[1]))
    return maximise(sample, [everything], rule.on(1.0 / sample.row_weight, sample.origin))


def _otherwise(
    sample: Sample, n_components: int, rule: em.Maximisation, rng: np.random.Generator
) -> Parameters:
    """Return the M-step of k-means on standardised features."""
    centres, labels = standardised_k_means(sample, n_components, rng)
    rule = rule.on(1.0 / sample.row_weight, sample.origin)
    return maximise(sample, members(sample, centres, labels), rule)


class _Found(NamedTuple):
    """What the short runs have come to."""

    best: Parameters
    starts: list[Parameters]  # the best and others, about the origin of the sample
    short: ShortRuns


def _best(
    sample: Sample, n_components: int, rule: em.Maximisation, rng: np.random.Generator
) -> _Found | None:
    """Return the winner of the short runs; None if all degenerate."""
    centred = sample._replace(origin=np.zeros_like(sample.origin))
    n_features = sample.rows.shape[1]
    of_parameters = ROWS_PER_PARAMETER * rule.family.n_parameters(1, n_features)
    most = n_components * max(ROWS_PER_COMPONENT, ROWS_PER_FEATURE * n_features, of_parameters)
    whitening, leverages = coordinates.whitening(sample.rows, sample.weights)
    fewer = sub_sample(centred, leverages, max(FEWEST_ROWS, most), rng)
    whitened = whitening.of(fewer.rows)
    given = rule
    rule = rule.on(len(sample.rows) / (sample.own_weight * len(fewer.rows)), sample.origin)
    short = ShortRuns(fewer, rule)
    many, whole = short.is_many(n_components), fewer is centred
    effort = _effort(len(fewer.rows), whole, many)
    if many:
        begin = short.begun_apart(clusters(fewer, whitened, n_components, rng))
    else:
        begin = short.begun(candidates(fewer, whitened, n_components, rng))
        if n_components in APART and not rule.family.structure.is_shared:
            effort = OF_APART
            apart = exchanged_start(fewer, n_components, given, rng, APART_TIMES)
            begin = begin if apart is None else [apart, *begin]
    states = [em.State(rule, parameters) for parameters in begin]
    states = agreed(short.advance(states, FIRST_PASSES))
    if len(states) > 1:
        if effort.restarts:
            begin = short.begun(again(effort.restarts, fewer, whitened, n_components, rng))
            more = [em.State(rule, parameters) for parameters in begin]
            states += short.advance(more, FIRST_PASSES)
        states = agreed(short.advance(states, FIRST_PASSES))
    states = early = leaders(states, FEW_LEADERS if many else max(FEWEST_GO_ON, len(states) // 2))
    for n_passes in effort.passes:
        states = leaders(short.advance(states, n_passes), effort.finalists)
    if many:
        states = [exchanged_together(state, short) for state in states]
    elif n_components > 2:
        thorough = whole and n_components > FEW_COMPONENTS and len(fewer.rows) > FEW_ROWS
        best = states if thorough else states[:1]
        better = [exchanged(state, short, effort.trial_passes) for state in best]
        states = leaders([*better, *states[len(best) :]], effort.finalists)
    states = [state for state in states if state.trace[-1] > states[0].trace[-1] - DOUBT]
    if states and not many:
        with_more, short = with_clumps(states[0], short, centred, most // n_components, rng)
        states = list(dict.fromkeys([with_more, *states]))
    far_more = not whole and sample.n_rows >= FAR_MORE * len(sample.rows)
    if not whole and (len(states) > 1 or far_more):
        judging = _half(centred) if far_more else centred
        anew = [em.State(rule, state.parameters) for state in states]
        of_all = ShortRuns(judging, rule)
        states = leaders(of_all.advance(anew, FULL_PASSES), 1)
        if far_more:
            states = refined(states, of_all, sample.n_rows / len(judging.rows), many)
    if not states:
        return None
    starts = [state.parameters for state in (*states, *early)]
    best_one = replace(starts[0], means=starts[0].means + sample.origin)
    return _Found(best_one, starts, short)


def _effort(n_rows: int, whole: bool, many: bool) -> Effort:
    """Tell how much to try on a sub-sample, of all rows or not, of many components or not."""
    if many:
        return OF_MANY
    if not whole:
        return OF_PART
    return MUCH if n_rows >= RESTARTING_ROWS else LITTLE


def _half(sample: Sample) -> Sample:
    """Return every second row: exchanges hold several arrays of rows by components at a time."""
    weights = sample.weights[::2]
    return sample._replace(rows=sample.rows[::2], weights=weights / weights.sum())


def refined(states: list[em.State], short: ShortRuns, ratio: float, many: bool) -> list[em.State]:
    """Climb and exchange on half the sample, where the rows are so many times more.

    A sub-sample of few rows per parameter may spend a component on noise; another is then missing,
    and all rows are passed over dozens of times before that one fades. 1 000 000 x 10 and 20
    components: 10 to 13 passes from ten seeds, where it was 12 to 61, and all end at the highest
    likelihood, where nine did.
    """
    n_passes = min(int(ratio / 2.0), MOST_PASSES)
    states = leaders(short.advance(states, n_passes // 2), 1)
    if states and not many and states[0].parameters.n_components > 2:
        rounds = min(EXCHANGES, int(ratio / ROWS_OF_AN_EXCHANGE))
        better = exchanged(states[0], short, TRIAL_PASSES, rounds, NORMAL)
        states = leaders(short.advance([better], n_passes), 1)
    return states


def most_candidates(n_components: int, n_rows: int) -> int:
    """Largest number of candidates that run together on a sample of so many rows."""
    if n_components == 1:
        return 1
    if are_many(n_components, n_rows):
        return SYSTEMS_OF_MANY
    return coordinates.MOST_SYSTEMS + MUCH.restarts + RANDOM_PARTITIONS


def agreed(states: list[em.State]) -> list[em.State]:
    """Return one candidate where enough of the likeliest agree, else all."""
    sound = [state for state in states if state.failure is None]
    best = max((state.trace[-1] for state in sound), default=0.0)
    found = [state for state in sound if state.trace[-1] > best - SAME]
    # the first, not the likeliest: that is decided by rounding, which depends on units
    return found[:1] if len(found) >= AGREEING else states


def exchanged(
    state: em.State,
    short: ShortRuns,
    n_passes: int,
    rounds: int = EXCHANGES,
    normal: float = 0.0,
) -> em.State:
    """Exchange components, one at a time, while that raises the log-likelihood."""
    for _ in range(rounds):
        shares = short.responsibilities(state.parameters)
        found = short.begun(exchanges(short.sample, state.parameters, shares, normal))
        trials = [em.State(short.rule, parameters) for parameters in found]
        trials = short.advance(trials, FIRST_TRIAL_PASSES)
        hopeful = [
            trial
            for trial in trials
            if trial.failure is None and trial.trace[-1] > state.trace[-1] - HOPELESS
        ]
        better = leaders(short.advance(hopeful, n_passes - FIRST_TRIAL_PASSES), 1)
        if not better or better[0].trace[-1] < state.trace[-1] + WORTH_IT:
            break
        state = better[0]
    return state


def exchanged_together(state: em.State, short: ShortRuns) -> em.State:
    """Exchange several components at once while that raises the log-likelihood."""
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
    """Try all exchanges, and the best of them; the likeliest after two passes goes on."""
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
) -> Iterator[list[Members]]:
    """Yield k-means clusters of many components, in the systems that keep all features."""
    nowhere = np.zeros((n_components, sample.rows.shape[1]))
    systems = coordinates.systems(sample.rows, whitened, n_components)
    for system in itertools.islice(systems, SYSTEMS_OF_MANY):
        seen = sample._replace(rows=system.rows)
        labels = k_means_of_many(seen, n_components, rng, LLOYD_ROUNDS)
        yield members(sample, nowhere, labels)


def candidates(
    sample: Sample, whitened: coordinates.Whitened, n_components: int, rng: np.random.Generator
) -> Iterator[Division]:
    """Yield the divisions of the rows of each kind."""
    emphasised = sample.weights * (whitened.invariant**2).sum(axis=1) ** 2
    if not emphasised.sum() > 0.0:  # no two rows differ
        emphasised = sample.weights
    for system in coordinates.systems(sample.rows, whitened, n_components):
        weights = emphasised if system.name in ("highest", "high") else sample.weights
        seen = sample._replace(rows=system.rows, weights=weights)
        yield _divided(seen, n_components, rng)
    for _ in range(RANDOM_PARTITIONS):
        shares = random_responsibilities(sample.rows, n_components, rng)
        yield functools.partial(_at_once, shares)


def again(
    most: int,
    sample: Sample,
    whitened: coordinates.Whitened,
    n_components: int,
    rng: np.random.Generator,
) -> Iterator[Division]:
    """Yield so many further divisions by k-means, in the systems that keep all features."""
    systems = coordinates.systems(sample.rows, whitened, n_components)
    whole = itertools.cycle(itertools.islice(systems, SYSTEMS_OF_MANY))
    for system in itertools.islice(whole, most):
        yield _divided(sample._replace(rows=system.rows), n_components, rng)


def _divided(seen: Sample, n_components: int, rng: np.random.Generator) -> Division:
    """Divide rows, as seen in some coordinates, by k-means."""
    labels = quick_k_means(seen, n_components, rng, LLOYD_ROUNDS)
    return functools.partial(_of_labels, labels, n_components)


def _of_labels(labels: npt.NDArray[np.int64], n_components: int) -> Array:
    """Return responsibilities of 0 and 1 by the rows' labels, (K, m)."""
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
