"""Where BayesianGaussianMixture is scikit-learn's, and where the page says that it differs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.mixture import BayesianGaussianMixture as Theirs

from fastgmm import BayesianGaussianMixture


@pytest.fixture
def blobs(rng):
    return two_blobs(rng, 400)


def two_blobs(rng, n_rows):
    rows = rng.normal(size=(n_rows, 2))
    rows[n_rows // 2 :] += 6.0
    return rows


def test_defaults_are_theirs_but_for_three():
    theirs, ours = Theirs().get_params(), BayesianGaussianMixture().get_params()
    changed = {name: ours[name] for name, value in theirs.items() if ours[name] != value}
    assert changed == {"tol": 1e-7, "max_iter": 1000, "init_params": "auto"}


def test_passes_do_not_grow_with_rows(rng):
    for n_rows in (200, 2000, 20_000):
        model = BayesianGaussianMixture(n_components=4, random_state=0)
        model.fit(two_blobs(rng, n_rows))
        assert model.converged_
        assert model.n_iter_ < 150
        assert model.n_active_ == 2


def test_sticks_are_an_array_of_two_rows(blobs):
    ours = BayesianGaussianMixture(n_components=4, random_state=0).fit(blobs)
    theirs = Theirs(n_components=4, random_state=0, max_iter=1000).fit(blobs)
    assert isinstance(theirs.weight_concentration_, tuple)
    assert ours.weight_concentration_.shape == (2, 4) == np.shape(theirs.weight_concentration_)
    before, after = ours.weight_concentration_
    # what a stick holds, and what is left for those that follow
    held = ours.mean_precision_ - ours.mean_precision_prior_
    np.testing.assert_allclose(before, 1.0 + held, rtol=1e-12)
    left = held.sum() - np.cumsum(held)
    np.testing.assert_allclose(after, 0.25 + left, rtol=1e-12, atol=1e-9)


def test_the_shared_covariance_is_known_from_all_rows(blobs):
    settings = {"n_components": 5, "covariance_type": "tied", "random_state": 0}
    ours = BayesianGaussianMixture(**settings).fit(blobs)
    theirs = Theirs(max_iter=1000, **settings).fit(blobs)
    assert ours.degrees_of_freedom_ == pytest.approx(2 + 400)
    assert theirs.degrees_of_freedom_ == pytest.approx(2 + 400 / 5)


def test_the_bound_is_one_number(blobs):
    for covariance_type in ("full", "tied", "diag", "spherical"):
        model = BayesianGaussianMixture(
            n_components=3, covariance_type=covariance_type, random_state=0
        ).fit(blobs)
        assert isinstance(model.lower_bound_, float)
        assert all(isinstance(bound, float) for bound in model.lower_bounds_)
        assert model.lower_bounds_[-1] == model.lower_bound_


def test_the_pruned_mixture_labels_as_the_whole_does(blobs):
    model = BayesianGaussianMixture(n_components=6, random_state=0).fit(blobs)
    small = model.prune()
    assert small.n_components == model.n_active_ == 2
    numbers = np.unique(model.predict(blobs))
    assert_array_equal(numbers[small.predict(blobs)], model.predict(blobs))


REFUSED = [
    {"covariance_prior": 1.0},
    {"covariance_prior": [1.0, 1.0]},
    {"covariance_type": "tied", "covariance_prior": 1.0},
    {"covariance_type": "diag", "covariance_prior": 1.0},
    {"covariance_type": "spherical", "covariance_prior": [[1.0, 0.0], [0.0, 1.0]]},
    {"mean_prior": [1.0]},
    {"degrees_of_freedom_prior": 1.0},
    {"n_components": 401},
]


@pytest.mark.parametrize("settings", REFUSED, ids=str)
def test_both_refuse_the_same(blobs, settings):
    with pytest.raises((TypeError, ValueError)):
        Theirs(**settings).fit(blobs)
    with pytest.raises(ValueError, match=r"should|Expected n_samples >= n_components"):
        BayesianGaussianMixture(**settings).fit(blobs)
