"""Source x kernel x candidates: what one visit to every block can find out."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels import scoring
from fastgmm.kernels.plan import BLOCK_BYTES, Plan, block_rows, partial_bytes, plan
from fastgmm.kernels.pruned import choose as choose_way
from fastgmm.kernels.structures.dispatch import STRUCTURES
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array, SufficientStatistics
from fastgmm.parallel.threads import allowed_threads, share
from fastgmm.sources import Block, Source, blocks
from fastgmm.sources.prefetch import TURNS

UNWEIGHTED = np.empty(0)
BAND = 60  # binary exponents of weights that are summed together in float32, which has 252
CACHED_ROWS = 2048  # of responsibilities: 320 kB of 20 components


class Model(NamedTuple):
    """Parameters as the kernels want them, and how their calls are cut."""

    structure: Any  # the module of kernels.structures that reads the factors
    factors: Any
    plan: Plan

    def about_means(self) -> Model:
        """Return the same model, with moments taken about each component's own mean."""
        return self._replace(factors=self.factors._replace(near=False))

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """Send the structure by its name: a module is not pickled."""
        name = next(name for name, each in STRUCTURES.items() if each is self.structure)
        return _model_of, (name, self.factors, self.plan)


class Totals(NamedTuple):
    """What the criteria of model choice need to know of all rows."""

    log_likelihood: float  # summed over rows, each times its weight
    log_certainty: float  # the same for the logarithm of the largest responsibility
    row_weight: float
    n_rows: int  # of positive weight
    counts: Array | None  # (K,) rows that each component holds; None where they are not weighed


class Summary(NamedTuple):
    """What a pass leaves of some rows, before it is given names: arrays that add."""

    moments: list[npt.NDArray[np.float64]]  # a candidate's sums, in its structure's own order
    log_likelihoods: npt.NDArray[np.float64]  # (candidates,)
    n_rows: int
    row_weight: float


def model(parameters: Parameters, dtype: npt.DTypeLike) -> Model:
    """Make the factors of some parameters, for rows of one dtype."""
    structure = STRUCTURES[parameters.structure]
    with np.errstate(divide="ignore"):  # a component of weight 0 has the log weight -inf
        log_weights = np.log(parameters.weights)
    factors = structure.factors(
        log_weights, parameters.means, parameters.precisions_cholesky, np.dtype(dtype)
    )
    operations, n_moments = structure.row_operations(factors), structure.n_moments(factors)
    return Model(structure, factors, plan(operations, n_moments, parameters.n_features))


def _model_of(structure: str, factors: Any, cut: Plan) -> Model:
    """Make a model that arrives from another process."""
    return Model(STRUCTURES[structure], factors, cut)


def statistics(source: Source, candidates: Sequence[Parameters]) -> list[SufficientStatistics]:
    """Sufficient statistics of every candidate, in one pass over the rows."""
    models = [model(parameters, source.dtype) for parameters in candidates]
    rows = block_rows(source.n_features)
    found = source.fold(partial(summarise, models), add, rows)
    careful = _without_cancellation(models, found)
    if careful != models:
        models, found = careful, source.fold(partial(summarise, careful), add, rows)
    return [
        _named(*each, found.n_rows, found.row_weight)
        for each in zip(candidates, models, found.moments, found.log_likelihoods, strict=True)
    ]


def _without_cancellation(models: Sequence[Model], found: Summary) -> list[Model]:
    """Return the models, those whose sums have lost too many digits with moments about the means.

    That takes deviations which shrink a thousandfold in one pass, as where a poor start meets tight
    clusters.
    """
    return [
        each.about_means() if each.structure.cancels(moments, each.factors) else each
        for each, moments in zip(models, found.moments, strict=True)
    ]


def held_bytes(source: Source, parameter_bytes: int) -> int:
    """Estimate what a pass holds beside parameters: blocks, each thread's tiles, lanes' sums."""
    n_features, itemsize = source.n_features, source.dtype.itemsize
    rows = block_rows(n_features)
    rows = rows if source.n_rows is None else min(rows, source.n_rows)
    turns = 0 if source.lasting else TURNS if source.reads_ahead else 1
    tiles = 2 * allowed_threads() * TILE * n_features
    return (turns * rows * n_features + tiles) * itemsize + partial_bytes(parameter_bytes, rows)


def short_blocks(source: Source, most_rows: int) -> Generator[Block, None, None]:
    """Walk a source in the blocks of a pass, or in shorter ones."""
    return blocks(source, min(most_rows, block_rows(source.n_features)))


def block_statistics(block: Block, parameters: Parameters) -> SufficientStatistics:
    """Sufficient statistics of one block, which has been checked."""
    each = model(parameters, block.rows.dtype)
    found = summarise([each], block)
    careful = _without_cancellation([each], found)
    if careful != [each]:
        (each,), found = careful, summarise(careful, block)
    sums = found.moments[0], float(found.log_likelihoods[0])
    return _named(parameters, each, *sums, found.n_rows, found.row_weight)


def _named(
    parameters: Parameters,
    each: Model,
    moments: npt.NDArray[np.float64],
    log_likelihood: float,
    n_rows: int,
    row_weight: float,
) -> SufficientStatistics:
    """Give the sums of a candidate their names."""
    n_features = parameters.n_features
    weight, first, second = each.structure.unpack(moments, each.factors, n_features)
    return SufficientStatistics(
        weight=weight,
        first=first,
        second=second,
        log_likelihood=float(log_likelihood),
        n_rows=n_rows,
        row_weight=row_weight,
        origin=parameters.means,
        structure=parameters.structure,
    )


def summarise(models: Sequence[Model], block: Block) -> Summary:
    """Sum a block for every candidate; a pure function of its arguments."""
    sums = [_expectation(each, block) for each in models]
    n_rows, row_weight = _weight(block)
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


def _weight(block: Block) -> tuple[int, float]:
    """Count the rows of positive weight, and sum the weights."""
    if block.weights is None:
        return len(block.rows), float(len(block.rows))
    return int(np.count_nonzero(block.weights)), float(block.weights.sum())


def _expectation(each: Model, block: Block) -> tuple[npt.NDArray[np.float64], float]:
    """Sum the lanes of a block in order, one call after another."""
    moments, log_likelihood = np.zeros(each.structure.n_moments(each.factors)), 0.0
    for call in _calls(each.plan, len(block.rows)):
        rows = block.rows[call]
        given = UNWEIGHTED if block.weights is None else block.weights[call]
        lanes = np.empty((each.plan.n_lanes(len(rows)), len(moments)))
        log_likelihoods = np.zeros(len(lanes))
        way = choose_way(rows, each.factors)
        run = _twin(each.plan, len(rows), way.parallel, way.serial)
        for weights, unit in _bands(given, rows.dtype):
            run(rows, weights, way.given, each.plan.lane_rows(len(rows)), lanes, log_likelihoods)
            with np.errstate(over="ignore"):  # seen in the statistics
                moments += unit * lanes.sum(axis=0)
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


def _calls(cut: Plan, n_rows: int) -> Iterator[slice]:
    """Slices of a block, each short enough for one visit of compiled code."""
    for start in range(0, n_rows, cut.call_rows):
        yield slice(start, min(start + cut.call_rows, n_rows))


def _twin(
    cut: Plan, n_rows: int, parallel: Callable[..., None], serial: Callable[..., None]
) -> Callable[..., None]:
    """Choose the parallel kernel where the work is worth it and the threads are ours."""
    return serial if cut.is_small(n_rows) else partial(share, parallel, serial)


def _score(each: Model, block: Block, out: npt.NDArray[Any]) -> None:
    """Fill ``out`` for every row of a block."""
    for call in _calls(each.plan, len(block.rows)):
        rows = block.rows[call]
        run = _twin(each.plan, len(rows), scoring.score, scoring.score_serial)
        run(rows, each.factors, each.plan.lane_rows(len(rows)), out[call])


def _shape(kind: str, n_rows: int, each: Model, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Make room for the scores of ``n_rows``."""
    if kind == "responsibilities":
        return np.empty((n_rows, len(each.factors.log_scale)), dtype)
    return np.empty(n_rows, np.int64 if kind == "labels" else dtype)


def each_block(
    source: Source, parameters: Parameters, kind: str
) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
    """Score block after block.

    Parameters
    ----------
    source : Source
    parameters : Parameters
    kind : {"labels", "responsibilities", "log_likelihoods"}

    Yields
    ------
    block : Block
    scores : ndarray of shape (rows of the block,) or (rows of the block, K)
    """
    scorer = model(parameters, source.dtype)
    most = pieces(parameters.n_components if kind == "responsibilities" else 1)
    with closing(short_blocks(source, most)) as walk:
        for block in walk:
            out = _shape(kind, len(block.rows), scorer, source.dtype)
            _score(scorer, block, out)
            yield block, out


def _scores(source: Source, parameters: Parameters, kind: str) -> npt.NDArray[Any]:
    """Score every row."""
    scorer = model(parameters, source.dtype)
    like = _shape(kind, 0, scorer, source.dtype)
    rows = block_rows(source.n_features)
    return source.tabulate(partial(_score, scorer), like.shape[1:], like.dtype, rows)


def log_likelihoods(source: Source, parameters: Parameters) -> npt.NDArray[Any]:
    """Log density of every row, (n,), in the dtype of the rows."""
    return _scores(source, parameters, "log_likelihoods")


def labels(source: Source, parameters: Parameters) -> npt.NDArray[np.int64]:
    """Most probable component of every row, (n,)."""
    return _scores(source, parameters, "labels")


def responsibilities(source: Source, parameters: Parameters) -> npt.NDArray[Any]:
    """Posterior probability of every component for every row, (n, K), in the dtype of the rows."""
    return _scores(source, parameters, "responsibilities")


def total_log_likelihood(source: Source, parameters: Parameters) -> tuple[float, float, int]:
    """Sum of weighted log densities, sum of weights, and count of rows of positive weight."""
    scorer = model(parameters, source.dtype)
    return source.fold(partial(_total, scorer), _add_total, block_rows(source.n_features))


def _total(scorer: Model, block: Block) -> tuple[float, float, int]:
    n_rows, row_weight = _weight(block)
    return _summed(scored("log_likelihoods", scorer, block), block), row_weight, n_rows


def _add_total(
    a: tuple[float, float, int], b: tuple[float, float, int]
) -> tuple[float, float, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def totals(source: Source, candidates: Sequence[Parameters]) -> list[Totals]:
    """Log-likelihood and certainty of every candidate, in one pass over the rows."""
    models = [model(parameters, source.dtype) for parameters in candidates]
    return source.fold(partial(_totals, models), _add_totals, block_rows(source.n_features))


def _totals(models: Sequence[Model], block: Block) -> list[Totals]:
    """Sum a block for every candidate; its responsibilities are gone before the next."""
    n_rows, row_weight = _weight(block)
    found = []
    for each in models:
        densities = scored("log_likelihoods", each, block)
        certainties = np.empty(len(block.rows), block.rows.dtype)
        counts = None if block.weights is None else np.zeros(len(each.factors.log_scale))
        for piece, responsibilities in _responsible(each, block):
            certainties[piece.start : piece.start + len(piece.rows)] = _largest(responsibilities)
            if counts is not None:
                counts += _counted(responsibilities, piece)
        sums = _summed(densities, block), _summed(np.log(certainties), block)
        found.append(Totals(*sums, row_weight, n_rows, counts))
    return found


def _responsible(each: Model, block: Block) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
    """Walk the responsibilities of a few rows at a time, always in the same memory.

    The start of a piece is its place in the block.
    """
    n_components, n_rows = len(each.factors.log_scale), len(block.rows)
    n_piece = min(pieces(n_components), n_rows)
    room = np.empty((n_piece, n_components), block.rows.dtype)  # new pages cost 2 ms
    for start in range(0, n_rows, max(n_piece, 1)):
        its = slice(start, start + n_piece)
        weights = None if block.weights is None else block.weights[its]
        piece = Block(block.rows[its], weights, start)
        responsibilities = room[: len(piece.rows)]
        _score(each, piece, responsibilities)
        yield piece, responsibilities


def pieces(n_components: int) -> int:
    """Rows whose responsibilities are held at a time, in whole tiles: no more than a block."""
    return max(TILE, BLOCK_BYTES // (8 * n_components) // TILE * TILE)


def _largest(responsibilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Largest of each row, column by column: three times faster than along short rows."""
    largest = responsibilities[:, 0].copy()
    for start in range(0, len(largest), CACHED_ROWS):
        piece = slice(start, start + CACHED_ROWS)
        for column in responsibilities[piece, 1:].T:
            np.maximum(largest[piece], column, out=largest[piece])
    return largest


def _add_totals(a: Sequence[Totals], b: Sequence[Totals]) -> list[Totals]:
    """Add what was found for two sets of rows."""
    return [
        Totals(
            one.log_likelihood + other.log_likelihood,
            one.log_certainty + other.log_certainty,
            one.row_weight + other.row_weight,
            one.n_rows + other.n_rows,
            None if one.counts is None or other.counts is None else one.counts + other.counts,
        )
        for one, other in zip(a, b, strict=True)
    ]


def own_rows(source: Source, parameters: Parameters) -> Array:
    """Count the rows of positive weight by component, each by its responsibilities alone, (K,)."""
    scorer = model(parameters, source.dtype)
    return source.fold(partial(_own_rows, scorer), operator.add, block_rows(source.n_features))


def _own_rows(scorer: Model, block: Block) -> Array:
    found = np.zeros(len(scorer.factors.log_scale))
    for piece, responsibilities in _responsible(scorer, block):
        found += _counted(responsibilities, piece)
    return found


def _counted(responsibilities: npt.NDArray[Any], block: Block) -> Array:
    """Sum the responsibilities of the rows that count, whatever they weigh."""
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    held = (weights > 0.0).astype(responsibilities.dtype)
    # a sum along the first axis took four times as long
    return np.einsum("ik,i->k", responsibilities, held).astype(np.float64)


def scored(kind: str, each: Model, block: Block) -> npt.NDArray[Any]:
    """Make the scores of a block, in the dtype of its rows."""
    out = _shape(kind, len(block.rows), each, block.rows.dtype)
    _score(each, block, out)
    return out


def _summed(values: npt.NDArray[Any], block: Block) -> float:
    """Sum the values of rows, each times its weight."""
    known = values.astype(np.float64, copy=False)
    if block.weights is None:
        return float(known.sum())
    # a row out of every component's reach, at -inf, counts for nothing if it weighs nothing
    product = np.zeros(len(known))
    return float(np.multiply(known, block.weights, where=block.weights > 0.0, out=product).sum())
