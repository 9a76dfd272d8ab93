"""The choice of centres among rows against its definition, on any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.kernels import centres as kernels
from fastgmm.kernels.centres import local_search, plus_plus


def squared_distances(rows, centres, out):
    """Sum squares as the kernels do, each product and sum rounded once."""
    for k, centre in enumerate(centres):
        out[k] = 0.0
        for j in range(rows.shape[1]):
            gap = rows[:, j] - centre[j]
            out[k] = (gap.astype(np.longdouble) ** 2 + out[k]).astype(float)


def naive_distances(rows, centres):
    gaps = rows.astype(np.longdouble)[None] - centres[:, None]
    return (gaps**2).sum(axis=2)


def test_rows_far_apart_are_the_best_of_those_drawn_by_squared_distance(rng):
    rows, weights = rng.normal(size=(500, 3)), rng.choice([0.0, 1.0, 3.0], size=500)
    uniforms, chosen = rng.random(1 + 5 * 4), np.empty(6, np.int64)
    plus_plus(rows, weights, uniforms, chosen)
    nearest, expected = np.ones(500), []
    for draws in (uniforms[:1], *uniforms[1:].reshape(5, 4)):
        cumulative = np.cumsum(weights * nearest)
        trials = np.searchsorted(cumulative, draws * cumulative[-1], side="right")
        distances = ((rows[trials, None] - rows) ** 2).sum(axis=2)
        distances = np.minimum(distances, nearest if expected else np.inf)
        best = (distances @ weights).argmin()
        expected.append(trials[best])
        nearest = distances[best]
    assert_array_equal(chosen, expected)
    assert len(set(expected)) == 6


def test_equal_rows_are_chosen_by_weight():
    rows, chosen = np.ones((5, 2)), np.empty(3, np.int64)
    plus_plus(rows, np.array([0.0, 1.0, 1.0, 2.0, 0.0]), np.array([0.1, 0.3, 0.9]), chosen)
    assert_array_equal(chosen, [1, 2, 3])


def test_swaps_bring_rows_nearer_and_keep_what_is_good(rng):
    means = 20.0 * np.arange(6)[:, None] * [1.0, -1.0]
    rows = means[rng.integers(6, size=600)] + rng.normal(size=(600, 2))
    weights = rng.choice([0.5, 2.0], size=600)
    centres = rows[:6].copy()  # several of one cluster, none of another
    before = weights @ naive_distances(rows, centres).min(axis=0)
    local_search(rows, weights, rng.random(30), centres)
    apart = naive_distances(means, centres).min(axis=0)
    assert apart.max() < 20.0  # every cluster has a centre
    assert weights @ naive_distances(rows, centres).min(axis=0) < before
    kept = centres.copy()
    local_search(rows, weights, np.zeros(0), centres)
    assert_array_equal(centres, kept)


def naive_swap(rows, weights, uniforms, centres):
    """Rank all centres for every row after every swap."""
    distances = np.empty((len(centres), len(rows)))
    squared_distances(rows, centres, distances)
    for uniform in uniforms:
        ranked = np.sort(np.concatenate([distances, np.full((1, len(rows)), np.inf)]), axis=0)
        labels, nearest, second = distances.argmin(axis=0), ranked[0], ranked[1]
        cumulative = np.cumsum(weights * nearest)
        if not cumulative[-1] > 0.0:
            cumulative = np.cumsum(weights)
        row = min(np.searchsorted(cumulative, uniform * cumulative[-1], "right"), len(rows) - 1)
        own = np.empty((1, len(rows)))
        squared_distances(rows, rows[row : row + 1], own)
        kept, lost = np.minimum(own[0], nearest), np.zeros(len(centres))
        np.add.at(lost, labels, weights * (np.minimum(own[0], second) - kept))
        k = lost.argmin()
        if lost[k] < np.cumsum(weights * (nearest - kept))[-1]:
            centres[k], distances[k] = rows[row], own[0]


@pytest.mark.parametrize("n_centres", [1, 2, 3, 17, 60])
@pytest.mark.parametrize("grid", [None, 1.0, 0.25], ids=["no ties", "most tie", "some tie"])
def test_swaps_end_where_ranking_all_centres_anew_does(rng, n_centres, grid):
    for n_rows, n_features in ((2, 1), (191, 2), (500, 5), (1000, 1)):
        rows = rng.normal(size=(n_rows, n_features))
        if grid:
            rows = np.round(rows / grid) * grid
        weights = rng.choice([0.5, 1.0, 2.0], size=n_rows)
        centres = rows[rng.integers(n_rows, size=n_centres)]
        found, uniforms = centres.copy(), rng.random(3 * n_centres)
        local_search(rows, weights, uniforms, found)
        naive_swap(rows, weights, uniforms, centres)
        assert_array_equal(found, centres)


def test_two_rows_of_a_centre_do_not_change_places_for_a_rounding(rng):
    # what is gained and lost is the same; 0.1 and 1e3 make sums of all distances round
    rows = np.array([[0.0], [0.1], [1e3], [1e3 + 0.3], [1e3 + 0.7]])
    centres = rows[[0, 2, 3, 4]].copy()
    kept = centres.copy()
    local_search(rows, np.ones(5), rng.random(50), centres)
    assert_array_equal(centres, kept)


def test_rows_whose_first_features_are_far_are_found_by_all(rng):
    """Distances stop early where whole panels are beyond their limits."""
    rows = rng.normal(size=(700, 50))
    rows[:, :16] *= 10.0
    rows = rows[np.argsort(rows[:, 0])]
    uniforms, chosen = rng.random(1 + 39 * 3), np.empty(40, np.int64)
    plus_plus(rows, np.ones(700), uniforms, chosen)
    nearest = np.ones(700)
    for k, draws in enumerate((uniforms[:1], *uniforms[1:].reshape(39, 3))):
        cumulative = np.cumsum(nearest)
        trials = np.searchsorted(cumulative, draws * cumulative[-1], side="right")
        distances = ((rows[trials, None] - rows) ** 2).sum(axis=2)
        distances = np.minimum(distances, nearest if k else np.inf)
        best = distances.sum(axis=1).argmin()
        assert chosen[k] == trials[best]
        nearest = distances[best]


@pytest.fixture
def threads(monkeypatch):
    """Share any work."""
    monkeypatch.setattr(kernels, "STEP_OPERATIONS", 0)
    monkeypatch.setattr(kernels, "ALL_OPERATIONS", 0)
    yield range(1, min(3, numba.config.NUMBA_NUM_THREADS) + 1)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


def chosen_and_swapped(rows, weights, uniforms, n_centres):
    chosen = np.empty(n_centres, np.int64)
    plus_plus(rows, weights, uniforms, chosen)
    centres = rows[chosen]
    local_search(rows, weights, uniforms, centres)
    return chosen, centres


def test_threads_and_calls_do_not_change_a_bit(rng, threads, monkeypatch):
    rows, weights = rng.normal(size=(2500, 20)), rng.choice([0.5, 1.0, 2.0], size=2500)
    uniforms = rng.random(1 + 149 * 3)
    first = None
    for n_threads in (*threads, threads[-1]):
        numba.set_num_threads(n_threads)
        found = chosen_and_swapped(rows, weights, uniforms, 150)
        first = first or found
        assert_array_equal(found[0], first[0])
        assert_array_equal(found[1], first[1])
    monkeypatch.setattr(kernels, "CALL_OPERATIONS", 7 * rows.size)
    found = chosen_and_swapped(rows, weights, uniforms, 150)
    assert_array_equal(found[1], first[1])
