"""Curves of criteria say where they are least."""

from __future__ import annotations

import numpy as np

from fastgmm import plot


def test_criteria_mark_their_minima(ax, legend):
    plot.criteria([1, 2, 3], {"BIC": [5.0, 3.0, 4.0], "AIC": [4.0, 3.0, 2.0]}, ax)
    assert legend(ax) == ["BIC, least at 2", "AIC, least at 3"]
    rings = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == [(2, 3.0), (3, 2.0)]


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(ax):
    assert plot.criteria([1, 2], {"BIC": [2.0, 1.0]}, ax) is ax
    assert plot.criteria([1, 2], {"BIC": [2.0, 1.0]}) is not ax


def test_numbers_of_components_are_whole_even_of_a_single_one(ax):
    plot.criteria([3], {"BIC": [5.0]}, ax)
    ax.figure.canvas.draw()
    (low, high), ticks = ax.get_xlim(), ax.get_xticks()
    assert [tick for tick in ticks if low <= tick <= high] == [3.0]


def test_one_value_far_above_the_others_does_not_press_the_minimum_flat(ax):
    values = [1e7, *(100.0 + (np.arange(2, 21) - 8.0) ** 2)]
    plot.criteria(range(1, 21), {"BIC": values}, ax)
    low, high = ax.get_ylim()
    assert low < 100.0 < 244.0 < high < 2000.0  # all others are in view


def test_rings_about_minima_in_one_place_lie_in_each_other(ax):
    plot.criteria([1, 2], {"BIC": [2.0, 1.0], "AIC": [2.0, 1.0], "ICL": [2.0, 1.0]}, ax)
    rings = [line.get_markersize() for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(rings) == len(set(rings)) == 3
