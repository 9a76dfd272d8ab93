"""The bits of rows are added up as plain whole numbers are, and what is not finite shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.kernels.checksum import add_column_sums

EXPONENT, SIGN = 0x7FF0 << 48, 1 << 63
MASKS = tuple(np.uint64(each) for each in (31, EXPONENT, SIGN - EXPONENT))


def added(rows, factors):
    words = rows.view(np.uint64)
    words.flags.writeable = False
    sums = np.zeros(words.shape[1], np.uint64)
    seen, bound = add_column_sums(words, factors, sums, *MASKS)
    return sums, bool(seen & np.uint64(SIGN)), int(bound)


@pytest.mark.parametrize("n_abreast", [0, 1, 2])
def test_sums_are_those_of_whole_numbers(rng, n_abreast):
    rows = rng.normal(size=(7, 6))
    factors = rng.integers(0, 2**63, size=(7, n_abreast), dtype=np.uint64)
    sums, bad, bound = added(rows, factors)
    words = [[int(word) for word in row] for row in rows.view(np.uint64)]
    expected = [
        sum(word + (word >> 31) for word in column) % 2**64 for column in zip(*words, strict=True)
    ]
    assert_array_equal(sums, np.array(expected, np.uint64))
    assert not bad
    total = 0
    for row, given in zip(words, factors, strict=True):
        for at, factor in enumerate(given):
            part = sum(row[at * 6 // n_abreast : (at + 1) * 6 // n_abreast]) % 2**64
            total += (part + (part >> 32)) * int(factor)
    assert bound == total % 2**64


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_wherever_it_stands(rng, value):
    assert not added(rng.uniform(-1, 1, size=(7, 6)) * 1.7e308, np.empty((7, 0), np.uint64))[1]
    for place in [(0, 0), (3, 2), (6, 5)]:
        rows = rng.uniform(-1, 1, size=(7, 6)) * 1.7e308
        rows[place] = value
        assert added(rows, np.empty((7, 0), np.uint64))[1]
