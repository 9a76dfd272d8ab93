"""One pass over the rows: sufficient statistics of every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.passes.incomplete import AnyModel, model_for, model_of
from fastgmm.passes.model import weight_of
from fastgmm.passes.truncated import Bounded, Screened
from fastgmm.sources import Block, Source


class Summary(NamedTuple):
    """What a pass leaves of some rows, before it is given names: arrays that add."""

    moments: list[Any]  # a candidate's sums, in the order of its model
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
    models = [model_of(source, parameters) for parameters in candidates]
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


def without_cancellation(models: Sequence[AnyModel], found: Summary) -> list[AnyModel]:
    """Return the models, those whose sums have lost too many digits with moments about the means.

    That takes deviations which shrink a thousandfold in one pass, as where a poor start meets tight
    clusters.
    """
    return [
        each.about_means() if each.cancels(moments) else each
        for each, moments in zip(models, found.moments, strict=True)
    ]


def block_statistics(
    block: Block, parameters: Parameters, *, may_lack: bool = False
) -> SufficientStatistics:
    """Sufficient statistics of one block, which has been checked; its rows may lack values."""
    each = model_for(parameters, block.rows.dtype, may_lack)
    found = summarise([each], block)
    careful = without_cancellation([each], found)
    if careful != [each]:
        (each,), found = careful, summarise(careful, block)
    sums = found.moments[0], float(found.log_likelihoods[0])
    return named(parameters, each, *sums, found.n_rows, found.row_weight)


def named(
    parameters: Parameters,
    each: AnyModel,
    moments: Any,
    log_likelihood: float,
    n_rows: int,
    row_weight: float,
) -> SufficientStatistics:
    """Give the sums of a candidate their names."""
    weight, first, second, extra = each.unpack(moments, parameters.n_features)
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
        left_out=each.left_out(moments) if isinstance(each, Screened | Bounded) else 0.0,
        directions=each.directions(parameters.n_features),
    )


def summarise(models: Sequence[AnyModel], block: Block, prune: bool = True) -> Summary:
    """Sum a block for every candidate; a pure function of its arguments."""
    block = models[0].counted(block)
    sums = [each.sums(block, prune) for each in models]
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
