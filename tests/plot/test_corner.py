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


def panels_of(ax):
    """Panels by their row and column."""
    n_features = int(np.sqrt(2 * len(ax.child_axes)))
    assert len(ax.child_axes) == n_features * (n_features + 1) // 2
    return dict(zip(zip(*np.tril_indices(n_features), strict=True), ax.child_axes, strict=True))


def box_of(ax):
    return ax.get_position().get_points()


def test_pairs_below_the_diagonal_features_on_it_and_nothing_above(model, rows):
    panels = panels_of(plot.corner(model, rows))
    assert len(panels) == 6
    for (i, j), ax in panels.items():
        ellipses = [each for each in ax.patches if isinstance(each, Ellipse)]
        assert len(ellipses) == (6 if j < i else 0)
        if j < i:
            assert_allclose(ellipses[0].center, model.means_[0, [j, i]])
            assert_allclose(ax.get_xlim(), panels[j, j].get_xlim())
            assert_allclose(ax.get_ylim(), panels[i, i].get_xlim())
        else:
            assert len(ax.lines) == 4


def test_panels_lie_in_rows_and_columns_inside_of_their_axes(model, rows):
    ax = plt.figure().subplots(2, 2)[1, 0]
    panels = panels_of(plot.corner(model, rows, ax))
    ax.figure.canvas.draw()
    boxes = {place: box_of(panel) for place, panel in panels.items()}
    for (i, j), box in boxes.items():
        assert_allclose(box[:, 0], boxes[2, j][:, 0])
        assert_allclose(box[:, 1], boxes[i, 0][:, 1])
        assert (box >= box_of(ax)[0] - 1e-9).all()
        assert (box <= box_of(ax)[1] + 1e-9).all()
    assert boxes[2, 0][1, 0] < boxes[2, 1][0, 0]  # panels do not touch
    assert boxes[2, 0][1, 1] < boxes[1, 0][0, 1]


def test_names_stand_at_the_outer_edges(model, rows):
    panels = panels_of(plot.corner(model, rows, features=(2, 0, 1)))
    names = ["feature 2", "feature 0", "feature 1"]
    assert [panels[2, j].get_xlabel() for j in range(3)] == names
    assert [panels[i, 0].get_ylabel() for i in range(3)] == ["", *names[1:]]
    assert panels[1, 0].get_xlabel() == panels[2, 1].get_ylabel() == ""


def test_long_names_lose_their_middle_and_dollars_are_no_mathematics(rows):
    pd = pytest.importorskip("pandas")
    names = ["the length of the first of all petals", "$a$", "b"]
    frame = pd.DataFrame(rows, columns=names)
    ax = plot.corner(GaussianMixture(2, random_state=0).fit(frame), frame)
    panels = panels_of(ax)
    found = [panels[2, j].get_xlabel() for j in range(3)]
    assert found == ["the leng…l petals", r"\$a\$", "b"]
    ax.figure.canvas.draw()


def test_a_legend_names_the_colours_unless_they_are_too_many(model, rows, legend):
    assert legend(plot.corner(model, rows)) == [f"component {k}" for k in range(3)]
    means = np.arange(24.0).reshape(12, 2)
    many = GaussianMixture.from_parameters(np.full(12, 1 / 12), means, [np.eye(2)] * 12)
    assert not plot.corner(many, means).get_legend()


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(model, rows, ax):
    assert plot.corner(model, rows, ax) is ax
    assert plot.corner(model, rows).figure is not ax.figure


def test_of_many_features_the_first_are_drawn_and_a_title_says_so():
    model = GaussianMixture.from_parameters(
        [1.0], np.zeros((1, 20)), np.ones((1, 20, 20)) * 0.0 + np.eye(20)
    )
    rows = np.random.default_rng(0).normal(size=(50, 20))
    ax = plot.corner(model, rows)
    assert len(panels_of(ax)) == 21
    assert ax.get_title() == "the first 6 of 20 features"
    with pytest.raises(DataError, match="a corner of 13 features cannot be drawn"):
        plot.corner(model, rows, features=range(13))


def test_one_feature_has_no_corner():
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(DataError, match="a corner of 1 features"):
        plot.corner(model, [[0.0], [1.0]])
