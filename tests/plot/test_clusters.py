"""Rows have the colours of their components, and ellipses are covariances."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import Ellipse
from numpy.testing import assert_allclose

import fastgmm
from fastgmm import plot
from fastgmm.covariance import ALL
from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.sources import open_source


def points(ax):
    return next(each for each in ax.collections if isinstance(each, PathCollection))


def matrix_of(ellipse):
    """Covariance whose ellipse at one standard deviation this is."""
    angle = np.radians(ellipse.angle)
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return axes @ np.diag([(ellipse.width / 2) ** 2, (ellipse.height / 2) ** 2]) @ axes.T


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("features", [(0, 1), (2, 0)])
def test_ellipses_are_the_marginal_covariances(mixture, covariance_type, features, rows, ax):
    model = mixture(covariance_type)
    plot.clusters(model, rows, ax, features=features)
    ellipses = [each for each in ax.patches if isinstance(each, Ellipse)]
    assert len(ellipses) == 2 * 3
    matrices = naive.matrices(covariance_type, model.covariances_, *model.means_.shape)
    for k, covariance in enumerate(matrices):
        expected = covariance[np.ix_(features, features)]
        one, two = ellipses[2 * k : 2 * k + 2]
        assert_allclose(one.center, model.means_[k, list(features)])
        assert_allclose(matrix_of(one), expected, atol=1e-12)
        assert_allclose(matrix_of(two), 4.0 * expected, atol=1e-12)


@pytest.mark.parametrize("name", [each.name for each in ALL])
def test_every_family_is_drawn_as_it_was_fitted(name, rows, ax):
    model = GaussianMixture(3, covariance_type=name, random_state=0, tol=1e-3).fit(rows)
    plot.clusters(model, rows, ax)
    ellipses = [each for each in ax.patches if isinstance(each, Ellipse)][::2]
    matrices = model._parameters().matrices
    for ellipse, covariance in zip(ellipses, matrices, strict=True):
        assert_allclose(matrix_of(ellipse), covariance[:2, :2], rtol=1e-9, atol=1e-12)
    for draw in (plot.density, plot.uncertainty, plot.scores, plot.histogram):
        assert draw(model, rows).has_data()
    assert plot.trace(model).has_data()
    assert len(plot.corner(model, rows).child_axes) == 6


def test_ellipses_lie_inside_the_axes(model, ax):
    plot.clusters(model, model.means_, ax)
    ax.figure.canvas.draw()
    for ellipse in ax.patches:
        corners = ellipse.get_path().transformed(ellipse.get_patch_transform()).vertices
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        assert ((corners >= [left, low]) & (corners <= [right, high])).all()


def test_a_row_has_the_colours_of_its_responsibilities(model, rows, ax):
    drawn = points(plot.clusters(model, rows, ax))
    offsets, colours = drawn.get_offsets(), drawn.get_facecolors()[:, :3]
    expected = model.predict_proba(rows) @ plot.component_colours(3)
    order, drawn_order = np.lexsort(rows[:, :2].T), np.lexsort(offsets.T)
    assert_allclose(offsets[drawn_order], rows[order, :2])
    assert_allclose(colours[drawn_order], expected[order])


def test_more_rows_than_asked_for_are_drawn_as_the_same_sample_every_time(model, rows, ax):
    one = points(plot.clusters(model, rows, ax, max_rows=200)).get_offsets()
    chunks = lambda: (rows[start : start + 700] for start in range(0, len(rows), 700))  # noqa: E731
    two = points(plot.clusters(model, chunks, max_rows=200)).get_offsets()
    assert_allclose(one, two)
    assert len(np.unique(one, axis=0)) == 200
    known = {tuple(row) for row in rows[:, :2]}
    assert all(tuple(row) in known for row in one.tolist())


def test_rows_of_weight_zero_are_not_drawn(model, rows, ax):
    weights = np.repeat([1.0, 0.0], len(rows) // 2)
    source = open_source(np.column_stack([rows, weights]), columns=[0, 1, 2], weight=3)
    drawn = points(plot.clusters(model, source, ax)).get_offsets()
    expected = {tuple(row) for row in rows[: len(rows) // 2, :2]}
    assert {tuple(row) for row in drawn.tolist()} == expected


def test_each_component_has_its_number_and_a_legend_says_what_ellipses_are(model, rows, ax, legend):
    plot.clusters(model, rows, ax)
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2"]
    assert legend(ax) == ["1 and 2 standard deviations"]


def test_the_legend_counts_rows_that_are_too_far_away(model, rows, ax, legend):
    far = np.vstack([rows, [[1e5, 0.0, 0.0]]])
    plot.clusters(model, far, ax)
    assert legend(ax) == ["1 and 2 standard deviations", "1 of 2001 rows lie outside"]
    assert ax.get_xlim()[1] < 20.0
    note = plot.uncertainty(model, np.vstack([far, -far[-1:]]))
    assert legend(note) == ["2 of 2002 rows lie outside"]


def test_axes_have_the_names_of_the_features(rows, ax):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=["red", "green", "blue"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    plot.clusters(model, frame, ax, features=(2, 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("blue", "green")
    by_name = plot.clusters(model, frame, features=("blue", "green"))
    assert_allclose(points(by_name).get_offsets(), points(ax).get_offsets())
    with pytest.raises(DataError, match="which are 0 to 2, or 'red', 'green', 'blue'"):
        plot.clusters(model, frame, features=("blue", "grean"))


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(model, rows, ax):
    assert plot.clusters(model, rows, ax) is ax
    assert plot.clusters(model, rows) is not ax


def test_what_chooses_its_number_of_components_is_drawn_too(rows, ax):
    chosen = fastgmm.AutoGaussianMixture([2, 3], covariance_type="diag", random_state=0).fit(rows)
    plot.clusters(chosen, rows, ax)
    assert len(ax.patches) == 2 * chosen.n_components_


def test_plot_is_a_name_of_the_package():
    assert fastgmm.plot is plot


@pytest.mark.parametrize("features", [(0, 3), (-1, 0), ("a", 0)])
def test_a_feature_that_is_not_there_is_refused(model, rows, features, ax):
    with pytest.raises(DataError, match="which are 0 to 2"):
        plot.clusters(model, rows, ax, features=features)


def test_three_features_make_no_picture_of_clusters(model, rows, ax):
    with pytest.raises(DataError, match="has two features"):
        plot.clusters(model, rows, ax, features=(0, 1, 2))


def test_one_feature_makes_no_picture_of_clusters(ax):
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(DataError, match="needs two features"):
        plot.clusters(model, [[0.0], [1.0]], ax)
