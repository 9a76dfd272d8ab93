"""Random projection trees and balls of rows against their definitions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.kernels.scan import grow_tree, scan


def leaves_of(rows, most, seed=0):
    rng = np.random.default_rng(seed)
    order, ends = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    directions = rng.standard_normal((3, rows.shape[1]))
    count = grow_tree(rows, most, directions, 0.25 + 0.5 * rng.random(len(rows)), order, ends)
    return order, ends[:count]


@pytest.mark.parametrize("n_rows", [1, 7, 8, 9, 1000])
@pytest.mark.parametrize("n_values", [1, 3, None])
def test_leaves_hold_every_row_once_and_few_each(rng, n_rows, n_values):
    rows = rng.normal(size=(n_rows, 3))
    if n_values is not None:  # rows that hyperplanes cannot tell apart
        rows = rows[rng.integers(min(n_values, n_rows), size=n_rows)]
    order, ends = leaves_of(rows, 8)
    assert_array_equal(np.sort(order), np.arange(n_rows))
    assert ends[-1] == n_rows
    sizes = np.diff(ends, prepend=0)
    assert sizes.min() >= 1
    assert sizes.max() <= 8


def test_leaves_are_compact(rng):
    rows = rng.normal(size=(4000, 2))
    order, ends = leaves_of(rows, 32)
    spread = [rows[part].var(axis=0).sum() for part in np.split(order, ends[:-1])]
    assert np.mean(spread) < 0.1 * rows.var(axis=0).sum()  # 125 leaves or more of as many rows


def naive_scan(rows, volumes, reach, log_ball):
    """The best ball about each row by all pairs."""
    found = []
    for x, limit in zip(rows, reach, strict=True):
        squares = ((rows - x) ** 2).sum(axis=1)
        near = np.flatnonzero((squares > 0.0) & (squares <= limit))
        best = (0.0, 0.0)
        for border in sorted(squares[near])[1:]:
            inside = near[squares[near] <= border]
            ratio = volumes[inside].sum() / math.exp(
                log_ball + rows.shape[1] * math.log(border) / 2
            )
            count = volumes[inside].sum() ** 2 / (volumes[inside] ** 2).sum()
            if ratio > 1.0:  # count = c, ratio = c / L
                expected = count / ratio
                gain = count * math.log(ratio) - count + expected
                best = max(best, (gain, border))
        found.append(best)
    return np.array(found).T


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_scan_agrees_with_its_definition(rng, n_features):
    rows = np.concatenate([rng.normal(size=(60, n_features)), [[0.3] * n_features] * 2])
    rows[:12] = 0.5 + 0.02 * rows[:12]
    volumes, reach = rng.uniform(0.5, 2.0, len(rows)), rng.uniform(0.1, 3.0, len(rows))
    gains, squares = np.empty(len(rows)), np.empty(len(rows))
    log_ball = math.log(40.0)
    scan(rows, np.array([40, len(rows)]), volumes, reach, log_ball, gains, squares)
    expected = np.concatenate(
        [naive_scan(rows[part], volumes[part], reach[part], log_ball) for part in leaf_slices(40)],
        axis=1,
    )
    assert (gains > 0.0).sum() > 10
    assert_allclose(gains, expected[0], rtol=1e-12, atol=1e-12)
    assert_allclose(squares, expected[1], rtol=1e-12)


def leaf_slices(first):
    return slice(0, first), slice(first, None)
