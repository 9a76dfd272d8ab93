"""Rows for a picture come from any source, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import GaussianMixture, plot
from fastgmm.plot.rows import counts, outside, reach, sample, weighed_sample
from fastgmm.sources import open_source


@pytest.fixture
def long(rng):
    """More rows than a block."""
    return rng.normal(size=(150_000, 2))


def test_counts_are_those_of_numpy(long):
    ends = np.array([[-2.0, -1.0], [2.5, 3.0]])
    found = counts(open_source(long), [0, 1], ends, (40, 30))
    expected, _, _ = np.histogram2d(*long.T, (40, 30), ends.T)
    # a row on an edge may fall on either side of it by rounding
    assert np.abs(found - expected).sum() <= 2
    assert_array_equal(counts(open_source(long), [1], ends[:, [1]], (30,)).shape, (30,))


def test_counts_add_weights(rng):
    rows, weights = rng.normal(size=(500, 1)), rng.integers(0, 3, 500)
    source = open_source(np.column_stack([rows, weights]), columns=[0], weight=1)
    ends = np.array([[-2.0], [2.0]])
    expected = counts(open_source(np.repeat(rows, weights, axis=0)), [0], ends, (20,))
    assert_array_equal(counts(source, [0], ends, (20,)), expected)


def test_rows_far_outside_are_not_counted():
    far = np.array([[1e300], [-1e300], [0.5]])
    assert_array_equal(counts(open_source(far), [0], np.array([[0.0], [1.0]]), (2,)), [0.0, 1.0])


def test_a_sample_is_without_replacement(long):
    found = sample(open_source(long), 3000)
    assert len(np.unique(found, axis=0)) == 3000
    assert set(map(tuple, found)) <= set(map(tuple, long))
    assert_array_equal(sample(open_source(long[:100]), 3000).shape, (100, 2))


def test_rows_of_a_weighed_sample_stand_for_their_weight(rng):
    rows = np.concatenate([rng.normal(size=10_000), rng.normal(20.0, 1.0, 30)])
    weights = np.repeat([1.0, 1000.0], [10_000, 30])
    source = open_source(np.column_stack([rows, weights]), columns=[0], weight=1)
    found, counts = weighed_sample(source, 3000)
    assert_array_equal(found, sample(source, 3000))
    heavy = found[:, 0] > 10.0
    assert heavy.sum() == 30
    assert counts[heavy].sum() / counts.sum() == pytest.approx(0.75, abs=0.02)
    found, counts = weighed_sample(source, 20_000)
    assert counts.sum() == weights.sum()
    assert weighed_sample(open_source(rows[:, None]), 3000)[1] is None


def test_scores_draw_shares_of_the_weight(rng):
    rows = np.concatenate([rng.normal(size=(4000, 1)), np.full((20, 1), 4.0)])
    weights = np.repeat([1.0, 600.0], [4000, 20])
    source = open_source(np.column_stack([rows, weights]), columns=[0], weight=1)
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    for max_rows in (1000, 10_000):
        heights, edges, _ = plot.scores(model, source, max_rows=max_rows).patches[0].get_data()
        at_four = np.searchsorted(edges, model.score_samples([[4.0]])[0], side="right") - 1
        assert heights[at_four] == pytest.approx(0.75, abs=0.05)


def test_a_picture_reaches_over_the_means_and_nearly_all_rows(long):
    ends = reach(np.vstack([long, [[1e6, 0.0]]]), np.array([[9.0, 0.0]]))
    assert 9.0 < ends[1, 0] < 20.0
    assert ((long > ends[0]) & (long < ends[1])).mean() > 0.999


@pytest.mark.parametrize("n_rows", [300, 100_000])
def test_few_rows_far_away_do_not_press_a_picture_flat(rng, n_rows):
    rows = rng.normal(size=(n_rows, 2))
    far = np.vstack([rows, [[1e4, 0.0], [0.0, -1e9]]])
    ends = reach(far, np.zeros((1, 2)))
    assert np.abs(ends).max() < 10.0  # 3 times the 99 % of the rows, which are within 2.6
    assert_array_equal(outside(far, ends), [*([False] * n_rows), True, True])


def test_a_picture_reaches_no_farther_than_what_it_shows(rng):
    rows = rng.uniform(size=(500, 2))
    assert_allclose(reach(rows, rows[:1]), [rows.min(0), rows.max(0)], atol=0.051)


@pytest.mark.parametrize("kind", ["clusters", "density", "uncertainty", "histogram", "scores"])
def test_every_source_makes_the_same_picture(kind, model, rows, tmp_path):
    pd = pytest.importorskip("pandas")
    np.save(tmp_path / "rows.npy", rows)
    pd.DataFrame(rows).add_prefix("x").to_csv(tmp_path / "rows.csv", index=False)
    draw = getattr(plot, kind)

    def picture(data):
        canvas = draw(model, data).figure.canvas
        canvas.draw()
        return np.asarray(canvas.buffer_rgba()).copy()

    expected = picture(rows)
    for data in (str(tmp_path / "rows.npy"), lambda: np.array_split(rows, 5)):
        assert_array_equal(picture(data), expected)
    with pytest.warns(UserWarning, match="has feature names"):
        assert_array_equal(picture(tmp_path / "rows.csv"), expected)


def test_a_million_rows_put_few_things_on_paper(model):
    rows = np.tile(model.sample(1000)[0], (1000, 1))
    drawn = {kind: getattr(plot, kind)(model, rows) for kind in ("clusters", "uncertainty")}
    points = {
        kind: sum(len(each.get_offsets()) for each in ax.collections) for kind, ax in drawn.items()
    }
    assert points == {"clusters": 5_000, "uncertainty": 10_000}
    panels = plot.corner(model, rows).child_axes
    assert sum(len(each.get_offsets()) for ax in panels for each in ax.collections) == 3 * 3_000
    assert len(plot.histogram(model, rows).patches[0].get_data().values) <= 120
    assert len(plot.scores(model, rows).patches[0].get_data().values) <= 82  # 80, and two ends
    assert plot.density(model, rows).images[0].get_array().size == 150 * 150
