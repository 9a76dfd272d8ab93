"""Doubtful rows are dark, large and on top."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from fastgmm import plot
from fastgmm.estimators.gaussian_mixture import GaussianMixture


def test_doubtful_rows_have_the_colour_of_their_doubt(model, rows, ax):
    plot.uncertainty(model, rows, ax)
    pale, doubtful = ax.collections[:2]
    doubt = 1.0 - model.predict_proba(rows).max(axis=1)
    assert len(pale.get_offsets()) == (doubt < 0.01).sum()
    assert_allclose(doubtful.get_array(), np.sort(doubt[doubt >= 0.01]))
    assert (np.diff(doubtful.get_sizes()) >= 0.0).all()
    assert doubtful.get_clim() == (0.0, 1.0 - 1.0 / 3.0)
    assert pale.get_zorder() <= doubtful.get_zorder()


def test_the_darker_the_more_doubtful_in_grey_too(model, rows, ax):
    plot.uncertainty(model, rows, ax)
    shades = ax.collections[1].get_cmap()(np.linspace(0.0, 1.0, 50))[:, :3]
    assert (np.diff(shades @ [0.2126, 0.7152, 0.0722]) < 0.0).all()


def test_a_scale_says_what_colours_mean(model, rows, ax):
    plot.uncertainty(model, rows, ax)
    _, scale = ax.figure.axes
    assert scale.get_ylabel() == "1 – largest responsibility"
    assert len(ax.patches) == 3


def test_of_one_component_all_rows_are_certain(rows, ax):
    plot.uncertainty(GaussianMixture(1).fit(rows), rows, ax)
    assert len(ax.collections[0].get_offsets()) == len(rows)
    assert len(ax.collections[1].get_offsets()) == 0


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(model, rows, ax):
    assert plot.uncertainty(model, rows, ax) is ax
    assert plot.uncertainty(model, rows) is not ax
