"""A bounded sample of the rows of any source, drawn in one pass.

Where it is small, equal rows are merged (their weights summed) and sorted, so that neither the
order of rows nor writing one twice instead of weighing it double can matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.arrays import Array
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.sources import Block, Source
from fastgmm.sources.checks import check_extents, check_range
from fastgmm.sources.fingerprint import mark

# centres found on these err by 1/50 of a cluster's width with 20 clusters: EM's first pass mends it
SAMPLE_ROWS = 50_000
SAMPLE_NUMBERS = 2_000_000  # features times rows: 16 MB
SORTED_ROWS = 10_000  # sorting more would take longer than a pass
DEVIATIONS = 8.0  # of the number of rows above a floor: it is not so few in 1e15 samples

Look = Callable[[Source, Block], int]  # checks a block, and returns its mark or 0
Columns = Callable[[Source, Block], npt.NDArray[Any]]  # makes a block's rows what is kept of them


class Sample(NamedTuple):
    """Rows that stand for a source, their weights, and where zero was put."""

    rows: Array  # (m, d) less the origin
    weights: Array  # (m,)
    origin: Array  # (d,)
    n_rows: int = 0  # of positive weight, of the source
    row_weight: float = 0.0  # of them all
    mark: int = 0  # of all rows of the source, if that was asked for
    incomplete: Sample | None = None  # the same rows with missing values, if these are drawn
    draws: tuple[Sample, ...] = ()  # the same rows with other values drawn
    own_weight: float = 1.0  # of the rows it holds, on average of `row_weight`


def draw_sample(source: Source, rng: np.random.Generator) -> Sample:
    """Draw a bounded sample of the rows of positive weight, in one pass."""
    return sample_of(source, draw_seed(rng))


def draw_seed(rng: np.random.Generator) -> int:
    """Draw what a sample depends on, beside the rows."""
    return int(rng.integers(2**63))


def sample_of(source: Source, seed: int, marked: bool = False) -> Sample:
    """Draw the sample of a seed: the same from the same rows, however they are read.

    If ``marked``, the same pass makes a number that tells all rows of the source from others.

    More rows than the bound are drawn by priority, weight / u (Duffield, Lund and Thorup 2007,
    Priority sampling for estimation of arbitrary subset sums, Journal of the ACM 54). Those of the
    highest are kept, and each counts its weight, or the highest priority of all others if that is
    more: so the weight of any rows is estimated without bias, and heavy rows keep theirs, where
    rows drawn by weight that count alike left 0.6% of the sample to 300 rows of 75% of the weight.
    The random numbers belong to a row's place in the source, not to the chunks it came in.
    """
    most = most_rows(source.n_features)
    kept = _gathered(source, most, seed, partial(_look, marked))
    if kept is None or not kept.parts:
        raise DataError(f"{source.name} has no rows; a mixture is fitted to at least two")
    rows, weights = kept.rows_and_weights()
    if not len(rows) and source.may_lack:
        raise DataError(f"{source.name} has no row that holds a value; give at least two")
    check_extents(source, rows)
    own_weight = kept.row_weight * min(1.0, most / kept.n_rows)
    found = sample_from(rows, weights, kept.n_rows, kept.row_weight, own_weight)
    return found._replace(mark=kept.mark)


def sample_from(
    rows: Array, weights: Array, n_rows: int, row_weight: float, own_weight: float
) -> Sample:
    """Make a sample of drawn rows, which are no longer needed, and of what is known of all."""
    if len(rows) <= SORTED_ROWS:
        rows, weights = merge_equal_rows(rows, weights)
    weights = weights / weights.sum()
    origin = observed_means(rows, weights)
    # in place, but where they came from another process
    rows = np.subtract(rows, origin, out=rows if rows.flags.writeable else None)
    return Sample(rows, weights, origin, n_rows, row_weight, own_weight=own_weight)


def observed_means(rows: Array, weights: Array) -> Array:
    """Return the mean of each feature, of what is observed; 0 of a feature that no row holds."""
    means = np.einsum("i,ij->j", weights, rows)  # no BLAS, whose bits may follow its threads
    if not np.isnan(means).any():
        return np.asarray(means)
    observed = ~np.isnan(rows)
    sums = np.einsum("i,ij->j", weights, np.where(observed, rows, 0.0))
    counts = np.einsum("i,ij->j", weights, observed)
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0.0)


def draw_rows(
    source: Source, most: int, seed: int, columns: Columns | None = None
) -> tuple[Array, Array]:
    """Draw rows as `sample_of` does, in the order of the source, with what each counts.

    Of a row is kept what `columns` makes of it, at least one number.
    """
    kept = _gathered(source, most, seed, columns=columns)
    if kept is None or not kept.parts:
        return np.empty((0, source.n_features)), np.empty(0)
    return kept.rows_and_weights()


def most_rows(n_features: int) -> int:
    """Count the rows of a sample at most."""
    return max(1, min(SAMPLE_ROWS, SAMPLE_NUMBERS // n_features))


@one_blas_thread()
def feature_variances(sample: Sample) -> Array:
    """Variance of each feature over the sample, (d,): exactly 0 for one of a single value."""
    constant = (sample.rows == sample.rows[0]).all(axis=0)
    # what the origin was rounded by is left in every row of a constant
    return np.where(constant, 0.0, sample.weights @ sample.rows**2)


class _Reservoir:
    """The rows of highest priority so far, and one more: all rows, until there are too many.

    What is beyond the bound is let go when as much again is held: a sorting out after every block
    took half of the time of the pass.
    """

    def __init__(self, most: int, seed: int, n_rows: int | None = None) -> None:
        self.most, self.seed = most, seed
        # where rows of weight one will surely be let go, if their number is known
        chance = 1.0 if n_rows is None else (most + DEVIATIONS * np.sqrt(most)) / max(n_rows, 1)
        self.expected = -np.inf if chance >= 1.0 else -chance
        # rows, weights, keys: -u / weight, in the order of the priorities, which may be infinite
        self.parts: list[tuple[npt.NDArray[np.float64], Array, Array]] = []
        self.held, self.floor = 0, -np.inf
        self.n_rows, self.row_weight = 0, 0.0  # offered
        self.mark = 0

    def offer(self, rows: npt.NDArray[Any], weights: Array | None, start: int) -> None:
        """Add a block's rows."""
        self.n_rows += len(rows) if weights is None else int(np.count_nonzero(weights))
        self.row_weight += len(rows) if weights is None else float(weights.sum())
        uniform = np.random.Generator(np.random.Philox(key=[self.seed, start])).random(len(rows))
        if weights is None:  # most are let go at a glance
            self.floor = max(self.floor, self.expected)
            good = np.flatnonzero(uniform > 1.0 + self.floor)
            keys, weights = uniform[good] - 1.0, np.ones(len(good))
        else:
            good = np.flatnonzero(weights > 0.0)
            weights = weights[good]
            with np.errstate(over="ignore"):
                keys = (uniform[good] - 1.0) / weights
            keys = np.maximum(keys, -np.finfo(np.float64).max)  # of weights below 1e-308, too
        chosen = np.flatnonzero(keys > self.floor)
        if len(chosen) > self.most + 1:
            chosen = np.flatnonzero(keys >= self._raised(keys))
        part = rows.take(good[chosen], axis=0).astype(np.float64, copy=False)
        self.parts.append((part, weights[chosen], keys[chosen]))
        self.held += len(chosen)
        if self.held > 2 * self.most:
            self.shrink()

    def _raised(self, keys: Array) -> float:
        """Raise the floor to the least of the keys that are kept."""
        at = len(keys) - self.most - 1
        self.floor = float(np.partition(keys, at)[at])
        return self.floor

    def shrink(self) -> None:
        """Keep the largest keys, in the order of the rows."""
        keys = np.concatenate([part[2] for part in self.parts])
        if len(keys) > self.most + 1:
            self._keep(self._raised(keys))
        if len(self.parts) > 1:
            rows, weights, keys = (np.concatenate(part) for part in zip(*self.parts, strict=True))
            self.parts = [(rows, weights, keys)]
        self.held = len(self.parts[0][2])

    def _keep(self, least: float) -> None:
        """Let go the rows of smaller keys."""
        chosen = [np.flatnonzero(part[2] >= least) for part in self.parts]
        self.parts = [
            (rows.take(its, axis=0), weights[its], keys[its])
            for (rows, weights, keys), its in zip(self.parts, chosen, strict=True)
        ]

    def rows_and_weights(self) -> tuple[Array, Array]:
        """Return the sample, with what each row counts; rows of equal weights count 1 each."""
        self.shrink()
        keys = self.parts[0][2]
        if len(keys) > self.most:
            least = float(keys.min())
            self._keep(float(np.nextafter(least, 0.0)))
            rows, weights, _ = self.parts[0]
            return rows, counted(weights, -1.0 / least)
        rows, weights, _ = self.parts[0]
        return rows, weights


def counted(weights: Array, highest: float) -> Array:
    """Return what rows count that were kept of more, given the highest priority of all others.

    Relative to what counts most: rows of equal weights count 1 each, whatever their number.
    """
    counts = np.maximum(weights, highest)
    return counts / counts.max()


def by_priority(weights: Array, rng: np.random.Generator) -> tuple[Array, npt.NDArray[np.intp]]:
    """Draw a priority for each row, and order the rows from the highest."""
    priorities = weights.copy()
    priorities[rng.permutation(len(weights))] *= len(weights) / (1.0 + np.arange(len(weights)))
    return priorities, np.argsort(-priorities, kind="stable")


def _gathered(
    source: Source,
    most: int,
    seed: int,
    look: Look | None = None,
    columns: Columns | None = None,
) -> _Reservoir | None:
    """Keep the rows of highest priority of a source, in one pass."""
    walk = partial(_kept, most, seed, look, columns)
    return source.gather(walk, _merged, block_rows(source.n_features))


def _look(marked: bool, source: Source, block: Block) -> int:
    """Check the range of a block, and return its mark if that is wanted."""
    check_range(source, block)
    return mark(block) if marked else 0


def _kept(
    most: int,
    seed: int,
    look: Look | None,
    columns: Columns | None,
    source: Source,
    walk: Iterable[Block],
) -> _Reservoir:
    """Keep the rows of highest priority of some blocks, and add up the marks of all."""
    kept = _Reservoir(most, seed, source.whole_rows)
    for block in walk:
        if look is not None:
            kept.mark = (kept.mark + look(source, block)) % 2**64
        rows = block.rows if columns is None else columns(source, block)
        weights = weights_of_observed(block) if source.may_lack else block.weights
        kept.offer(rows, weights, source.first_row + block.start)
    if kept.parts:
        kept.shrink()
    return kept


def weights_of_observed(block: Block) -> Array | None:
    """Return the weights of a block, 0 for rows in which nothing is observed: they say nothing."""
    if not np.isnan(block.rows[:, 0]).any():
        return block.weights
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    return np.where(np.isnan(block.rows).all(axis=1), 0.0, weights)


def _merged(a: _Reservoir, b: _Reservoir) -> _Reservoir:
    """Keep the rows of highest priority of both; neither is changed."""
    kept = _Reservoir(a.most, a.seed)
    kept.parts = a.parts + b.parts
    kept.n_rows, kept.row_weight = a.n_rows + b.n_rows, a.row_weight + b.row_weight
    kept.mark = (a.mark + b.mark) % 2**64
    if kept.parts:
        kept.shrink()
    return kept


def merge_equal_rows(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Sort the rows and sum the weights of equal ones."""
    lacks = np.isnan(rows)
    rows = np.where(lacks, np.inf, rows + 0.0)  # -0.0 becomes 0.0; NaN equals nothing
    order = _sorted(rows)
    rows, weights = rows[order], weights[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    if new.all() and not lacks.any():
        return rows, weights
    # equal rows are summed smallest weight first, so that their order cannot show
    group = np.cumsum(new) - 1
    weights = weights[np.lexsort((weights, group))]
    found = rows[new]
    found[found == np.inf] = np.nan
    return found, np.add.reduceat(weights, np.flatnonzero(new))


def _sorted(rows: Array) -> npt.NDArray[np.intp]:
    """Return the order of rows (n, d) without -0.0, by their first feature, then the second ...

    The first alone decides where its values differ, and most do: to sort 10 000 rows of 200
    features by each of them took 0.3 s, by the first 1 ms.
    """
    order = np.asarray(np.argsort(rows[:, 0], kind="stable"))
    first = rows[order, 0]
    same = first[1:] == first[:-1]
    if not same.any() or rows.shape[1] == 1:
        return order
    tied = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    among = order[tied]
    order[tied] = among[np.lexsort(rows[among].T[::-1])]
    return order
