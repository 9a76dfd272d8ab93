"""Chunks of any length become blocks of a fixed one, and every number in them is checked."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.fingerprint import Fingerprint
from fastgmm.sources.prefetch import Turn, read_ahead, read_here

if TYPE_CHECKING:
    from fastgmm.sources.source import Chunk, Source

# Beyond these a square, summed over as many rows as there may be, is no number any more: 1e290
# leaves room for 1e18 rows, and float32, whose squares are summed in tiles of 192 rows, for those.
LARGEST = {np.dtype(np.float32): 1e17, np.dtype(np.float64): 1e145}
SMALLEST = {np.dtype(np.float32): 1e-17, np.dtype(np.float64): 1e-140}  # so that squares are normal
LEAST_TOTAL_WEIGHT = 1e-290  # see statistics.NEGLIGIBLE_WEIGHT: sums below it lose digits
LOOP_NUMBERS = 512  # in one of NumPy's loops: fewer cost more to begin than to do
VERIFIED_NUMBERS = 2**18  # checked at a time when a source is opened: 2 MB, that stay in cache


class Block(NamedTuple):
    """A fixed number of rows, ready for a kernel.

    The rows are read-only: they may be the caller's own. They are good until the next block is
    asked for.
    """

    rows: npt.NDArray[Any]  # (n, d) float32 or float64, C-contiguous, aligned
    weights: npt.NDArray[np.float64] | None  # (n,)
    start: int  # the number of the first row in the source, from 0


class Poured(NamedTuple):
    """Rows that were written where a block wanted them."""

    n_rows: int
    weights: npt.NDArray[Any] | None = None  # (n_rows,)
    finite: bool | None = None  # None: nobody has looked; False: some number may not be


def blocks(source: Source, block_rows: int) -> Generator[Block, None, None]:
    """Walk a source in blocks of ``block_rows`` rows; the last one may be shorter.

    A source that allows it is read in a thread of its own, a block or two ahead. Close the iterator
    (``contextlib.closing``) to end that thread where not every block is asked for.

    Raises
    ------
    DataError
        If a number is not finite or a weight is negative: the row is named by its number,
        counted from 0 over the whole source (for several files, within its file).
    SourceChangedError
        If this pass gives more or fewer rows than the one before, or other numbers.
    """
    several = source.n_rows is None or source.n_rows > block_rows
    read = read_ahead if source.reads_ahead and several else read_here
    return read(partial(_walk, source, block_rows))


def _walk(source: Source, block_rows: int, turn: Turn) -> Generator[Block, None, None]:
    """Walk the blocks in the memory of each turn, and check them on the way."""
    start, total, heaviest = 0, 0.0, 0.0
    seen = None if source.guarded else Fingerprint(source.n_features, source.dtype)
    for block, finite in _assembled(source, block_rows, turn):
        finite = (seen is not None and seen.add(block)) or finite
        if not source.checked:
            if not finite:
                check_rows(source, block)
            check_weights(source, block)
        if block.weights is not None:
            with np.errstate(over="ignore"):
                total += float(block.weights.sum())
            heaviest = max(heaviest, float(block.weights.max()))
        start += len(block.rows)
        source.refuse_more(start)
        yield block
    source.complete(start, None if seen is None else seen.value)
    if start and source.weight is not None:
        check_total_weight(total, source.name)
        source.heaviest = heaviest


def verify(source: Source) -> None:
    """Check once every number of a source that is in memory, and remember that it was done."""
    for _ in blocks(source, max(1, VERIFIED_NUMBERS // source.n_features)):
        pass
    source.checked = True


def check_rows(source: Source, block: Block) -> None:
    """Refuse the first number that is not finite."""
    if _add_up(block.rows):
        return
    finite = np.isfinite(block.rows)
    if finite.all():
        return
    row, column = divmod(int(finite.argmin()), source.n_features)
    what = "NaN" if np.isnan(block.rows[row, column]) else "infinity"
    raise DataError(
        f"{source.place(block.start + row)} holds {what} in column {source.labels[column]!r}; "
        "drop or impute it"
    )


def _add_up(rows: npt.NDArray[Any]) -> bool:
    """Whether a sum is finite, so that all its numbers are: 1.5 to 2 times faster than to look."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(rows.sum()))


def check_range(source: Source, block: Block) -> None:
    """Refuse the first number whose square is too large for a fit, in a row that counts."""
    largest = LARGEST[block.rows.dtype]
    flat = block.rows.reshape(-1)
    with np.errstate(all="ignore"):
        # A fraction of the time of looking at each. No BLAS: a fork of another thread while its
        # threads are at work hangs parent and child for ever (OpenBLAS 0.3.31).
        if float(np.einsum("i,i->", flat, flat)) <= largest**2:
            return
    beyond = np.abs(block.rows) > largest
    if block.weights is not None:
        beyond &= block.weights[:, None] > 0.0
    if not beyond.any():
        return
    row, column = divmod(int(beyond.argmax()), source.n_features)
    kind = block.rows.dtype
    way = "scale the feature" + (", or give it as float64" if kind == np.float32 else "")
    raise DataError(
        f"{source.place(block.start + row)} holds {block.rows[row, column]:g} in column "
        f"{source.labels[column]!r}; a fit squares its numbers, which must lie within "
        f"±{largest:g} in {kind}: {way}, or drop the row"
    )


def check_extents(source: Source, rows: npt.NDArray[np.float64]) -> None:
    """Refuse a feature that varies, but by so little that its variance would be no number.

    `rows` are those of the source or a sample of them.
    """
    smallest = SMALLEST[source.dtype]
    extents = _extents(rows)  # exactly 0 for a constant, which may be of any size
    tiny = (extents > 0.0) & (extents < smallest)
    if tiny.any():
        column = int(tiny.argmax())
        raise DataError(
            f"column {source.labels[column]!r} of {source.name} varies by {extents[column]:.2g} at "
            f"most; a fit squares its numbers, which must vary by {smallest:g} or more in "
            f"{source.dtype}: scale the feature, or leave it out"
        )


def _extents(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest less smallest value of each feature.

    Several rows at a time: NumPy's loop over two features of each was ten times as slow.
    """
    together = max(1, LOOP_NUMBERS // rows.shape[1])
    whole = len(rows) - len(rows) % together
    wide, rest = rows[:whole].reshape(-1, together * rows.shape[1]), rows[whole:]
    parts = [] if whole == 0 else [wide.max(axis=0), wide.min(axis=0)]
    folded = [part.reshape(together, -1) for part in parts]
    ends = np.concatenate([*folded, rest])
    return np.asarray(np.ptp(ends, axis=0))


def check_weights(source: Source, block: Block) -> None:
    """Refuse the first weight that is negative or not finite."""
    weights = block.weights
    if weights is None or (np.isfinite(weights) & (weights >= 0)).all():
        return
    row = int((~(np.isfinite(weights) & (weights >= 0))).argmax())
    _refuse_weight(weights[row], source.place(block.start + row))


def _refuse_weight(weight: float, place: str) -> NoReturn:
    if np.isnan(weight):
        raise DataError(f"{place} has the weight NaN; give it a number, 0 to leave the row out")
    if np.isinf(weight):
        raise DataError(f"{place} has an infinite weight; give finite weights")
    raise DataError(f"{place} has the negative weight {weight:g}; weights are zero or more")


def check_total_weight(total: float, name: str) -> None:
    """Refuse weights that add up to nothing, or to more than a float can hold."""
    if total == 0:
        raise DataError(f"all weights of {name} are zero; at least one row must count")
    if not np.isfinite(total):
        raise DataError(f"the weights of {name} add up to infinity; divide them by their maximum")
    if total < LEAST_TOTAL_WEIGHT:
        raise DataError(
            f"the weights of {name} add up to {total:g}, too little to divide by "
            f"(at least {LEAST_TOTAL_WEIGHT:g}); divide them by their maximum"
        )


def _assembled(source: Source, block_rows: int, turn: Turn) -> Iterator[tuple[Block, bool]]:
    """Walk the blocks, each with whether its numbers were found finite while they were copied."""
    making = _Making(source, block_rows, turn)
    poured = source.pour(making.room)
    yield from making.cut() if poured is None else making.filled(poured)


class _Making:
    """Blocks in the making, each in the memory of its turn."""

    def __init__(self, source: Source, block_rows: int, turn: Turn) -> None:
        self.source, self.block_rows, self.turn = source, block_rows, turn
        self.memories: dict[int, npt.NDArray[Any]] = {}
        self.begun: _Begun | None = None
        self.start = 0

    def room(self) -> npt.NDArray[Any]:
        """Give what is free of the block that is being filled."""
        return self._block().room()

    def filled(self, poured: Iterator[Poured]) -> Iterator[tuple[Block, bool]]:
        """Hand over the blocks that a source fills by itself: no number is copied twice."""
        for each in poured:
            self._block().wrote(each)
            yield from self._full()
        yield from self._last()

    def cut(self) -> Iterator[tuple[Block, bool]]:
        """Cut chunks at the edges of the blocks, and join the pieces of each."""
        for chunk in self.source.chunks():
            at = 0
            while at < len(chunk.rows):
                at += self._block().take(chunk, at)
                yield from self._full()
            if self.begun and not self.source.lasting:
                self.begun.keep()
        yield from self._last()

    def _block(self) -> _Begun:
        if self.begun is None:
            self.begun = _Begun(self.source, self.block_rows, self.memories, self.turn())
        return self.begun

    def _full(self) -> Iterator[tuple[Block, bool]]:
        if self.begun is not None and self.begun.n_rows == self.block_rows:
            yield from self._last()

    def _last(self) -> Iterator[tuple[Block, bool]]:
        if self.begun is not None:
            begun, start = self.begun, self.start
            self.begun, self.start = None, start + begun.n_rows
            yield begun.block(start), begun.finite


class _Begun:
    """A block that is filled piece by piece.

    Its rows are a view of a chunk where one chunk fills them, lasts and has the right type and
    layout; otherwise they are written to the memory of its turn, and looked at while they are
    still in cache: later that took as long as reading them.
    """

    def __init__(
        self, source: Source, block_rows: int, memories: dict[int, npt.NDArray[Any]], turn: int
    ) -> None:
        self.source, self.block_rows = source, block_rows
        self.memories, self.turn = memories, turn
        self.view: npt.NDArray[Any] | None = None
        self.weights: list[npt.NDArray[np.float64]] = []
        self.n_rows = 0
        self.looks = source.guarded and not source.checked  # else a fingerprint does, or nobody
        self.finite = self.looks

    def room(self) -> npt.NDArray[Any]:
        """Give the memory that is free."""
        return self._memory()[self.n_rows :]

    def wrote(self, poured: Poured) -> None:
        """Count rows that were written to the memory, and look at them if nobody has."""
        if poured.weights is not None:
            self.weights.append(np.array(poured.weights, np.float64))
        finite = poured.finite
        if self.finite and finite is None:
            finite = _add_up(self.room()[: poured.n_rows])
        self.finite = self.finite and bool(finite)
        self.n_rows += poured.n_rows

    def take(self, chunk: Chunk, at: int) -> int:
        """Take rows of a chunk from ``at`` on, as many as there is room for; return how many."""
        rows = chunk.rows[at : at + self.block_rows - self.n_rows]
        weights = None if chunk.weights is None else chunk.weights[at : at + len(rows)]
        taken = Poured(len(rows), weights)
        if not self.n_rows and self._may_be_shown(rows):
            self.view = rows
            self.wrote(taken._replace(finite=False))  # nobody has looked
        else:
            self.keep()
            self.room()[: len(rows)] = rows
            self.wrote(taken)
        return len(rows)

    def keep(self) -> None:
        """Copy what is but a view: the next chunk may be written over this one."""
        if self.view is not None:
            self._memory()[: self.n_rows] = self.view
            self.view = None

    def _memory(self) -> npt.NDArray[Any]:
        if self.turn not in self.memories:
            shape = self.block_rows, self.source.n_features
            self.memories[self.turn] = np.empty(shape, self.source.dtype)
        return self.memories[self.turn]

    def _may_be_shown(self, rows: npt.NDArray[Any]) -> bool:
        """Whether a kernel can read these rows as they are, for as long as it may want to."""
        stays = self.source.lasting or not self.source.reads_ahead
        ready = rows.flags.c_contiguous and rows.flags.aligned
        return stays and ready and rows.dtype == self.source.dtype

    def block(self, start: int) -> Block:
        """Give the block away; its rows are not to be written to."""
        filled = self.memories[self.turn] if self.view is None else self.view.view(np.ndarray)
        rows = filled[: self.n_rows]
        rows.flags.writeable = False
        return Block(rows, np.concatenate(self.weights) if self.weights else None, start)
