"""Cuts chunks of any length into blocks of a fixed one, and checks every number."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.sources.checks import check_finite, sum_is_finite
from fastgmm.sources.fingerprint import Fingerprint
from fastgmm.sources.prefetch import Turn, read_ahead, read_here
from fastgmm.sources.rows import Buffer, Rows
from fastgmm.sources.types import Block, Chunk, Poured
from fastgmm.sources.weights import check_total_weight, check_weights

VERIFIED_NUMBERS = 2**18  # checked at a time when a source is opened: 2 MB, that stay in cache


def blocks(source: Rows, block_rows: int) -> Generator[Block, None, None]:
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
    whole = source.at_once()
    if whole is not None and len(whole.rows) <= block_rows:
        return _alone(whole)
    several = source.n_rows is None or source.n_rows > block_rows
    read = read_ahead if source.reads_ahead and several else read_here
    return read(partial(_walk, source, block_rows))


def _alone(block: Block) -> Generator[Block, None, None]:
    """Walk one block that nobody has to make: 5 of 48 microseconds of a pass over 300 rows."""
    yield block


def _walk(source: Rows, block_rows: int, turn: Turn) -> Generator[Block, None, None]:
    """Walk the blocks, each in the buffer of its turn, and check them on the way."""
    start, total, heaviest = 0, 0.0, 0.0
    seen = None if source.guarded else Fingerprint(source.n_features, source.dtype)
    for block, finite in _assembled(source, block_rows, turn):
        finite = (seen is not None and seen.add(block)) or finite
        if not source.checked:
            if not finite:
                check_finite(source, block)
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


def verify(source: Rows) -> None:
    """Check once every number of a source that is in memory, and remember that it was done."""
    for _ in blocks(source, max(1, VERIFIED_NUMBERS // source.n_features)):
        pass
    source.checked = True


def _assembled(source: Rows, block_rows: int, turn: Turn) -> Iterator[tuple[Block, bool]]:
    """Walk the blocks, each with whether its numbers were found finite while they were copied."""
    assembler = _Assembler(source, block_rows, turn)
    poured = source.pour(assembler.buffer)
    yield from assembler.cut() if poured is None else assembler.filled(poured)


class _Assembler:
    """Makes blocks of chunks, in one buffer per turn."""

    def __init__(self, source: Rows, block_rows: int, turn: Turn) -> None:
        self.source, self.block_rows, self.turn = source, block_rows, turn
        self.buffers: dict[int, npt.NDArray[Any]] = {}
        self.begun: _PartialBlock | None = None
        self.start = 0

    def buffer(self) -> npt.NDArray[Any]:
        """Return the free part of the block that is being filled."""
        return self._block().free()

    def filled(self, poured: Iterator[Poured]) -> Iterator[tuple[Block, bool]]:
        """Walk the blocks that a source fills by itself: no number is copied twice."""
        for each in poured:
            self._block().add(each)
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

    def _block(self) -> _PartialBlock:
        if self.begun is None:
            whole = partial(self._buffer, self.turn())
            self.begun = _PartialBlock(self.source, self.block_rows, whole)
        return self.begun

    def _buffer(self, turn: int) -> npt.NDArray[Any]:
        """Return the buffer of a turn, made where it is first written to."""
        if turn not in self.buffers:
            shape = self.block_rows, self.source.n_features
            self.buffers[turn] = np.empty(shape, self.source.dtype)
        return self.buffers[turn]

    def _full(self) -> Iterator[tuple[Block, bool]]:
        if self.begun is not None and self.begun.n_rows == self.block_rows:
            yield from self._last()

    def _last(self) -> Iterator[tuple[Block, bool]]:
        if self.begun is not None:
            begun, start = self.begun, self.start
            self.begun, self.start = None, start + begun.n_rows
            yield begun.block(start), begun.finite


class _PartialBlock:
    """A block that is filled piece by piece.

    Its rows are a view of a chunk where one chunk fills them, lasts and has the right type and
    layout. Otherwise they are copied to the buffer, and checked while they are still in cache: a
    check of the whole block took as long as reading it.
    """

    def __init__(self, source: Rows, block_rows: int, buffer: Buffer) -> None:
        self.source, self.block_rows, self.buffer = source, block_rows, buffer
        self.view: npt.NDArray[Any] | None = None
        self.weights: list[npt.NDArray[np.float64]] = []
        self.n_rows = 0
        self.finite = source.guarded and not source.checked  # else a fingerprint tells, or nobody

    def free(self) -> npt.NDArray[Any]:
        """Return the part of the buffer that is free."""
        return self.buffer()[self.n_rows :]

    def add(self, poured: Poured) -> None:
        """Count rows that were written to the buffer, and check them if nobody has."""
        if poured.weights is not None:
            self.weights.append(np.array(poured.weights, np.float64))
        finite = poured.finite
        if self.finite and finite is None:
            finite = sum_is_finite(self.free()[: poured.n_rows])
        self.finite = self.finite and bool(finite)
        self.n_rows += poured.n_rows

    def take(self, chunk: Chunk, at: int) -> int:
        """Take the rows of a chunk from ``at`` on that fit in; return their number."""
        rows = chunk.rows[at : at + self.block_rows - self.n_rows]
        weights = None if chunk.weights is None else chunk.weights[at : at + len(rows)]
        taken = Poured(len(rows), weights)
        if not self.n_rows and self._can_be_viewed(rows):
            self.view = rows
            self.add(taken._replace(finite=False))  # not checked yet
        else:
            self.keep()
            self.free()[: len(rows)] = rows
            self.add(taken)
        return len(rows)

    def keep(self) -> None:
        """Copy what is but a view: the next chunk may be written over this one."""
        if self.view is not None:
            self.buffer()[: self.n_rows] = self.view
            self.view = None

    def _can_be_viewed(self, rows: npt.NDArray[Any]) -> bool:
        """Whether a kernel can read these rows where they are, for as long as it may want to."""
        stays = self.source.lasting or not self.source.reads_ahead
        ready = rows.flags.c_contiguous and rows.flags.aligned
        return stays and ready and rows.dtype == self.source.dtype

    def block(self, start: int) -> Block:
        """Return the block, whose rows are read-only."""
        filled = self.buffer() if self.view is None else self.view.view(np.ndarray)
        rows = filled[: self.n_rows]
        rows.flags.writeable = False
        return Block(rows, np.concatenate(self.weights) if self.weights else None, start)
