"""Bars and curves are densities of one feature."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from fastgmm import plot
from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture


def curves(ax):
    return {line.get_label(): line.get_xydata().T for line in ax.lines}


def test_curves_are_the_components_and_their_sum(model, rows, ax, legend):
    plot.histogram(model, rows, ax, feature=1)
    found = curves(ax)
    for k in range(3):
        at, height = found[f"component {k}"]
        deviation = np.sqrt(model.covariances_[k, 1, 1])
        expected = model.weights_[k] * norm.pdf(at, model.means_[k, 1], deviation)
        assert_allclose(height, expected, rtol=1e-12, atol=1e-300)
    components = [found[f"component {k}"][1] for k in range(3)]
    assert_allclose(found["sum"][1], np.sum(components, axis=0))
    assert legend(ax) == ["rows", "component 0", "component 1", "component 2", "sum"]
    assert ax.get_xlabel() == "feature 1"


def test_bars_are_the_density_of_all_rows(model, rows, ax):
    plot.histogram(model, rows, ax)
    (bars,) = ax.patches
    heights, edges, _ = bars.get_data()
    expected, _ = np.histogram(rows[:, 0], edges, density=True)
    assert_allclose(heights, expected)
    assert_allclose(ax.get_xlim(), edges[[0, -1]])


def test_a_narrow_peak_keeps_its_height(ax):
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [3.0]], [[[1.0]], [[1e-8]]])
    plot.histogram(model, model.sample(500)[0], ax)
    assert_allclose(curves(ax)["sum"][1].max(), 0.5 * norm.pdf(0.0, 0.0, 1e-4), rtol=1e-2)


def test_a_peak_far_above_the_bars_is_cut(ax):
    model = GaussianMixture.from_parameters([0.9, 0.1], [[0.0], [3.0]], [[[1.0]], [[1e-8]]])
    plot.histogram(model, model.sample(500)[0], ax)
    bars = ax.patches[0].get_data().values
    assert_allclose(ax.get_ylim(), (0.0, 1.05 * 2.5 * bars.max()))


def test_many_components_are_named_together(ax, legend):
    model = GaussianMixture.from_parameters(
        np.full(12, 1 / 12), np.arange(12.0)[:, None], np.ones((12, 1, 1))
    )
    plot.histogram(model, model.sample(500)[0], ax)
    assert legend(ax) == ["rows", "components", "sum"]
    assert len(ax.lines) == 13


def test_rows_that_are_all_the_same_have_a_bar(ax):
    model = GaussianMixture.from_parameters([1.0], [[2.0]], [[[1e-6]]])
    plot.histogram(model, np.full((50, 1), 2.0), ax)
    (bars,) = ax.patches
    assert np.count_nonzero(bars.get_data().values) == 1


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(model, rows, ax):
    assert plot.histogram(model, rows, ax) is ax
    assert plot.histogram(model, rows) is not ax


def test_a_feature_that_is_not_there_is_refused(model, rows, ax):
    with pytest.raises(DataError, match="which are 0 to 2"):
        plot.histogram(model, rows, ax, feature=3)
