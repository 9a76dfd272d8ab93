"""A checksum that tells whether two passes gave the same rows.

The bits of every column are added up, whatever the order of the rows: a loader that shuffles is
fine, since sums over rows are what EM needs; one that draws anew, or changes a number, is not.

It looks for NaN and infinity on the way, and takes no longer than that check alone would: 1.66 and
1.65 ms per 100 000 rows of 10, 3 to 6% of a pass with 8 components.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.sources.types import Block

ABREAST = 512  # words that are added side by side: their sums stay in the first cache
SPREAD = 0x9E3779B97F4A7C15  # odd, of 64 bits: the golden ratio's
EXPONENT = {4: 0x7F800000, 8: 0x7FF0000000000000}  # of a number of as many bytes
SIGN = {4: 0x80000000, 8: 0x8000000000000000}
WORDS = {4: np.uint32, 8: np.uint64}
TWICE = 0x0000000100000001


class Fingerprint:
    """Sums over the rows seen so far, modulo 2**64 (for an odd number of float32, 2**32)."""

    def __init__(self, n_features: int, dtype: np.dtype[Any]) -> None:
        row_bytes = n_features * dtype.itemsize
        kind = np.dtype(np.uint32 if row_bytes % 8 else np.uint64)
        # two float32 are as good as one word of 64 bits: what one spills into the other is a sum
        twice = TWICE if kind.itemsize > dtype.itemsize else 1
        exponent, sign = EXPONENT[dtype.itemsize] * twice, SIGN[dtype.itemsize] * twice
        step = sign - exponent
        half = kind.itemsize * 4 - 1
        self._masks = [kind.type(each) for each in (half, exponent, step)]
        self._sign = kind.type(sign)
        width = row_bytes // kind.itemsize
        odd = 2 * np.arange(width, dtype=np.uint64) + np.uint64(1)
        self._factors = odd * np.uint64(SPREAD)  # a column has its own: they are not to be swapped
        self._sums = np.zeros((max(1, ABREAST // width), width), kind)
        self._weights = 0

    def add(self, block: Block) -> bool:
        """Add the rows of a block, each bound to its weight; return whether all are finite."""
        abreast = len(self._sums)
        whole = len(block.rows) - len(block.rows) % abreast
        finite = self._add(block, slice(whole), abreast)
        return self._add(block, slice(whole, None), 1) and finite

    def _add(self, block: Block, rows: slice, abreast: int) -> bool:
        from fastgmm.kernels.checksum import add_column_sums

        sums = self._sums[:abreast].reshape(-1)
        words = block.rows[rows].view(sums.dtype).reshape(-1, len(sums))
        factors = np.empty((len(words), 0), np.uint64)
        if block.weights is not None:
            factors = _odd(block.weights[rows]).reshape(-1, abreast)
        seen, bound = add_column_sums(words, factors, sums, *self._masks)
        self._weights += int(bound) + int(factors.sum(dtype=np.uint64))
        return not seen & self._sign

    @property
    def value(self) -> int:
        """The number."""
        sums = self._sums.sum(axis=0, dtype=self._sums.dtype).astype(np.uint64)
        return (int((sums * self._factors).sum(dtype=np.uint64)) + self._weights) % 2**64


def mark(block: Block) -> int:
    """A number that tells the rows of a block and their weights from others, in whatever order.

    Unlike sums over columns, it shows when two rows have exchanged a number. The marks of blocks
    add, modulo 2**64.
    """
    from fastgmm.kernels.checksum import add_row_sums

    words = block.rows.view(WORDS[block.rows.dtype.itemsize])
    weights = np.empty(0) if block.weights is None else block.weights
    factors = np.random.Philox(key=0).random_raw(words.shape[1] + 2) | np.uint64(1)
    return int(add_row_sums(words, weights.view(np.uint64), factors))


def _odd(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Factors for rows, which differ by more than their highest bits."""
    bits = weights.view(np.uint64)
    return (bits ^ (bits >> np.uint64(32))) | np.uint64(1)
