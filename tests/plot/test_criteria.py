"""Curves of criteria say where they are least."""

from __future__ import annotations

from fastgmm import plot


def test_criteria_mark_their_minima(ax, legend):
    plot.criteria([1, 2, 3], {"BIC": [5.0, 3.0, 4.0], "AIC": [4.0, 3.0, 2.0]}, ax)
    assert legend(ax) == ["BIC, least at 2", "AIC, least at 3"]
    rings = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == [(2, 3.0), (3, 2.0)]


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(ax):
    assert plot.criteria([1, 2], {"BIC": [2.0, 1.0]}, ax) is ax
    assert plot.criteria([1, 2], {"BIC": [2.0, 1.0]}) is not ax
