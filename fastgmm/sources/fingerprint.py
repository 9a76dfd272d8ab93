"""A number that tells whether a pass gave the same rows as the one before.

The bits of every column are added up, whatever the order of the rows: a loader that shuffles is
fine, since sums over rows are what EM needs; one that draws anew, or changes a number, is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from fastgmm.sources.blocks import Block

ABREAST = 64  # rows that are added side by side: six times faster than one by one
IN_CACHE = 2**15  # numbers at a time
SPREAD = 0x9E3779B97F4A7C15  # odd, of 64 bits: the golden ratio's

Bits = npt.NDArray[np.unsignedinteger[Any]]


class Fingerprint:
    """Sums over the rows seen so far, modulo 2**64 (for float32 without weights 2**32)."""

    def __init__(self, n_features: int, dtype: np.dtype[Any]) -> None:
        odd = 2 * np.arange(n_features, dtype=np.uint64) + np.uint64(1)
        self._factors = odd * np.uint64(SPREAD)  # a column has its own: they are not to be swapped
        bits = f"u{dtype.itemsize}"
        self._sums = np.zeros(n_features, bits)
        self._weighted_sums = np.zeros(n_features, np.uint64)
        rows = ABREAST * max(1, IN_CACHE // (ABREAST * n_features))
        self._scratch = np.empty((rows, n_features), bits)

    def add(self, block: Block) -> None:
        """Add the rows of a block, each bound to its weight."""
        step = len(self._scratch)
        for start in range(0, len(block.rows), step):
            bits = self._echoed(block.rows[start : start + step])
            if block.weights is None:
                self._sums += _column_sums(bits)
            else:
                factors = _odd(block.weights[start : start + step])
                self._weighted_sums += np.einsum("i,ij->j", factors, bits)

    def _echoed(self, rows: npt.NDArray[Any]) -> Bits:
        """Add the high bits to the low ones: the sum of an even number of signs is lost on top."""
        bits, echo = _bits(rows), self._scratch[: len(rows)]
        np.right_shift(bits, bits.dtype.type(4 * rows.itemsize - 1), out=echo)
        return np.add(echo, bits, out=echo)

    @property
    def value(self) -> int:
        """The number."""
        sums = self._sums.astype(np.uint64) + self._weighted_sums
        return int((sums * self._factors).sum(dtype=np.uint64))


def _bits(numbers: npt.NDArray[Any]) -> Bits:
    return numbers.view(f"u{numbers.itemsize}")


def _odd(weights: npt.NDArray[np.float64]) -> Bits:
    """Factors for rows, which differ by more than their highest bits."""
    bits = _bits(weights)
    return (bits ^ (bits >> np.uint64(32))) | np.uint64(1)


def _column_sums(bits: Bits) -> Bits:
    whole = len(bits) - len(bits) % ABREAST
    abreast = bits[:whole].reshape(-1, ABREAST * bits.shape[1])
    sums = np.add.reduce(abreast, axis=0, dtype=bits.dtype).reshape(ABREAST, -1)
    rest = np.add.reduce(bits[whole:], axis=0, dtype=bits.dtype)
    return np.add.reduce(sums, axis=0, dtype=bits.dtype) + rest
