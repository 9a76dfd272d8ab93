"""Components that hold no rows are not drawn as if they were clusters."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal

import fastgmm
from fastgmm import plot
from fastgmm.estimators.active import active
from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.plot.colours import PALE
from fastgmm.plot.components import shown


def fitted(rows, n_components=8, **settings):
    model = BayesianGaussianMixture(n_components=n_components, random_state=0, **settings)
    return model.fit(rows)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 3)) + np.repeat([[0.0], [9.0], [18.0]], 100, axis=0)


@pytest.fixture(scope="module")
def bayesian(blobs):
    return fitted(blobs)


def numbers_on(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("draw", [plot.clusters, plot.uncertainty])
def test_ellipses_are_those_of_components_with_rows(bayesian, blobs, ax, legend, draw):
    draw(bayesian, blobs, ax)
    assert "5 of 8 components hold no rows" in legend(ax)
    middles = np.unique([ellipse.center for ellipse in ax.patches], axis=0)
    assert_array_equal(middles, np.unique(bayesian.means_[active(bayesian), :2], axis=0))


def test_numbers_are_those_of_predict(blobs, ax):
    model = fitted(blobs, weight_concentration_prior_type="dirichlet_distribution")
    held = np.unique(model.predict(blobs))
    assert len(held) == model.n_active_ == 3
    assert numbers_on(plot.clusters(model, blobs, ax)) == [str(k) for k in held]
    labels = [line.get_label() for line in plot.histogram(model, blobs).lines]
    assert labels == [*(f"component {k}" for k in held), "sum"]


def test_components_with_rows_share_the_whole_scale_of_colours(bayesian, blobs, ax):
    plot.clusters(bayesian, blobs, ax)
    points = next(each for each in ax.collections if isinstance(each, PathCollection))
    known = plot.component_colours(3)
    distances = np.abs(points.get_facecolors()[:, None, :3] - known).max(axis=2)
    assert (distances.min(axis=1) < 0.01).all()
    assert_array_equal(np.bincount(distances.argmin(axis=1)), [100, 100, 100])


def test_rows_of_a_component_that_is_not_drawn_are_pale(bayesian, ax):
    far = np.full((1, 3), 400.0)  # in the broad prior more likely than in any cluster
    assert not active(bayesian)[bayesian.predict(far)[0]]
    plot.clusters(bayesian, far, ax)
    points = next(each for each in ax.collections if isinstance(each, PathCollection))
    assert_allclose(points.get_facecolors()[0, :3], to_rgb(PALE), atol=1e-12)


def test_a_corner_leaves_them_out_of_every_panel(bayesian, blobs, ax, legend):
    plot.corner(bayesian, blobs, ax)
    assert [text for text in legend(ax) if "component " in text] == [
        f"component {k}" for k in np.flatnonzero(active(bayesian))
    ]
    assert legend(ax)[-1] == "5 of 8 components hold no rows"
    for panel in ax.child_axes:
        assert len(panel.patches) in (2 * 3, 1)  # ellipses, or bars


def test_the_sum_of_a_histogram_is_that_of_all_components(blobs, ax):
    settings = {"weight_concentration_prior_type": "dirichlet_distribution"}
    model = fitted(blobs[:30], 20, weight_concentration_prior=3.0, **settings)
    model.mean_precision_ = np.r_[[11.0, 11.0, 11.0], np.ones(17)]
    plot.histogram(model, blobs, ax)
    total = ax.lines[-1].get_ydata()
    at = ax.lines[-1].get_xdata()
    deviations = np.sqrt(model.covariances_[:, 0, 0])
    z = (at - model.means_[:, :1]) / deviations[:, None]
    heights = model.weights_[:, None] * np.exp(-0.5 * z**2) / (deviations * 2.5066282746)[:, None]
    assert_allclose(total, heights.sum(axis=0), rtol=1e-8)
    assert len(ax.lines) == 3 + 1


def test_the_rule_is_that_of_n_active(blobs, tmp_path):
    weights = np.full(len(blobs), 0.01)
    model = BayesianGaussianMixture(n_components=8, random_state=0)
    model.fit(blobs, sample_weight=weights)
    assert active(model).sum() == model.n_active_
    model.save(tmp_path / "m.npz")
    assert_array_equal(active(fastgmm.load(tmp_path / "m.npz")), active(model))


def test_all_components_are_drawn_where_no_posterior_says_otherwise(model, bayesian):
    assert_array_equal(shown(model), [0, 1, 2])
    by_hand = BayesianGaussianMixture(n_components=8)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(by_hand, name, getattr(bayesian, name))
    assert_array_equal(shown(by_hand), range(8))


def test_what_chose_by_the_evidence_is_drawn_as_what_it_chose(blobs, ax, legend):
    settings = {"covariance_type": "full", "criterion": "evidence", "random_state": 0}
    model = fastgmm.AutoGaussianMixture([8], **settings).fit(blobs)
    assert model.best_estimator_.n_active_ == 3
    plot.clusters(model, blobs, ax)
    assert len(ax.patches) == 2 * 3
    assert "5 of 8 components hold no rows" in legend(ax)
    assert plot.trace(model).get_ylabel() == "lower bound per row"


def test_a_trace_is_of_the_bound(bayesian, ax):
    plot.trace(bayesian, ax)
    assert_array_equal(ax.lines[0].get_ydata(), bayesian.lower_bounds_)
    assert ax.get_ylabel() == "lower bound per row"
