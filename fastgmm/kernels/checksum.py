"""The bits of rows, added up column by column, and a look at each for what is no finite number.

Also a number for every row, of which no two rows have the same but by chance.

Whole numbers add to the same sum in any order, so here, alone among kernels, it is the optimiser
that makes vector instructions. Sums and look take one visit to memory, at the rate of a plain sum;
NumPy needs three visits for the sums alone.
"""

import numpy as np

from fastgmm.kernels.jit import inline, kernel


@inline
def echoed(word, shift):
    """Add the high bits to the low ones: the sum of an even number of signs is lost on top."""
    return word + (word >> shift)


@inline
def summed(row):
    """Add up the words of a row."""
    total = np.uint64(0)
    for word in row:
        total += word
    return total


@kernel
def add_column_sums(words, factors, sums, shift, exponent, least):
    """Add up rows that lie abreast in words, and multiply each by its factor, if there are any.

    Returns bits, of which a sign's is set if a number is not finite, and the sum of the products.
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
    """Spread what differs between two words over all bits."""
    product = (word ^ (word >> np.uint64(32))) * factor
    return product ^ (product >> np.uint64(29))


@kernel
def add_row_sums(words, weights, factors):
    """Add up a number for every row that follows from all its words, and its weight's, if any.

    A column and the weights have a factor each, and a row as a whole the last.
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
