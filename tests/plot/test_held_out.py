"""Curves of held-out rows have error bars, and say where they are highest."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm import plot

MEANS, ERRORS = [-3.0, -2.0, -2.1], [0.3, 0.2, 0.1]


def test_it_marks_the_highest_means(ax, legend):
    other = ([-2.5, -2.4, -2.2], [0.1, 0.1, 0.1])
    plot.held_out([1, 2, 3], {"full": (MEANS, ERRORS), "tied": other}, ax)
    assert legend(ax) == [
        "full, highest at 2",
        "tied, highest at 3",
        "one standard error below",
    ]
    rings = [line for line in ax.lines if line.get_markersize() >= 9]
    assert [ring.get_ydata()[0] for ring in rings] == [-2.0, -2.2]
    assert_allclose([ring.get_xdata()[0] for ring in rings], [2, 3], atol=0.1)


def test_bars_are_one_standard_error_up_and_down(ax):
    plot.held_out([1, 2, 3], {"full": (MEANS, ERRORS)}, ax)
    bars = np.array(ax.containers[0].lines[2][0].get_segments())
    assert_allclose(bars[:, 0, 1], np.subtract(MEANS, ERRORS))
    assert_allclose(bars[:, 1, 1], np.add(MEANS, ERRORS))
    assert_allclose(bars[:, :, 0], [[1, 1], [2, 2], [3, 3]])


def test_the_dotted_line_is_one_error_below_the_highest_of_all(ax):
    other = ([-1.5, -2.4, -2.2], [0.4, 0.1, 0.1])
    plot.held_out([1, 2, 3], {"full": (MEANS, ERRORS), "tied": other}, ax)
    (line,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert_allclose(line.get_ydata(), [-1.9, -1.9])


def test_gaps_and_errors_that_are_not_known_are_left_out(ax):
    plot.held_out([1, 2, 3], {"full": ([-3.0, np.nan, -2.0], [0.1, np.inf, np.inf])}, ax)
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_ylim()).all()


@pytest.mark.parametrize("first", [-50.0, -1e6])
def test_one_mean_far_below_the_others_does_not_press_the_rest_flat(ax, first):
    means = [first, *(-2.0 - 0.001 * (np.arange(2, 21) - 8.0) ** 2)]
    plot.held_out(range(1, 21), {"full": (means, [0.02] * 20)}, ax)
    low, high = ax.get_ylim()
    assert -4.0 < low < -2.144
    assert high > -1.98  # with its bar


def test_it_draws_on_new_axes_unless_it_is_given_some(ax):
    curves = {"full": ([-1.0], [0.1])}
    assert plot.held_out([1], curves, ax) is ax
    assert plot.held_out([1], curves) is not ax
