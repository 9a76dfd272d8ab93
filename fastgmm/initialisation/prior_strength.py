"""How many rows a prior is to count as: what predicts each row best from all others.

The prior of every component is the covariance within components, so it draws covariances towards a
common one, as between scikit-learn's "full" and "tied" (Friedman 1989, Regularized discriminant
analysis, Journal of the American Statistical Association 84; as an inverse Wishart distribution,
Fraley and Raftery 2007). A covariance that components share is drawn towards that of all rows, as
between "tied" and a single component. How far, is chosen by leaving one row out in closed terms:
without row x of responsibility r, a component of n rows and deviation D = x - mean has n - r rows,
and a summed product that is less by r n / (n - r) D D'. So its density at x follows from the
squared distance D' Sigma^-1 D alone, by the determinant lemma. Responsibilities of the other rows
stay, so what the row has done to them is left in: `OPTIMISM`. What predicts better by less than
half a standard error is no reason to leave the likeliest start, or to choose the weaker prior:
`DOUBT`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastgmm import em
from fastgmm.covariance.regularisation import own_covariances
from fastgmm.initialisation.short_runs import TILE_NUMBERS, ShortRuns
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior, common_covariance
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

STRENGTHS = (0.0, 0.01, 0.1, 1.0, 3.0, 10.0, 100.0)  # rows
FIRST_STRENGTH, FIRST_PASSES, PASSES = 1.0, 10, 20
OTHERS = 1  # starts besides the likeliest; without them 1.5 nats per row are lost on diabetes
SAME = 1e-4  # nats per row: starts nearer to each other have led to one place
# Rows per parameter beyond which no prior is looked for: half of its inverse is what over-fitting
# costs, in nats per row
MANY_ROWS = 100
# Rows of a component per feature and one more: with fewer, hardly more than a covariance needs, it
# may collapse. Of 300 rows of noise one with 2.7 did, after the passes by which it was judged. Two
# per parameter would ask again of sound fits: in 30 features, for two thirds of their time
OWN_ROWS = 2
# Of what leaving a row out takes off, this is taken off besides. Of 40 sets, halved, with five
# seeds, four lose 0.01 nats per held-out row against the better of scikit-learn's n_init=1 and 10
# without it, two with it, and six with 1: rows of clusters that are apart change no others
OPTIMISM = 0.25
# Standard errors by which a difference counts. Without it, noise chooses weak priors (0.03 nats per
# held-out row for 0.08), and 30 rows another start, 0.6 nats worse; with 1, 0.02 nats are lost more
DOUBT = 0.5
NOTHING = 1e-12  # a responsibility: a row of this takes nothing with it that shows in a digit
IMPOSSIBLE = -1e3  # log density of a row that only its own component could explain


class Regularised(NamedTuple):
    """A start, and the prior under which it predicts best; None for maximum likelihood."""

    parameters: Parameters
    prior: Prior | None


def has_many_rows(sample: Sample, n_parameters: int, many: float = MANY_ROWS) -> bool:
    """Whether rows are so many that a prior could not show, if each component has enough."""
    return sample.row_weight > many * n_parameters * unit_of(sample)


def is_starved(parameters: Parameters, sample: Sample) -> bool:
    """Whether some component has too few rows for a covariance of its own.

    Of the rows that the sample stands for.
    """
    if parameters.structure.is_shared:
        return False
    fewest = parameters.weights.min() * sample.row_weight / unit_of(sample)
    return bool(fewest < OWN_ROWS * (parameters.n_features + 1))


def unit_of(sample: Sample) -> float:
    """Return the weight of a row: 1, or less where weights are no counts but sum to 1, say."""
    return min(1.0, sample.row_weight / sample.n_rows)


def regularised(
    starts: Sequence[Parameters], short: ShortRuns, strengths: Sequence[float], own_weight: float
) -> Regularised | None:
    """Return the start and the prior that predict rows best when they are left out.

    Parameters
    ----------
    starts : sequence of Parameters
        About the origin of the sample of the short runs; the first is the likeliest.
    short : ShortRuns
        By the rule of maximum likelihood.
    strengths : sequence of float
        Numbers of rows to choose from; a single one is in the unit of the rows' weights.
    own_weight : float
        Weight of the rows of the sample.
    """
    unit = unit_of(short.sample)
    if len(strengths) > 1:
        strengths = [strength * unit for strength in strengths]
    common = [
        common_covariance_of(found, short.rule.reg_covar)
        for found in short.statistics(list(starts))
    ]
    chosen = [0]
    if len(starts) > 1:
        of_each = zip(starts, common, strict=True)
        first = _climbed(of_each, (FIRST_STRENGTH * unit,), short, own_weight, FIRST_PASSES)
        chosen = [0, *_others(first)[:OTHERS]]
    again = [(starts[c], common[c]) for c in chosen]
    found = _climbed(again, strengths, short, own_weight, PASSES)
    if not found:
        return None
    best = _chosen(found, short.sample)
    prior = best.state.rule.prior
    in_rows = None if prior is None else replace(prior, rows=best.strength)
    return Regularised(best.state.parameters, in_rows)


def regularised_from(
    starts: Sequence[Parameters], sample: Sample, rule: em.Maximisation, strengths: Sequence[float]
) -> Regularised:
    """Return where starts lead on a sample under the prior that predicts best; likeliest first."""
    centred = sample._replace(origin=np.zeros_like(sample.origin))
    here = [replace(start, means=start.means - sample.origin) for start in starts]
    with one_blas_thread():
        found = regularised(here, ShortRuns(centred, rule), strengths, sample.own_weight)
    if found is None:
        return Regularised(starts[0], None)
    means = found.parameters.means + sample.origin
    return found._replace(parameters=replace(found.parameters, means=means))


class _Tried(NamedTuple):
    start: int
    strength: float
    state: em.State
    of_rows: Array  # (m,), what each row scores
    score: float  # their mean


def _others(first: Sequence[_Tried]) -> list[int]:
    """Return the starts that have led elsewhere than the likeliest, the best first."""
    there = [each.score for each in first if each.start == 0]
    elsewhere = [
        each
        for each in first
        if each.start > 0 and all(abs(each.score - score) > SAME for score in there)
    ]
    return [each.start for each in sorted(elsewhere, key=lambda each: -each.score)]


def _chosen(found: Sequence[_Tried], sample: Sample) -> _Tried:
    """Return the best, or what is as good: the likeliest start, the largest strength."""
    best, own = _best(found), _best([each for each in found if each.start == found[0].start])
    if not _is_clear(best, own, sample):
        best = own
    as_good = [
        each
        for each in found
        if each.start == best.start
        and each.strength >= best.strength
        and not _is_clear(best, each, sample)
    ]
    return max(as_good, key=lambda each: each.strength)


def _best(found: Iterable[_Tried]) -> _Tried:
    return max(found, key=lambda each: each.score)


@one_blas_thread()
def _is_clear(better: _Tried, worse: _Tried, sample: Sample) -> bool:
    """Whether one scores more than another by some standard errors of the difference."""
    difference = better.of_rows - worse.of_rows
    mean = better.score - worse.score
    spread = sample.weights @ (difference - mean) ** 2
    # of as many rows as their weights are worth (Kish 1965)
    return mean > DOUBT * math.sqrt(float(spread * (sample.weights @ sample.weights)))


@one_blas_thread()
def _climbed(
    starts: Iterable[tuple[Parameters, Array]],
    strengths: Sequence[float],
    short: ShortRuns,
    own_weight: float,
    n_passes: int,
) -> list[_Tried]:
    """Climb from every start with every strength, and score where that ends."""
    rule, places, states = short.rule, [], []
    for c, (parameters, covariance) in enumerate(starts):
        for strength in strengths:
            prior = Prior(strength / own_weight, covariance) if strength > 0.0 else None
            places.append((c, strength))
            states.append(em.State(rule.under(prior), parameters))
    found = []
    for (c, strength), state in zip(places, short.advance(states, n_passes), strict=True):
        if state.failure is None:
            scored = of_rows(state, short.sample, own_weight)
            found.append(_Tried(c, strength, state, scored, float(short.sample.weights @ scored)))
    return found


def common_covariance_of(found: SufficientStatistics, reg_covar: float | Array) -> Array:
    """Return what covariances are drawn towards, of the rows that are summed here."""
    own = own_covariances(found, found.means, reg_covar)
    part = found.weight / found.weight.sum()
    return common_covariance(found.structure, part, found.means, own)


@one_blas_thread()
def score(state: em.State, sample: Sample, own_weight: float) -> float:
    """Return the mean of `of_rows`."""
    return float(sample.weights @ of_rows(state, sample, own_weight))


def of_rows(state: em.State, sample: Sample, own_weight: float) -> Array:
    """Return the log density of each row (m,) if it is left out, less what that leaves in."""
    strength = 0.0 if state.rule.prior is None else state.rule.prior.rows * own_weight
    kept, left_out = leave_one_out(state.parameters, sample, strength, own_weight)
    return left_out - OPTIMISM * (kept - left_out)


@one_blas_thread()
def leave_one_out(
    parameters: Parameters, sample: Sample, strength: float, own_weight: float
) -> tuple[Array, Array]:
    """Return the log density of each row (m,), and that under all others.

    Parameters
    ----------
    parameters : Parameters
        Of the last M-step, about the sample's origin.
    sample : Sample
    strength : float
        Rows of the prior.
    own_weight : float
        Weight of the rows of the sample.
    """
    structure, d = parameters.structure, parameters.n_features
    weights = sample.weights * own_weight
    factors = parameters.precisions_cholesky
    distances = _distances(parameters, sample.rows)
    per_feature = np.broadcast_to(structure.diagonal(factors), parameters.means.shape)
    constants = np.log(per_feature).sum(axis=1) - 0.5 * d * math.log(2.0 * math.pi)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        joint = (parameters.log_weights + constants)[:, None] - 0.5 * distances
        top = joint.max(axis=0)
        shares = np.exp(joint - top)
        totals = shares.sum(axis=0)
        shares /= totals
        kept = top + np.log(totals)
        counts = (shares @ weights)[:, None]
        unit = np.minimum(weights, unit_of(sample))
        removed = np.minimum(shares * unit, counts * (1.0 - 1e-12))
        rest = counts - removed
        stretched = counts / rest
        if structure.is_shared:
            known = weights.sum() + strength
            own = removed * stretched / known
            of_all = strength / known * unit / (weights.sum() - unit)
            squares, log_volume = _of_shared(parameters, sample, distances, own, of_all)
            is_lost = np.isnan(log_volume)
        else:
            known = counts + strength
            # the covariance within components loses the row, too
            own = removed * (1.0 + strength / weights.sum()) * stretched / known
            held = shares > NOTHING
            squares, log_volume = distances.copy(), np.zeros_like(distances)
            squares[held], log_volume[held] = _of_own(parameters, sample, distances, own, held)
            is_lost = np.isneginf(log_volume)
        smaller = (known - removed) / known
        without = stretched**2 * smaller * squares
        volume = log_volume - d * np.log(smaller)
        joint = np.log(rest / (weights.sum() - unit)) + constants[:, None]
        joint -= 0.5 * (volume + without)
        joint[np.isnan(joint) | is_lost] = -np.inf
        top = joint.max(axis=0)
        left_out = top + np.log(np.exp(joint - top).sum(axis=0))
    return kept, np.where(left_out > IMPOSSIBLE, left_out, IMPOSSIBLE)


def _distances(parameters: Parameters, rows: Array) -> Array:
    """Return the squared Mahalanobis distances of all rows to all components, (K, m)."""
    means, factors = parameters.means, parameters.precisions_cholesky
    found = np.empty((len(means), len(rows)))
    n_tile = max(1, TILE_NUMBERS // means.size)
    for begin in range(0, len(rows), n_tile):
        tile = slice(begin, begin + n_tile)
        found[:, tile] = parameters.structure.distances(rows[tile], means, factors).sum(axis=-1)
    return found


def _of_own(
    parameters: Parameters, sample: Sample, distances: Array, own: Array, held: Array
) -> tuple[Array, Array]:
    """Return squared distances and log determinants of held pairs, where covariances lose rows.

    A component's covariance loses the row's deviation from its mean, `own` times (K, m).
    """
    structure, means = parameters.structure, parameters.means
    components, places = np.nonzero(held)
    squares, log_volume = np.empty(len(places)), np.empty(len(places))
    scales = structure.diagonal(parameters.precisions_cholesky)
    n_tile = max(1, TILE_NUMBERS // means.shape[1])
    # a variance that features share loses their mean
    n_shared = 1 if structure.tells_features_apart else means.shape[1]
    for begin in range(0, len(places), n_tile):
        tile = slice(begin, begin + n_tile)
        k, i = components[tile], places[tile]
        each = distances[k, i][:, None]
        if structure.is_axis_parallel and structure.tells_features_apart:
            each = ((sample.rows[i] - means[k]) * scales[k]) ** 2
        lost = np.minimum(own[k, i][:, None] * each / n_shared, 1.0)
        squares[tile] = (each / (1.0 - lost)).sum(axis=-1)
        log_volume[tile] = n_shared * np.log1p(-lost).sum(axis=-1)  # -inf if nothing is left
    return squares, log_volume


@one_blas_thread()
def _of_shared(
    parameters: Parameters, sample: Sample, distances: Array, own: Array, of_all: Array
) -> tuple[Array, Array]:
    """Return squared distances and log determinants, (K, m), where a shared covariance loses rows.

    A row takes with it the product of its deviation from the component's mean, `own` times (K, m),
    and that from the mean of all rows, `of_all` times (m,).
    """
    mean = (sample.weights @ sample.rows)[None]
    structure, factors = parameters.structure, parameters.precisions_cholesky
    from_all = structure.distances(sample.rows, mean, factors).sum(axis=-1)
    between = structure.distances(parameters.means, mean, factors).sum(axis=-1).T
    product = 0.5 * (distances + from_all - between)  # of both deviations
    first, second = 1.0 - own * distances, 1.0 - of_all * from_all
    determinant = first * second - own * of_all * product**2
    more = own * distances**2 * second + of_all * product**2 * (first + 2.0 * own * distances)
    is_sound = (first > 0.0) & (determinant > 0.0)
    log_volume = np.where(is_sound, np.log(np.where(is_sound, determinant, 1.0)), np.nan)
    return distances + more / determinant, log_volume
