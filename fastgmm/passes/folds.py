"""Passes in which each candidate leaves out the rows of a fold, and is scored by those alone.

One row of every five belongs to each fold, in an order that a hash of their place in the source
draws: so folds are as long as one another and neither sorted nor periodic rows make them unlike,
and no row has to remember its fold. The rows of a block are laid out fold by fold, twice round:
those of all folds but one are then one slice of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from itertools import permutations
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.passes.accumulate import Summary, add, named, summarise, without_cancellation
from fastgmm.passes.accumulate import statistics as of_all_rows
from fastgmm.passes.incomplete import AnyModel, model_of
from fastgmm.passes.scores import scored
from fastgmm.passes.subsample import Sample, draw_rows, most_rows, sample_from
from fastgmm.sources import Block, Source

N_FOLDS = 5
ORDERS = np.array(list(permutations(range(N_FOLDS))))  # of five rows by fold, (120, 5)

Result = TypeVar("Result")


class HeldOut(NamedTuple):
    """How well rows are predicted by the fits that have not seen them."""

    mean: float  # log-likelihood per row, by weight
    standard_error: float


FAILED = HeldOut(-math.inf, math.inf)


def rows_by_fold(start: int, n_rows: int) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each fold among ``n_rows`` from ``start`` on, counted from there."""
    groups = np.arange(start // N_FOLDS, -(-(start + n_rows) // N_FOLDS))
    drawn = ORDERS[(_hashed(groups) % np.uint64(len(ORDERS))).astype(np.intp)]
    places = groups[:, None] * N_FOLDS + drawn - start
    return [its[(its >= 0) & (its < n_rows)] for its in places.T]


def _hashed(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of whole numbers.

    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators.
    """
    bits = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class Parted:
    """The rows of a block by fold."""

    def __init__(self, block: Block, first_row: int) -> None:
        folds = rows_by_fold(first_row + block.start, len(block.rows))
        round_twice = [*folds, *folds[:-1]]
        order = np.concatenate(round_twice)
        self.block = block
        self.rows = block.rows.take(order, axis=0)
        self.weights = None if block.weights is None else block.weights.take(order)
        self.edges = np.cumsum([0, *map(len, round_twice)])

    def seen(self, left_out: int | None) -> Block:
        """Return the rows of all folds but one; None leaves out none."""
        if left_out is None:
            return self.block
        return self._between(left_out + 1, left_out + N_FOLDS)

    def held_out(self, fold: int) -> Block:
        """Return the rows of one fold."""
        return self._between(fold, fold + 1)

    def _between(self, first: int, last: int) -> Block:
        its = slice(self.edges[first], self.edges[last])
        return Block(self.rows[its], None if self.weights is None else self.weights[its], 0)


def statistics(
    source: Source, candidates: Sequence[Parameters], left_out: Sequence[int | None]
) -> list[SufficientStatistics]:
    """Sufficient statistics of every candidate, in one pass over the rows.

    Parameters
    ----------
    source : Source
    candidates : sequence of Parameters
    left_out : sequence of int or None
        The fold whose rows a candidate does not see.
    """
    if all(fold is None for fold in left_out):
        return of_all_rows(source, candidates)
    models = [model_of(source, parameters) for parameters in candidates]
    found = _fold(source, partial(_summaries, models, left_out), _add)
    careful = [
        without_cancellation([each], its)[0] for each, its in zip(models, found, strict=True)
    ]
    if careful != models:
        models, found = careful, _fold(source, partial(_summaries, careful, left_out), _add)
    return [
        named(parameters, each, its.moments[0], its.log_likelihoods[0], its.n_rows, its.row_weight)
        for parameters, each, its in zip(candidates, models, found, strict=True)
    ]


def _summaries(
    models: Sequence[AnyModel], left_out: Sequence[int | None], parted: Parted
) -> list[Summary]:
    """Sum a block for every candidate, each over the rows that it sees."""
    return [
        summarise([each], parted.seen(fold)) for each, fold in zip(models, left_out, strict=True)
    ]


def _add(a: Sequence[Summary], b: Sequence[Summary]) -> list[Summary]:
    return [add(one, other) for one, other in zip(a, b, strict=True)]


def held_out(
    source: Source, fitted: Sequence[Sequence[Parameters]], near: Sequence[float], unit: float
) -> list[HeldOut]:
    """Score every row by the fit that has not seen it, in one pass over the rows.

    The standard error is that of a mean over rows: s / sqrt(n) with the standard deviation s of
    their n log densities, as Breiman, Friedman, Olshen and Stone (1984, section 3.4.3) have it for
    cross-validation; of weighted rows, that of their weighted mean, in which a weight is the part
    that a row has in it and not how often it was seen.

    Parameters
    ----------
    source : Source
    fitted : sequence of sequences of Parameters
        For every candidate its fits, one without each fold.
    near : sequence of float
        A number near each candidate's mean: squares about it keep their digits.
    unit : float
        What weights are divided by, so that their squares are numbers.
    """
    models = [[model_of(source, each) for each in its] for its in fitted]
    sums = _fold(source, partial(_sums, models, near, unit), np.add)
    return [_mean(*its, about=about) for its, about in zip(sums.tolist(), near, strict=True)]


def _sums(
    models: Sequence[Sequence[AnyModel]], near: Sequence[float], unit: float, parted: Parted
) -> Array:
    """Sum powers of weights and log densities over a block, (candidates, 6)."""
    found = np.zeros((len(models), 6))
    for fold in range(N_FOLDS):
        block = parted.held_out(fold)
        weights = np.ones(len(block.rows)) if block.weights is None else block.weights / unit
        heavy = weights > 0.0
        weights = weights[heavy]
        for its, of_folds, about in zip(found, models, near, strict=True):
            densities = scored("log_likelihoods", of_folds[fold], block)[heavy]
            with np.errstate(over="ignore"):
                apart = densities.astype(np.float64) - about
                squares = weights * weights
                its += (
                    len(weights),
                    weights.sum(),
                    (weights * apart).sum(),
                    squares.sum(),
                    (squares * apart).sum(),
                    (squares * apart * apart).sum(),
                )
    return found


def _mean(n_rows: float, weight: float, first: float, *squares: float, about: float) -> HeldOut:
    """Mean and standard error, out of sums of deviations; an infinite mean has no other error."""
    apart = first / weight
    if not math.isfinite(apart):
        return HeldOut(-math.inf, math.inf)
    of_weights, of_first, of_second = squares
    spread = of_second - 2.0 * apart * of_first + apart * apart * of_weights
    if not math.isfinite(spread) or n_rows < 2:
        return HeldOut(about + apart, math.inf)
    error = math.sqrt(max(spread, 0.0) * n_rows / (n_rows - 1.0)) / weight
    return HeldOut(about + apart, error)


class Drawn(NamedTuple):
    """A sample of all rows, with the fold of each."""

    rows: Array  # (m, d)
    weights: Array  # (m,)
    folds: Array  # (m,)

    @property
    def fewest(self) -> int:
        """Count the rows that are seen where the longest fold is left out."""
        return min(int(np.count_nonzero(self.folds != fold)) for fold in range(N_FOLDS))

    def seen(self, left_out: int, whole: Sample) -> Sample:
        """Return the sample of the rows of all folds but one; the totals of all are known."""
        its = self.folds != left_out
        share = float(self.weights[its].sum() / self.weights.sum())
        return sample_from(
            self.rows[its],
            self.weights[its],
            round(whole.n_rows * its.mean()),
            whole.row_weight * share,
            whole.own_weight * share,
        )


def drawn(source: Source, seed: int) -> Drawn:
    """Draw a sample of the rows that knows their folds, in one pass."""
    rows, weights = draw_rows(source, most_rows(source.n_features), seed, _with_fold)
    return Drawn(rows[:, :-1], weights, rows[:, -1])


def _with_fold(source: Source, block: Block) -> npt.NDArray[Any]:
    """Return the rows of a block with the number of their fold as a last column."""
    folds = np.empty((len(block.rows), 1), block.rows.dtype)
    for fold, its in enumerate(rows_by_fold(source.first_row + block.start, len(block.rows))):
        folds[its] = fold
    return np.hstack([block.rows, folds])


def _fold(
    source: Source,
    summarise: Callable[[Parted], Result],
    combine: Callable[[Result, Result], Result],
) -> Result:
    """Summarise every block by its folds and combine what is found, in the order of the blocks."""
    walk = partial(_walked, summarise, combine)
    found: Result | None = source.gather(walk, combine, block_rows(source.n_features))
    if found is None:
        raise DataError(f"{source.name} holds no rows (0 samples); at least one is needed")
    return found


def _walked(
    summarise: Callable[[Parted], Result],
    combine: Callable[[Result, Result], Result],
    source: Source,
    walk: Iterable[Block],
) -> Result | None:
    results = (summarise(Parted(block, source.first_row)) for block in walk)
    for first in results:
        return reduce(combine, results, first)
    return None
