"""One pass over the rows: log-likelihoods, labels, responsibilities, and their totals."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels.block_sizes import BLOCK_BYTES, block_rows
from fastgmm.kernels.scoring import Columns
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.incomplete import AnyModel, model_of
from fastgmm.passes.model import short_blocks, weight_of
from fastgmm.sources import Block, Source

CACHED_ROWS = 2048  # of responsibilities: 320 kB of 20 components


class Totals(NamedTuple):
    """What the criteria of model choice need to know of all rows."""

    log_likelihood: float  # summed over rows, each times its weight
    log_certainty: float  # the same for the logarithm of the largest responsibility
    row_weight: float
    n_rows: int  # of positive weight
    counts: Array | None  # (K,) rows that each component holds; None where they are not weighed


def _shape(kind: str, n_rows: int, each: AnyModel, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Make room for the scores of ``n_rows``."""
    if kind == "responsibilities":
        return np.empty((n_rows, each.n_densities), dtype)
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
    scorer = model_of(source, parameters)
    most = pieces(scorer.n_densities if kind == "responsibilities" else 1)
    with closing(short_blocks(source, most)) as walk:
        for block in walk:
            yield block, scored(kind, scorer, block)


def each_block_by_columns(
    source: Source, parameters: Parameters
) -> Iterator[tuple[Block, Columns]]:
    """Find labels and responsibilities block after block, each component's in a column."""
    scorer = model_of(source, parameters)
    n_components = scorer.n_densities
    with closing(short_blocks(source, pieces(n_components))) as walk:
        for block in walk:
            n_rows = len(block.rows)
            found = np.empty((n_components, n_rows), source.dtype)
            columns = Columns(np.empty(n_rows, np.int64), found, first=0)
            scorer.score(block, columns)
            yield block, columns


def _scores(source: Source, parameters: Parameters, kind: str) -> npt.NDArray[Any]:
    """Score every row."""
    scorer = model_of(source, parameters)
    like = _shape(kind, 0, scorer, source.dtype)
    rows = block_rows(source.n_features)
    return source.tabulate(scorer.score, like.shape[1:], like.dtype, rows)


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
    scorer = model_of(source, parameters)
    return source.fold(partial(_total, scorer), _add_total, block_rows(source.n_features))


def _total(scorer: AnyModel, block: Block) -> tuple[float, float, int]:
    block = scorer.counted(block)
    n_rows, row_weight = weight_of(block)
    return _summed(scored("log_likelihoods", scorer, block), block), row_weight, n_rows


def _add_total(
    a: tuple[float, float, int], b: tuple[float, float, int]
) -> tuple[float, float, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def totals(source: Source, candidates: Sequence[Parameters]) -> list[Totals]:
    """Log-likelihood and certainty of every candidate, in one pass over the rows."""
    models = [model_of(source, parameters) for parameters in candidates]
    return source.fold(partial(_totals, models), _add_totals, block_rows(source.n_features))


def _totals(models: Sequence[AnyModel], block: Block) -> list[Totals]:
    """Sum a block for every candidate; its responsibilities are gone before the next."""
    block = models[0].counted(block)
    n_rows, row_weight = weight_of(block)
    found = []
    for each in models:
        densities = scored("log_likelihoods", each, block)
        certainties = np.empty(len(block.rows), block.rows.dtype)
        counts = None if block.weights is None else np.zeros(each.n_densities)
        for piece, responsibilities in _responsible(each, block):
            certainties[piece.start : piece.start + len(piece.rows)] = _largest(responsibilities)
            if counts is not None:
                counts += _counted(responsibilities, piece)
        sums = _summed(densities, block), _summed(np.log(certainties), block)
        found.append(Totals(*sums, row_weight, n_rows, counts))
    return found


def _responsible(each: AnyModel, block: Block) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
    """Walk the responsibilities of a few rows at a time, always in the same memory.

    The start of a piece is its place in the block.
    """
    n_components, n_rows = each.n_densities, len(block.rows)
    n_piece = min(pieces(n_components), n_rows)
    room = np.empty((n_piece, n_components), block.rows.dtype)  # new pages cost 2 ms
    for start in range(0, n_rows, max(n_piece, 1)):
        its = slice(start, start + n_piece)
        weights = None if block.weights is None else block.weights[its]
        piece = Block(block.rows[its], weights, start)
        responsibilities = room[: len(piece.rows)]
        each.score(piece, responsibilities)
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
    scorer = model_of(source, parameters)
    found = source.fold(partial(_own_rows, scorer), operator.add, block_rows(source.n_features))
    return found[: parameters.n_components]


def _own_rows(scorer: AnyModel, block: Block) -> Array:
    found, block = np.zeros(scorer.n_densities), scorer.counted(block)
    for piece, responsibilities in _responsible(scorer, block):
        found += _counted(responsibilities, piece)
    return found


def _counted(responsibilities: npt.NDArray[Any], block: Block) -> Array:
    """Sum the responsibilities of the rows that count, whatever they weigh."""
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    held = (weights > 0.0).astype(responsibilities.dtype)
    # a sum along the first axis took four times as long
    return np.einsum("ik,i->k", responsibilities, held).astype(np.float64)


def scored(kind: str, each: AnyModel, block: Block) -> npt.NDArray[Any]:
    """Make the scores of a block, in the dtype of its rows."""
    out = _shape(kind, len(block.rows), each, block.rows.dtype)
    each.score(block, out)
    return out


def _summed(values: npt.NDArray[Any], block: Block) -> float:
    """Sum the values of rows, each times its weight."""
    known = values.astype(np.float64, copy=False)
    if block.weights is None:
        return float(known.sum())
    # a row out of every component's reach, at -inf, counts for nothing if it weighs nothing
    product = np.zeros(len(known))
    return float(np.multiply(known, block.weights, where=block.weights > 0.0, out=product).sum())
