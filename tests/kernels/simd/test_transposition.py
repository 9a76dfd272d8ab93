"""Squares of rows turned into columns, and nothing read past the end of a row."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit, typeof
from numpy.testing import assert_array_equal

from fastgmm.kernels.simd.transposition import split_two, transpose_block
from fastgmm.kernels.simd.vectors import VectorType


@njit
def transpose(rows, places, j, tile, column):
    transpose_block(rows, places, j, tile, (j, column))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", [1, 2, 7, 8, 9, 16, 19])
def test_chosen_rows_become_columns_and_missing_features_zeros(rng, dtype, n_features):
    rows = rng.normal(size=(11, n_features)).astype(dtype)
    places = (3, 1, 4, 1, 5, 9, 2, 6)
    tile = np.full((n_features + 8, 24), np.nan, dtype)
    for j in range(0, n_features, 8):
        transpose(rows, places, j, tile, 8)
    assert_array_equal(tile[:n_features, 8:16], rows[list(places)].T)
    written = -(-n_features // 8) * 8
    assert not tile[n_features:written, 8:16].any()
    assert np.isnan(tile[:, :8]).all()
    assert np.isnan(tile[:, 16:]).all()
    assert np.isnan(tile[written:]).all()


@njit
def part(rows, begin, tile, column):
    split_two(rows, begin, tile, column)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pairs_are_parted_into_two_columns_of_a_register_each(rng, dtype):
    width = VectorType(typeof(np.empty(0, dtype)).dtype).width
    rows = rng.normal(size=(width + 3, 2)).astype(dtype)
    tile = np.full((3, 2 * width), np.nan, dtype)
    part(rows, 3, tile, width)
    assert_array_equal(tile[:2, width:], rows[3:].T)
    assert np.isnan(tile[:, :width]).all()
    assert np.isnan(tile[2]).all()
