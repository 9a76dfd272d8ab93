"""The threshold stands where the outliers begin."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm import plot


def test_what_is_dark_lies_below_the_threshold(model, rows, ax, legend):
    plot.scores(model, rows, ax, contamination=0.05)
    threshold = model.threshold(rows, 0.05)
    (line,) = ax.lines
    assert_allclose(line.get_xdata(), threshold)
    bars, outliers = ax.patches
    heights, edges, _ = bars.get_data()
    assert_allclose(outliers.get_data().edges[-1], threshold)
    assert_allclose(outliers.get_data().values.sum(), 0.05)
    assert_allclose(heights.sum(), 1.0)
    assert edges[-1] >= model.score_samples(rows).max()
    assert legend(ax) == ["rows", "outliers, 5 % of the rows", f"threshold {threshold:.5g}"]


def test_the_threshold_is_that_of_all_rows_where_a_sample_is_drawn(model, rows, ax):
    plot.scores(model, rows, ax, max_rows=300)
    assert_allclose(ax.lines[0].get_xdata(), model.threshold(rows, 0.01))


def test_rows_out_of_every_reach_are_in_the_first_bar(model, rows, ax):
    far = np.vstack([rows[:99], [[1e200, 0.0, 0.0]]])
    plot.scores(model, far, ax, contamination=0.05)
    heights = ax.patches[0].get_data().values
    assert heights[0] >= 0.01
    assert_allclose(heights.sum(), 1.0)


def test_outliers_far_away_do_not_press_the_picture_flat(model, rows, ax):
    rows = np.vstack([rows, np.full((5, 3), 1e6)])
    threshold = model.threshold(rows, 0.01)
    plot.scores(model, rows, ax)
    left, right = ax.get_xlim()
    assert threshold - left < 1.1 * (right - threshold)  # 80 bars: it may be one more


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(model, rows, ax):
    assert plot.scores(model, rows, ax) is ax
    assert plot.scores(model, rows) is not ax


def test_what_is_no_share_is_refused(model, rows, ax):
    with pytest.raises(ValueError, match="is no share"):
        plot.scores(model, rows, ax, contamination=1.5)
