"""Columns at their addresses become rows, bit for bit, and what is not finite shows in the sum."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.kernels.interleave import ROWS, interleave


def columns_of(rng, n_features, n_rows, dtype):
    return [rng.normal(size=n_rows).astype(dtype) for _ in range(n_features)]


def addresses_of(columns):
    return np.array([column.ctypes.data for column in columns], np.int64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("n_rows", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_columns_become_rows_and_nothing_else_is_written(rng, n_features, n_rows, dtype):
    columns = columns_of(rng, n_features, n_rows + 7, dtype)
    room = np.full((n_rows + 2, n_features), 9.0, dtype)
    total = interleave(addresses_of(columns), 3, room[1 : n_rows + 1])
    expected = np.column_stack([column[3 : n_rows + 3] for column in columns])
    assert_array_equal(room[1 : n_rows + 1], expected)
    assert_array_equal(room[[0, -1]], np.full((2, n_features), 9.0))
    # a sum of n numbers in any order errs by at most n eps times the sum of their sizes
    bound = expected.size * np.finfo(dtype).eps * np.abs(expected).sum(dtype=np.float64)
    assert abs(float(total) - expected.sum(dtype=np.float64)) <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_wherever_it_stands(rng, value, dtype):
    for column, row in [(0, 0), (3, ROWS), (4, 2 * ROWS), (5, 2 * ROWS + 1)]:
        columns = columns_of(rng, 6, 2 * ROWS + 2, dtype)
        rows = np.empty((2 * ROWS + 2, 6), dtype)
        assert np.isfinite(interleave(addresses_of(columns), 0, rows))
        columns[column][row] = value
        assert not np.isfinite(interleave(addresses_of(columns), 0, rows))
