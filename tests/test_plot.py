"""Pictures say what the model says."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import Ellipse
from numpy.testing import assert_allclose

mpl.use("Agg")

from matplotlib import pyplot as plt

from fastgmm import plot
from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.sources import open_source

WEIGHTS = [0.5, 0.3, 0.2]
MEANS = np.array([[0.0, 0.0, 5.0], [4.0, 1.0, 5.0], [-3.0, 6.0, 5.0]])
ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.2, 2.0]])
FULL = np.array([scale * ROOT @ ROOT.T for scale in (1.0, 2.0, 0.5)])
COVARIANCES = {
    "full": FULL,
    "tied": FULL[0],
    "diag": np.array([np.diag(covariance) for covariance in FULL]),
    "spherical": np.array([1.0, 2.0, 0.5]),
}


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().subplots()


def mixture(covariance_type="full"):
    return GaussianMixture.from_parameters(
        WEIGHTS, MEANS, COVARIANCES[covariance_type], covariance_type=covariance_type
    )


def rows(n=300):
    return np.random.default_rng(0).normal(size=(n, 3)) * 3.0


def points(ax):
    return next(each for each in ax.collections if isinstance(each, PathCollection))


def matrix_of(ellipse):
    """Covariance whose ellipse at one standard deviation this is."""
    angle = np.radians(ellipse.angle)
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return axes @ np.diag([(ellipse.width / 2) ** 2, (ellipse.height / 2) ** 2]) @ axes.T


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("features", [(0, 1), (2, 0)])
def test_ellipses_are_the_marginal_covariances(covariance_type, features, ax):
    plot.clusters(mixture(covariance_type), rows(), ax, features=features)
    ellipses = [each for each in ax.patches if isinstance(each, Ellipse)]
    assert len(ellipses) == 2 * len(WEIGHTS)
    for k in range(len(WEIGHTS)):
        expected = {
            "full": lambda k=k: FULL[k],
            "tied": lambda: FULL[0],
            "diag": lambda k=k: np.diag(np.diag(FULL[k])),
            "spherical": lambda k=k: COVARIANCES["spherical"][k] * np.eye(3),
        }[covariance_type]()[np.ix_(features, features)]
        one, two = ellipses[2 * k : 2 * k + 2]
        assert_allclose(one.center, MEANS[k, list(features)])
        assert_allclose(matrix_of(one), expected, atol=1e-12)
        assert_allclose(matrix_of(two), 4.0 * expected, atol=1e-12)


def test_ellipses_lie_inside_the_axes(ax):
    plot.clusters(mixture(), MEANS, ax)
    ax.figure.canvas.draw()
    for ellipse in ax.patches:
        corners = ellipse.get_path().transformed(ellipse.get_patch_transform()).vertices
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        assert ((corners >= [left, low]) & (corners <= [right, high])).all()


def test_a_row_has_the_colours_of_its_responsibilities(ax):
    model, data = mixture(), rows()
    plot.clusters(model, data, ax)
    drawn = points(ax)
    offsets, colours = drawn.get_offsets(), drawn.get_facecolors()[:, :3]
    expected = model.predict_proba(data) @ plot.component_colours(3)
    order, drawn_order = np.lexsort(data[:, :2].T), np.lexsort(offsets.T)
    assert_allclose(offsets[drawn_order], data[order, :2])
    assert_allclose(colours[drawn_order], expected[order])


def test_more_rows_than_asked_for_are_drawn_as_the_same_sample_every_time(ax):
    data = rows(5000)
    one = points(plot.clusters(mixture(), data, ax, max_rows=200)).get_offsets()
    two = points(plot.clusters(mixture(), iter_chunks(data), max_rows=200)).get_offsets()
    assert_allclose(one, two)
    assert len(np.unique(one, axis=0)) == 200
    known = {tuple(row) for row in data[:, :2]}
    assert all(tuple(row) in known for row in one.tolist())


def iter_chunks(data):
    return lambda: (data[start : start + 700] for start in range(0, len(data), 700))


def test_rows_of_weight_zero_are_not_drawn(ax):
    weights = np.repeat([1.0, 0.0], 150)
    source = open_source(np.column_stack([rows(), weights]), columns=[0, 1, 2], weight=3)
    drawn = points(plot.clusters(mixture(), source, ax)).get_offsets()
    assert len(drawn) == 150
    assert {tuple(row) for row in drawn.tolist()} == {tuple(row) for row in rows()[:150, :2]}


def test_axes_have_the_names_of_the_features(ax):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows(), columns=["red", "green", "blue"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    plot.clusters(model, frame, ax, features=(2, 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("blue", "green")


def test_functions_return_the_axes_they_are_given_or_make_some_and_never_show(ax, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("show was called"))
    assert plot.clusters(mixture(), rows(), ax) is ax
    assert plot.criteria([1, 2], {"BIC": [2.0, 1.0]}, ax) is ax
    assert plot.clusters(mixture(), rows()) is not ax
    assert plot.criteria([1, 2], {"BIC": [2.0, 1.0]}) is not ax


@pytest.mark.parametrize("features", [(0, 3), (-1, 0)])
def test_a_feature_that_is_not_there_is_refused(features, ax):
    with pytest.raises(DataError, match="which are 0 to 2"):
        plot.clusters(mixture(), rows(), ax, features=features)


def test_one_feature_makes_no_picture_of_clusters(ax):
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(DataError, match="needs two features"):
        plot.clusters(model, [[0.0], [1.0]], ax)


def test_criteria_mark_their_minima(ax):
    plot.criteria([1, 2, 3], {"BIC": [5.0, 3.0, 4.0], "AIC": [4.0, 3.0, 2.0]}, ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["BIC, least at 2", "AIC, least at 3"]
    rings = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == [(2, 3.0), (3, 2.0)]


@pytest.mark.parametrize("n_components", [2, 4, 12])
def test_colours_differ_in_grey_too(n_components):
    lightness = plot.component_colours(n_components) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0.5 / n_components * 0.5).all()
