"""The log density under which a given share of the rows lies, exactly, in bounded memory.

Densities are doubles, and the bits of doubles, read as whole numbers, have their order. Each pass
counts the rows in 2^18 equal intervals of these numbers and goes on in the one that holds the rank
sought, so that four passes find it among 2^64. What is left is mostly few enough to be held and
sorted after one: up to 2^21 rows take one pass, and 10^8 take two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import passes
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.incomplete import AnyModel, model_of
from fastgmm.sources import Block, Source

HELD_ROWS = 2**21  # 16 MB, and as much for their weights
INTERVAL_BITS = 18  # 2 MB of counts
SIGN = np.uint64(1 << 63)

Keys = npt.NDArray[np.uint64]
Reached = Callable[[Array], npt.NDArray[np.bool_]]  # of weights summed up to some rows


class Bracket(NamedTuple):
    """Keys among which the one sought is, and the weight of the rows below."""

    low: int
    high: int  # included
    below: float

    @property
    def shift(self) -> int:
        """Bits that the keys of an interval do not share."""
        return max(0, (self.high - self.low).bit_length() - INTERVAL_BITS)


class Inside(NamedTuple):
    """What a pass found between the ends of a bracket: the rows, or counts of them if many."""

    keys: list[Keys]
    weights: list[Array]
    counts: Array | None  # (intervals,)


def check_share(share: float) -> None:
    """Refuse a number that is no share of the rows."""
    if not 0.0 < share < 1.0:
        raise ValueError(
            f"contamination={share!r} is no share of the rows; give a number above 0 and below 1"
        )


def threshold(source: Source, parameters: Parameters, share: float) -> float:
    """Quantile of the log densities of the rows, by weight.

    Without weights as `np.quantile` interpolates by default. With weights as its method
    "inverted_cdf", the one for which NumPy defines them: the least log density at or below which
    lies that share of the weight.
    """
    scorer = model_of(source, parameters)
    whole = Bracket(0, 2**64 - 1, 0.0)
    (everything,) = _inside(source, scorer, [whole])
    total = _weight(everything)
    if total == 0.0:
        raise DataError(f"{source.name} holds no row to score; give at least one")
    find = partial(_sought, source, scorer, whole, everything)
    if source.weight is not None:
        return find([lambda reached: reached / total >= share])[0]  # divided as NumPy does
    place = share * (total - 1.0)
    before = math.floor(place)
    lower, upper = find([lambda reached: reached > before, lambda reached: reached > before + 1])
    if lower in (upper, -math.inf):  # as between infinities there is no middle
        return lower
    return float(np.quantile([lower, upper], place - before))


def _sought(
    source: Source, scorer: AnyModel, whole: Bracket, everything: Inside, ranks: list[Reached]
) -> list[float]:
    """Find the least log density that reaches each rank; all of them share the passes."""
    brackets = [_narrowed(whole, everything, reached) for reached in ranks]
    while wide := sorted({bracket for bracket in brackets if bracket.low < bracket.high}):
        found = dict(zip(wide, _inside(source, scorer, wide), strict=True))
        if not all(map(_weight, found.values())):
            raise SourceChangedError(
                f"{source.name} gave other rows in this pass than before: none is where the "
                "threshold was; every pass must walk the same rows"
            )
        brackets = [
            _narrowed(bracket, found[bracket], reached) if bracket in found else bracket
            for bracket, reached in zip(brackets, ranks, strict=True)
        ]
    return [_number(bracket.low) for bracket in brackets]


def _narrowed(bracket: Bracket, inside: Inside, reached: Reached) -> Bracket:
    """Bracket the first key whose rows, with all below, reach the rank."""
    if inside.counts is None:
        keys, weights = np.concatenate(inside.keys), np.concatenate(inside.weights)
        order = np.argsort(keys, kind="stable")
        at = _first(bracket.below + np.cumsum(weights[order]), reached)
        key = int(keys[order[at]])
        return Bracket(key, key, bracket.below)
    summed = np.cumsum(inside.counts)
    at = _first(bracket.below + summed, reached)
    at = int(np.searchsorted(summed, summed[at]))  # not an empty interval, where that was the last
    low = bracket.low + (at << bracket.shift)
    high = min(bracket.high, low + (1 << bracket.shift) - 1)
    return Bracket(low, high, bracket.below + float(summed[at] - inside.counts[at]))


def _first(reached_by: Array, reached: Reached) -> int:
    """Index of the first sum that reaches the rank; the last if rounding lets none."""
    enough = reached(reached_by)
    return int(enough.argmax()) if enough.any() else len(reached_by) - 1


def _inside(source: Source, scorer: AnyModel, brackets: Sequence[Bracket]) -> list[Inside]:
    """Find what lies in each bracket, in one pass."""
    return source.fold(
        partial(_of_block, scorer, brackets),
        partial(_joined, brackets),
        block_rows(source.n_features),
    )


def _of_block(scorer: AnyModel, brackets: Sequence[Bracket], block: Block) -> list[Inside]:
    """Keep the rows of a block that lie in each bracket."""
    keys = _keys(passes.scored("log_likelihoods", scorer, block))
    weights = np.ones(len(keys)) if block.weights is None else block.weights
    found = []
    for bracket in brackets:
        inside = (keys >= bracket.low) & (keys <= bracket.high) & (weights > 0.0)
        found.append(Inside([keys[inside]], [weights[inside]], None))
    return found


def _joined(brackets: Sequence[Bracket], a: list[Inside], b: list[Inside]) -> list[Inside]:
    """Join what was found in two sets of rows."""
    return [_joined_one(*each) for each in zip(brackets, a, b, strict=True)]


def _joined_one(bracket: Bracket, a: Inside, b: Inside) -> Inside:
    joined = Inside(a.keys + b.keys, a.weights + b.weights, None)
    counted = [each.counts for each in (a, b) if each.counts is not None]
    if not counted and sum(map(len, joined.keys)) <= HELD_ROWS:
        return joined
    return Inside([], [], sum(counted, _counted(bracket, joined)))


def _counted(bracket: Bracket, held: Inside) -> Array:
    """Sum the weights of the rows that are held by intervals."""
    counts = np.zeros(1 << INTERVAL_BITS)
    for keys, weights in zip(held.keys, held.weights, strict=True):
        interval = ((keys - np.uint64(bracket.low)) >> np.uint64(bracket.shift)).astype(np.int64)
        counts += np.bincount(interval, weights, minlength=len(counts))
    return counts


def _weight(inside: Inside) -> float:
    if inside.counts is not None:
        return float(inside.counts.sum())
    return float(sum(weights.sum() for weights in inside.weights))


def _keys(numbers: npt.NDArray[Any]) -> Keys:
    """Return whole numbers in the order of the doubles."""
    bits = numbers.astype(np.float64).view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _number(key: int) -> float:
    """Return the double of a key."""
    bits = np.uint64(key)
    bits = bits ^ SIGN if bits & SIGN else ~bits
    return float(bits.view(np.float64))
