"""Rows grouped by the values that they lack."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fastgmm.kernels.patterns import gather, gather_serial, grouped


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", [1, 3, 64, 65, 200])
def test_rows_are_grouped_by_what_they_lack(n_features, dtype, rng):
    patterns = rng.random((6, n_features)) < 0.5
    rows = rng.normal(size=(100, n_features)).astype(dtype)
    rows[patterns[rng.integers(6, size=100)]] = np.nan
    order, starts = grouped(rows)
    assert sorted(order) == list(range(100))
    missing = np.isnan(rows)
    assert len(starts) - 1 == len({bytes(row) for row in missing})
    firsts = []
    for start, stop in pairwise(starts):
        its = order[start:stop]
        assert len({bytes(row) for row in missing[its]}) == 1
        assert list(its) == sorted(its)
        firsts.append(its[0])
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("n_rows", [9, 10_000])
def test_features_of_rows_are_gathered(n_rows, rng):
    rows, features = rng.normal(size=(n_rows, 5)), np.array([1, 4])
    places = rng.permutation(n_rows)[: n_rows - 2]
    for copied in (gather, gather_serial):
        out = np.empty((len(places), 2))
        copied(rows, places, features, out)
        np.testing.assert_array_equal(out, rows[np.ix_(places, features)])
