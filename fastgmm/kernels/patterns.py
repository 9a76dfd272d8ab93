"""Rows grouped by the values that they lack, in time that does not grow with the patterns."""

import numpy as np
from numba import prange

from fastgmm.kernels.jit import inline, kernel, parallel, subroutine

PIECE = 512  # rows that a thread copies at a time
WORD = 64  # features per word of a pattern
MIXED = np.uint64(0x9E3779B97F4A7C15)  # odd, near 2**64 over the golden ratio (Knuth 1973)


@subroutine
def patterns_of(rows):
    """Return a bit for each value that is missing, (n, words)."""
    n_rows, n_features = rows.shape
    found = np.zeros((n_rows, (n_features + WORD - 1) // WORD), np.uint64)
    for i in range(n_rows):
        for at in range(found.shape[1]):
            word, begin = np.uint64(0), WORD * at
            for j in range(min(WORD, n_features - begin)):
                value = rows[i, begin + j]
                word |= np.uint64(value != value) << np.uint64(j)
            found[i, at] = word
    return found


@subroutine
def is_same(pattern, other):
    """Tell whether two patterns have the same words."""
    same = True
    for at in range(len(pattern)):
        same &= pattern[at] == other[at]
    return same


@kernel
def grouped(rows):
    """Return the order of rows by pattern, and where each begins in it, (patterns + 1,).

    Patterns are in the order in which they first appear, and the rows of each ascend.
    """
    n_rows, size = len(rows), 4
    while size < 2 * n_rows:
        size *= 2
    table = np.full(size, -1, np.int32)
    patterns, group = patterns_of(rows), np.empty(n_rows, np.int32)
    first = np.empty(n_rows, np.int32)
    counts, n_groups = np.zeros(n_rows + 1, np.int64), 0
    for i in range(n_rows):
        mixed = np.uint64(0)
        for word in patterns[i]:
            mixed = (mixed ^ word) * MIXED
            mixed ^= mixed >> np.uint64(32)
        at = np.int64(mixed & np.uint64(size - 1))
        while table[at] >= 0 and not is_same(patterns[first[table[at]]], patterns[i]):
            at = (at + 1) & (size - 1)
        if table[at] < 0:
            table[at], first[n_groups] = n_groups, i
            n_groups += 1
        group[i] = table[at]
        counts[group[i] + 1] += 1
    starts = np.cumsum(counts[: n_groups + 1])
    order, free = np.empty(n_rows, np.int64), starts.copy()
    for i in range(n_rows):
        order[free[group[i]]] = i
        free[group[i]] += 1
    return order, starts


@inline
def copy(rows, places, features, start, stop, out):
    """Write some features of the rows at places[start:stop]."""
    for i in range(start, stop):
        for j in range(len(features)):
            out[i, j] = rows[places[i], features[j]]


@parallel
def gather(rows, places, features, out):
    """Write some features of some rows to out, on all threads."""
    for piece in prange((len(places) + PIECE - 1) // PIECE):
        start = piece * PIECE
        copy(rows, places, features, start, min(start + PIECE, len(places)), out)


@kernel
def gather_serial(rows, places, features, out):
    """Do the same on the calling thread."""
    copy(rows, places, features, 0, len(places), out)
