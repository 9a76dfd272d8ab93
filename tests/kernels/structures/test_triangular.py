"""Where the products of a lower triangle are left, against a walk over them one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.kernels.structures.triangular import places, triangle_size


def naive_places(n_rows):
    """Walk squares of four by four from left to right, and from the first rows to the last."""
    single = n_rows % 4 == 1
    found = np.full((n_rows + 8, n_rows + 8), -1)
    at = 0
    for i in range(0, n_rows - single, 4):
        for j in range(0, i, 4):
            found[i : i + 4, j : j + 4] = at + np.arange(16).reshape(4, 4)
            at += 16
        for a in range(4):
            for b in range(a + 1):
                found[i + a, i + b] = at + a * (a + 1) // 2 + b
        at += 16  # ten of them, and six that mean nothing
    if single:
        found[n_rows - 1, :n_rows] = at + np.arange(n_rows)
    lower = np.tril(found[:n_rows, :n_rows])
    return lower + np.tril(lower, -1).T


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 8, 9, 16, 31, 33, 101])
def test_places_are_those_of_a_walk(n_rows):
    found = places(n_rows)
    assert_array_equal(found, naive_places(n_rows))
    assert found.max() < triangle_size(n_rows)


def test_places_take_no_more_memory_than_a_covariance():
    tracemalloc.start()
    places.__wrapped__(1001)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * 8 * 1001**2  # a list of a tuple for each product took 90 MB
