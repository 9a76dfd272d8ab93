"""Texts do not lie on each other, and axes that are given come back."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text
from numpy.testing import assert_array_equal

from fastgmm import plot
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.plot.ellipses import MOST_NUMBERS

OF_ROWS = ["clusters", "density", "uncertainty", "histogram", "scores", "corner"]
KINDS = [*OF_ROWS, "trace", "criteria"]
MIXTURES = ["many", "one_place", "far", "outliers", "long_names"]
SIZES = [(6.4, 4.8), (2.5, 2.0)]


def mixture_of(what):
    """A model of three features, and rows."""
    rng = np.random.default_rng(0)
    n_components = 15 if what == "many" else 3
    means = rng.normal(size=(n_components, 3)) * (1e-3 if what == "one_place" else 4.0)
    roots = rng.normal(size=(n_components, 3, 3)) * 0.6
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
    scale, offset = (np.array([1e-6, 1e6, 1.0]), [0.0, 0.0, 1e9]) if what == "far" else (1.0, 0.0)
    model = GaussianMixture.from_parameters(
        np.full(n_components, 1.0 / n_components),
        means * scale + offset,
        covariances * np.multiply.outer(scale, scale),
    ).set_params(random_state=0)
    rows = model.sample(1500)[0]
    if what == "outliers":
        rows[:4] = [1e5, -1e7, 1e3]
    if what == "long_names":
        names = [f"the length of the petals of the {n} flower in inches" for n in ("1st", "2nd")]
        names.append("$m_e$ [kg] of all electrons in the stem")
        model.feature_names_in_ = np.array(names, object)
        rows = pytest.importorskip("pandas").DataFrame(rows, columns=names)
    model.lower_bounds_, model.converged_ = [-1.0 - 1.0 / n for n in range(1, 150)], True
    return model, rows


@pytest.fixture(scope="module", params=MIXTURES)
def drawn(request):
    return mixture_of(request.param)


def draw(kind, drawn, ax):
    model, rows = drawn
    if kind == "trace":
        return plot.trace(model, ax)
    if kind == "criteria":
        values = 1e6 + (np.arange(1, 21) - 7.0) ** 2
        return plot.criteria(range(1, 21), {"BIC": values, "AIC": values - 1.0}, ax)
    return getattr(plot, kind)(model, rows, ax)


def texts_of(figure):
    """Boxes of all texts that are seen, by what they say."""
    figure.draw_without_rendering()
    every = [each for ax in figure.axes for each in (ax, *ax.child_axes)]
    seen = [text for ax in every for text in (*ax.texts, ax.title)]
    for ax in every:
        legend = ax.get_legend()
        seen += legend.get_texts() if legend else []
        if ax.axison:
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
                inside = [tick for tick in ticks if low <= tick.get_loc() <= high]
                seen += [label for tick in inside for label in (tick.label1, tick.label2)]
                seen += [axis.label, axis.get_offset_text()]
    # not of an annotation, which would count its line to its place
    return [
        (text.get_text(), Text.get_window_extent(text))
        for text in seen
        if text.get_visible() and text.get_text()
    ]


def overlapping(texts):
    """Pairs of texts whose boxes share more than a dot, which is what rounding may do."""
    return [
        (one, other)
        for (one, here), (other, there) in combinations(texts, 2)
        if min(here.x1, there.x1) - max(here.x0, there.x0) > 1.0
        and min(here.y1, there.y1) - max(here.y0, there.y0) > 1.0
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", OF_ROWS[:-1])
def test_no_text_lies_on_another(kind, size, drawn):
    figure = plt.figure(figsize=size, layout="constrained")
    draw(kind, drawn, figure.subplots())
    assert overlapping(texts_of(figure)) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["trace", "criteria"])
def test_no_text_lies_on_another_in_curves(kind, size):
    figure = plt.figure(figsize=size, layout="constrained")
    draw(kind, mixture_of("far"), figure.subplots())
    assert overlapping(texts_of(figure)) == []


def test_no_text_lies_on_another_in_a_corner(drawn):
    assert overlapping(texts_of(draw("corner", drawn, None).figure)) == []


def test_texts_stay_apart_and_inside_where_pictures_share_a_figure(drawn):
    figure, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
    for kind, ax in zip(["clusters", "density", "uncertainty", "scores"], axes.flat, strict=True):
        draw(kind, drawn, ax)
    figure.draw_without_rendering()  # a layout makes room for the numbers that were there before
    texts = texts_of(figure)
    assert overlapping(texts) == []
    for text, box in texts:
        assert figure.bbox.x0 <= box.x0 + 1.0, text
        assert figure.bbox.y0 <= box.y0 + 1.0, text
        assert figure.bbox.x1 >= box.x1 - 1.0, text
        assert figure.bbox.y1 >= box.y1 - 1.0, text


@pytest.mark.parametrize("kind", KINDS)
def test_axes_come_back_and_nobody_is_shown_a_window(kind, ax, monkeypatch):
    monkeypatch.setattr(plt.Figure, "show", lambda *_, **__: pytest.fail("show was called"))
    assert draw(kind, mixture_of("few"), ax) is ax  # plt.show fails in every test, by conftest.py


@pytest.mark.parametrize("n_components", [13, 20])
@pytest.mark.parametrize("kind", ["clusters", "histogram", "corner"])
def test_many_components_are_told_apart_in_grey_by_their_numbers(kind, n_components):
    means = np.random.default_rng(1).normal(size=(n_components, 2)) * 5.0
    model = GaussianMixture.from_parameters(
        np.full(n_components, 1.0 / n_components), means, [np.eye(2)] * n_components
    )
    ax = getattr(plot, kind)(model, model.sample(500)[0])
    if kind == "corner":
        ax = ax.child_axes[1]
    assert [text.get_text() for text in ax.texts] == [str(k) for k in range(n_components)]
    places = means[:, 0] if kind == "histogram" else means
    marked = np.array([text.xy for text in ax.texts])
    assert_array_equal(marked[:, 0] if kind == "histogram" else marked, places)


def test_numbers_that_would_hide_the_picture_are_left_out(ax):
    means = np.random.default_rng(0).normal(size=(MOST_NUMBERS + 1, 2))
    weights = np.full(len(means), 1.0 / len(means))
    model = GaussianMixture.from_parameters(weights, means, [np.eye(2)] * len(means))
    assert not plot.clusters(model, means, ax).texts


def test_a_legend_is_left_out_where_it_would_hide_the_picture(model, rows):
    small = plt.figure(figsize=(2.5, 2.0)).subplots()
    assert plot.density(model, rows, small).get_legend() is None
    assert plot.density(model, rows).get_legend() is not None
