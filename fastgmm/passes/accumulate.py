"""One pass over the rows: sufficient statistics of every candidate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels.block_sizes import block_rows
from fastgmm.kernels.expectation import expectation, expectation_serial
from fastgmm.kernels.pruned import choose as choose_factors
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.passes.model import Model, calls, model, twin, weight_of
from fastgmm.sources import Block, Source

UNWEIGHTED = np.empty(0)
BAND = 60  # binary exponents of weights that are summed together in float32, which has 252


class Summary(NamedTuple):
    """What a pass leaves of some rows, before it is given names: arrays that add."""

    moments: list[npt.NDArray[np.float64]]  # a candidate's sums, in its structure's own order
    log_likelihoods: npt.NDArray[np.float64]  # (candidates,)
    n_rows: int
    row_weight: float


def statistics(
    source: Source, candidates: Sequence[Parameters], *, prune: bool = True
) -> list[SufficientStatistics]:
    """Sufficient statistics of every candidate, in one pass over the rows.

    ``prune=False`` computes every pair of row and component, for measurements and tests.
    """
    if len(candidates) > 1:
        places, distinct = _distinct(candidates)
        if len(distinct) < len(candidates):
            found_once = statistics(source, distinct, prune=prune)
            return [found_once[place] for place in places]
    models = [model(parameters, source.dtype) for parameters in candidates]
    rows = block_rows(source.n_features)
    found = source.fold(partial(summarise, models, prune=prune), add, rows)
    careful = without_cancellation(models, found)
    if careful != models:
        models, found = careful, source.fold(partial(summarise, careful, prune=prune), add, rows)
    return [
        named(*each, found.n_rows, found.row_weight)
        for each in zip(candidates, models, found.moments, found.log_likelihoods, strict=True)
    ]


def _distinct(candidates: Sequence[Parameters]) -> tuple[list[int], list[Parameters]]:
    """Return where each is among those that differ, and these.

    Of one component, all families of a structure have the same covariance.
    """
    distinct: list[Parameters] = []
    alike: dict[tuple[str, bytes, bytes, bytes], list[int]] = {}
    places = []
    for each in candidates:
        others = alike.setdefault(
            (
                each.structure,
                each.log_weights.tobytes(),
                each.means.tobytes(),
                _beyond(each).tobytes(),
            ),
            [],
        )
        factors = each.precisions_cholesky
        same = (
            place
            for place in others
            if np.array_equal(distinct[place].precisions_cholesky, factors)
        )
        place = next(same, len(distinct))
        if place == len(distinct):
            others.append(place)
            distinct.append(each)
        places.append(place)
    return places, distinct


def _beyond(parameters: Parameters) -> npt.NDArray[np.float64]:
    """Return what a mixture is besides normal components."""
    return parameters.inverses if isinstance(parameters, Tailed) else parameters.free


def without_cancellation(models: Sequence[Model], found: Summary) -> list[Model]:
    """Return the models, those whose sums have lost too many digits with moments about the means.

    That takes deviations which shrink a thousandfold in one pass, as where a poor start meets tight
    clusters.
    """
    return [
        each.about_means() if each.cancels(moments) else each
        for each, moments in zip(models, found.moments, strict=True)
    ]


def block_statistics(block: Block, parameters: Parameters) -> SufficientStatistics:
    """Sufficient statistics of one block, which has been checked."""
    each = model(parameters, block.rows.dtype)
    found = summarise([each], block)
    careful = without_cancellation([each], found)
    if careful != [each]:
        (each,), found = careful, summarise(careful, block)
    sums = found.moments[0], float(found.log_likelihoods[0])
    return named(parameters, each, *sums, found.n_rows, found.row_weight)


def named(
    parameters: Parameters,
    each: Model,
    moments: npt.NDArray[np.float64],
    log_likelihood: float,
    n_rows: int,
    row_weight: float,
) -> SufficientStatistics:
    """Give the sums of a candidate their names."""
    n_features = parameters.n_features
    weight, first, second, extra = each.unpack(moments, n_features)
    return SufficientStatistics(
        weight=weight,
        first=first,
        second=second,
        log_likelihood=float(log_likelihood),
        n_rows=n_rows,
        row_weight=row_weight,
        origin=parameters.means,
        structure=parameters.structure,
        extra=extra,
    )


def summarise(models: Sequence[Model], block: Block, prune: bool = True) -> Summary:
    """Sum a block for every candidate; a pure function of its arguments."""
    sums = [_expectation(each, block, prune) for each in models]
    n_rows, row_weight = weight_of(block)
    return Summary(
        [moments for moments, _ in sums],
        np.array([log_likelihood for _, log_likelihood in sums]),
        n_rows,
        row_weight,
    )


def add(a: Summary, b: Summary) -> Summary:
    """Add the summaries of two sets of rows."""
    return Summary(
        [x + y for x, y in zip(a.moments, b.moments, strict=True)],
        a.log_likelihoods + b.log_likelihoods,
        a.n_rows + b.n_rows,
        a.row_weight + b.row_weight,
    )


def _expectation(each: Model, block: Block, prune: bool) -> tuple[npt.NDArray[np.float64], float]:
    """Sum the slices of a block in order, one call after another."""
    moments, log_likelihood = np.zeros(each.n_sums), 0.0
    for call in calls(each.plan, len(block.rows)):
        rows = block.rows[call]
        given = UNWEIGHTED if block.weights is None else block.weights[call]
        slice_rows = each.plan.slice_rows(len(rows))
        partials = np.empty((each.plan.n_slices(len(rows)), len(moments)))
        log_likelihoods = np.zeros(len(partials))
        factors = choose_factors(rows, each.factors) if prune else each.factors
        run = twin(each.plan, len(rows), expectation, expectation_serial)
        for weights, unit in _bands(given, rows.dtype):
            run(rows, weights, factors, slice_rows, partials, log_likelihoods)
            with np.errstate(over="ignore"):  # seen in the statistics
                moments += unit * partials.sum(axis=0)
            log_likelihood += unit * float(log_likelihoods.sum())
    return moments, log_likelihood


def _bands(
    weights: npt.NDArray[np.float64], dtype: np.dtype[Any]
) -> Iterator[tuple[npt.NDArray[np.float64], float]]:
    """Walk weights that float32 can hold, each time with the power of two that they are in.

    They become float32 in a kernel, where sums of weights at 1e38 were infinite, and weights at
    1e-44 had lost all digits but two. Powers of two lose nothing. Where weights of one call are
    farther apart than a band, each band is summed by itself, with the other rows left out.
    """
    if dtype != np.float32 or not weights.any():
        yield weights, 1.0
        return
    least = weights.min() or np.min(weights, where=weights > 0.0, initial=np.inf)
    top = math.frexp(weights.max())[1] - 1
    if top - math.frexp(least)[1] + 1 < BAND:
        yield _divided(weights, top), math.ldexp(1.0, top)
        return
    held = weights > 0.0
    bands = np.where(held, (top + 1 - np.frexp(weights)[1]) // BAND, -1)
    for band in np.unique(bands[held]):
        shift = top - int(band) * BAND
        yield _divided(np.where(bands == band, weights, 0.0), shift), math.ldexp(1.0, shift)


def _divided(weights: npt.NDArray[np.float64], exponent: int) -> npt.NDArray[np.float64]:
    """Divide by a power of two, or by two of which each is a number."""
    half = exponent if abs(exponent) < 1000 else exponent // 2
    divided = weights * math.ldexp(1.0, -half)
    return divided if half == exponent else divided * math.ldexp(1.0, half - exponent)
