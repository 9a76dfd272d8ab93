"""Sums of rows of which it is known how they are shared among components.

Each block is summed about the means of its own shares, and blocks are joined about the means of
both (Chan, Golub and LeVeque 1983), so that squares keep their digits wherever the rows lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial, reduce
from itertools import zip_longest
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.model import weight_of
from fastgmm.sources import Block, Source, blocks

Labels = npt.NDArray[np.signedinteger[Any]]  # (n,) number of a component, or -1: of none
Result = TypeVar("Result")
ROUNDING = {"f": 1e-5, "d": 1e-6}  # of a row's shares, whose sum is 1


class Known(NamedTuple):
    """Labels, and the rows that they are of: what a pass needs to know where it is computed."""

    labels: Labels
    n_rows: int | None
    name: str

    def of(self, part: Source, block: Block) -> Labels:
        """Return the labels of a block of some part of the rows."""
        start = part.first_row + block.start
        stop = start + len(block.rows)
        if stop > len(self.labels):
            n_rows = f"at least {stop}" if self.n_rows is None else f"{self.n_rows}"
            _refuse_length(len(self.labels), n_rows, self.name)
        return self.labels[start:stop]


def fold_labelled(
    source: Source,
    labels: Labels,
    summarise: Callable[[Block, Labels], Result],
    combine: Callable[[Result, Result], Result],
) -> Result:
    """Summarise every block with its labels, as `Source.fold` does without them."""
    known = Known(labels, source.n_rows, source.name)
    walk = partial(_folded, known, summarise, combine)
    found: Result | None = source.gather(walk, combine, block_rows(source.n_features))
    if found is None:
        raise DataError(f"{source.name} holds no rows (0 samples); at least one is needed")
    return found


def _folded(
    known: Known,
    summarise: Callable[[Block, Labels], Result],
    combine: Callable[[Result, Result], Result],
    part: Source,
    walk: Iterable[Block],
) -> Result | None:
    found: Result | None = None
    for block in walk:
        own = summarise(block, known.of(part, block))
        found = own if found is None else combine(found, own)
    return found


def sums_by_label(
    source: Source, labels: Labels, n_components: int, structure: Structure
) -> SufficientStatistics:
    """Sum the rows of each label, in one pass; those of none are left out.

    Raises
    ------
    DataError
        If labels are not one for each row.
    """
    summarise = partial(_sums_of_labels, n_components, structure)
    found = fold_labelled(source, labels, summarise, _merged)
    if len(labels) != source.n_rows:
        _refuse_length(len(labels), f"{source.n_rows}", source.name)
    return found


def _sums_of_labels(
    n_components: int, structure: Structure, block: Block, its: Labels
) -> SufficientStatistics:
    order = np.argsort(its, kind="stable")
    ends = np.searchsorted(its[order], np.arange(n_components + 1))
    weights = weights_of(block)
    chosen = [order[ends[k] : ends[k + 1]] for k in range(n_components)]
    counted = weight_of(part_of(block, order[ends[0] :]))
    return _summed(((block.rows[at], weights[at]) for at in chosen), counted, structure)


def sums_by_share(source: Source, shares: Source, structure: Structure) -> SufficientStatistics:
    """Sum the rows for each component by their shares, read beside them in one pass.

    Raises
    ------
    DataError
        If shares are not one line for each row, if one is negative, or a line does not sum to 1.
    """
    step = block_rows(source.n_features)
    with closing(blocks(source, step)) as of_rows, closing(blocks(shares, step)) as of_shares:
        found = reduce(_merged, _sums(source, shares, of_rows, of_shares, structure))
    return found


def part_of(block: Block, chosen: npt.NDArray[Any]) -> Block:
    """Return some rows of a block, by number or by a mask."""
    weights = None if block.weights is None else block.weights[chosen]
    return Block(block.rows[chosen], weights, block.start)


def weights_of(block: Block) -> Array:
    """Return the weight of each row of a block."""
    return np.ones(len(block.rows)) if block.weights is None else block.weights


def _refuse_length(n_labels: int, n_rows: str, name: str) -> None:
    raise DataError(
        f"{n_labels} labels were given for {n_rows} rows of {name}; give one for each row"
    )


def _sums(
    source: Source,
    shares: Source,
    of_rows: Iterable[Block],
    of_shares: Iterable[Block],
    structure: Structure,
) -> Iterator[SufficientStatistics]:
    """Yield the sums of each block."""
    for block, its in zip_longest(of_rows, of_shares):
        if block is None or its is None or len(block.rows) != len(its.rows):
            at_least = [0 if each is None else each.start + len(each.rows) for each in (block, its)]
            raise DataError(
                f"{shares.name} does not have one line for each row of {source.name}: one ends at "
                f"line {min(at_least)}, and the other goes on"
            )
        _check_shares(its, shares)
        rows, weights = np.asarray(block.rows, np.float64), weights_of(block)
        owns = (weights * share for share in its.rows.T)
        yield _summed(((rows, own) for own in owns), weight_of(block), structure)


def _check_shares(block: Block, shares: Source) -> None:
    """Refuse the first line that is no distribution over the components."""
    totals = block.rows.sum(axis=1, dtype=np.float64)
    negative = np.asarray((block.rows < 0.0).any(axis=1))
    wrong = negative | (np.abs(totals - 1.0) > ROUNDING[block.rows.dtype.char])
    if not wrong.any():
        return
    line = int(wrong.argmax())
    said = f"sums to {totals[line]:.6g}"
    if negative[line]:
        said = f"holds {block.rows[line].min():g}"
    raise DataError(
        f"{shares.place(block.start + line)} {said}; the responsibilities of a row are not "
        "negative and sum to 1"
    )


@one_blas_thread()
def _summed(
    parts: Iterable[tuple[npt.NDArray[Any], Array]],
    counted: tuple[int, float],
    structure: Structure,
) -> SufficientStatistics:
    """Sum the rows of each component, by their weights in it."""
    weights, origins, seconds = [], [], []
    for rows, own in parts:
        rows = np.asarray(rows, np.float64)
        weight = float(own.sum())
        origin = own @ rows / weight if weight > 0.0 else np.zeros(rows.shape[1])
        weights.append(weight)
        origins.append(origin)
        seconds.append(structure.scatter(rows - origin, own))
    return SufficientStatistics(
        weight=np.array(weights),
        first=np.zeros((len(weights), len(origins[0]))),
        second=structure.joined(seconds),
        log_likelihood=0.0,
        n_rows=counted[0],
        row_weight=counted[1],
        origin=np.array(origins),
        structure=structure,
    )


def _merged(a: SufficientStatistics, b: SufficientStatistics) -> SufficientStatistics:
    """Join the sums of two sets of rows, about the means of both."""
    weight = a.weight + b.weight
    part = np.divide(b.weight, weight, out=np.zeros_like(weight), where=weight > 0.0)[:, None]
    origin = a.origin + part * (b.origin - a.origin)
    return a.rebased(origin) + b.rebased(origin)
