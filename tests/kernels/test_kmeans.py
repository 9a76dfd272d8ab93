"""The kernels of k-means against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.kernels.kmeans import (
    assign_serial,
    local_search,
    new_workspaces,
    plus_plus,
    write_distances,
)

SHAPES = [(1, 1, 1), (1, 3, 192), (3, 2, 193), (5, 9, 191), (13, 17, 1000), (32, 8, 2)]


@pytest.fixture(params=SHAPES, ids=str)
def rows_and_centres(request, rng):
    n_features, n_centres, n_rows = request.param
    return rng.normal(size=(n_rows, n_features)), rng.normal(size=(n_centres, n_features))


def squared_distances(rows, centres, out):
    """Call the piece that writes them."""
    write_distances(rows, centres, new_workspaces(1, rows, len(centres))[0], out)


def naive_distances(rows, centres):
    gaps = rows.astype(np.longdouble)[None] - centres[:, None]
    return (gaps**2).sum(axis=2)


def test_distances_agree_with_their_definition(rows_and_centres):
    rows, centres = rows_and_centres
    out = np.full((len(centres), len(rows)), np.nan)
    squared_distances(rows, centres, out)
    # a difference and its square are rounded, then the sum of d of them
    bound = (rows.shape[1] + 3) * np.finfo(float).eps * naive_distances(rows, centres)
    assert np.all(np.abs(out - naive_distances(rows, centres)) <= bound)


def test_assignment_agrees_with_its_definition(rng, rows_and_centres):
    rows, centres = rows_and_centres
    weights = rng.choice([0.0, 0.5, 2.0], size=len(rows))
    labels = np.empty(len(rows), np.int64)
    mass, sums = np.zeros((1, len(centres))), np.zeros((1, *centres.shape))
    assign_serial(rows, weights, centres, len(rows), labels, mass, sums)
    distances = naive_distances(rows, centres)
    assert_array_equal(labels, distances.argmin(axis=0))
    members = (labels == np.arange(len(centres))[:, None]) * weights  # (K, n)
    tolerance = len(rows) * np.finfo(float).eps
    assert_allclose(mass[0], members.sum(axis=1), rtol=tolerance)
    absolute = np.max(members @ np.abs(rows), initial=0.0)
    assert_allclose(sums[0], members @ rows, atol=tolerance * absolute)


def test_the_first_of_equal_centres_is_chosen(rng):
    rows = rng.normal(size=(400, 2))
    centres = np.zeros((3, 2))
    labels = np.empty(400, np.int64)
    mass = np.zeros((1, 3))
    assign_serial(rows, np.ones(400), centres, 400, labels, mass, np.zeros((1, 3, 2)))
    assert_array_equal(labels, 0)
    assert_array_equal(mass, [[400.0, 0.0, 0.0]])


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
        potential = cumulative[-1]
        if not potential > 0.0:
            cumulative = np.cumsum(weights)
        row = min(np.searchsorted(cumulative, uniform * cumulative[-1], "right"), len(rows) - 1)
        own = np.empty((1, len(rows)))
        squared_distances(rows, rows[row : row + 1], own)
        kept, lost = np.minimum(own[0], nearest), np.zeros(len(centres))
        np.add.at(lost, labels, weights * (np.minimum(own[0], second) - kept))
        k = lost.argmin()
        if np.cumsum(weights * kept)[-1] + lost[k] < potential:
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
