"""A triangle of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Ellipse
from numpy.testing import assert_allclose

from fastgmm import plot
from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture


def test_pairs_below_the_diagonal_features_on_it_and_nothing_above(model, rows):
    axes = plot.corner(model, rows)
    assert axes.shape == (3, 3)
    for i, j in np.ndindex(3, 3):
        ax = axes[i, j]
        assert ax.get_visible() == (j <= i)
        ellipses = [each for each in ax.patches if isinstance(each, Ellipse)]
        assert len(ellipses) == (6 if j < i else 0)
        if j < i:
            assert_allclose(ellipses[0].center, model.means_[0, [j, i]])
            assert_allclose(ax.get_xlim(), axes[j, j].get_xlim())
            assert_allclose(ax.get_ylim(), axes[i, i].get_xlim())
        elif i == j:
            assert len(ax.lines) == 4


def test_names_stand_at_the_outer_edges(model, rows):
    axes = plot.corner(model, rows, features=(2, 0, 1))
    assert [ax.get_xlabel() for ax in axes[-1]] == ["feature 2", "feature 0", "feature 1"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", "feature 0", "feature 1"]
    assert axes[1, 0].get_xlabel() == axes[2, 1].get_ylabel() == ""


def test_long_names_lose_their_middle_and_dollars_are_no_mathematics(rows):
    pd = pytest.importorskip("pandas")
    names = ["the length of the first of all petals", "$a$", "b"]
    frame = pd.DataFrame(rows, columns=names)
    axes = plot.corner(GaussianMixture(2, random_state=0).fit(frame), frame)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["the leng…l petals", r"\$a\$", "b"]
    axes[0, 0].figure.canvas.draw()


def test_a_legend_names_the_colours_unless_they_are_too_many(model, rows):
    (legend,) = plot.corner(model, rows)[0, 0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"component {k}" for k in range(3)]
    means = np.arange(24.0).reshape(12, 2)
    many = GaussianMixture.from_parameters(np.full(12, 1 / 12), means, [np.eye(2)] * 12)
    assert not plot.corner(many, means)[0, 0].figure.legends


def test_it_draws_on_the_figure_it_is_given(model, rows):
    figure = plt.figure()
    axes = plot.corner(model, rows, figure)
    assert axes[0, 0].figure is figure
    assert plot.corner(model, rows)[0, 0].figure is not figure


def test_of_many_features_the_first_are_drawn_and_a_title_says_so():
    model = GaussianMixture.from_parameters(
        [1.0], np.zeros((1, 20)), np.ones((1, 20, 20)) * 0.0 + np.eye(20)
    )
    rows = np.random.default_rng(0).normal(size=(50, 20))
    axes = plot.corner(model, rows)
    assert axes.shape == (6, 6)
    assert axes[0, 0].figure.get_suptitle() == "the first 6 of 20 features"
    with pytest.raises(DataError, match="a corner of 13 features cannot be drawn"):
        plot.corner(model, rows, features=range(13))


def test_one_feature_has_no_corner():
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(DataError, match="a corner of 1 features"):
        plot.corner(model, [[0.0], [1.0]])
