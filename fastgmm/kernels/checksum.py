"""Checksums of rows by their bits, per column and per row, and a check for NaN and infinity.

Integers add to the same sum in any order, so here, alone among kernels, LLVM's vectoriser is used.
Checksum and check read memory once, at the rate of a plain sum; NumPy reads it three times for the
checksums alone.
"""

import numpy as np

from fastgmm.kernels.jit import inline, kernel


@inline
def echoed(word, shift):
    """Add the high bits to the low ones: at the top, the sum of two signs would overflow."""
    return word + (word >> shift)


@inline
def summed(row):
    """Return the sum of the words of a row."""
    total = np.uint64(0)
    for word in row:
        total += word
    return total


@kernel
def add_column_sums(words, factors, sums, shift, exponent, least):
    """Add words (n, m) to ``sums`` (m,); return the finite check, and a checksum of whole rows.

    A line of words holds as many rows as ``factors`` (n, rows per line) has columns, perhaps none;
    the checksum sums each row times its factor. In the finite check, the bit of a sign is set if
    any number is NaN or infinite.
    """
    kind = sums.dtype.type
    seen, bound = kind(0), np.uint64(0)
    n_abreast = factors.shape[1]
    for i in range(len(words)):
        row = words[i]
        for j in range(len(sums)):
            # what is not finite has its whole exponent set: one more carries into the sign's bit
            seen |= kind((row[j] & exponent) + least)
            sums[j] += kind(echoed(row[j], shift))
        for each in range(n_abreast):
            width = len(row) // n_abreast
            total = summed(row[each * width : (each + 1) * width])
            bound += echoed(total, np.uint64(32)) * factors[i, each]
    return seen, bound


@inline
def mixed(word, factor):
    """Return a hash of one word: a difference in any bit spreads over all of them."""
    product = (word ^ (word >> np.uint64(32))) * factor
    return product ^ (product >> np.uint64(29))


@kernel
def add_row_sums(words, weights, factors):
    """Return the sum of a hash of every row, of its words and, if there is any, of its weight.

    ``factors`` has one for each column, one for the weights and one for the whole row.
    """
    total = np.uint64(0)
    width = words.shape[1]
    for i in range(len(words)):
        row = np.uint64(0)
        for j in range(width):
            row += mixed(np.uint64(words[i, j]), factors[j])
        if len(weights):
            row += mixed(weights[i], factors[width])
        total += mixed(row, factors[width + 1])
    return total
