"""A weight of 0 is a row left out, a weight of 2 a row written twice, and order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastgmm.estimators import GaussianMixture

STARTS = ("auto", "kmeans", "k-means++", "random", "random_from_data")
COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
FITTED = ("weights_", "means_", "covariances_")


@pytest.fixture
def rows(rng):
    """Two overlapping groups."""
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(2.5, 0.7, size=(40, 2))])


@pytest.fixture
def counts(rng):
    """How often each row counts, 0 to 3 times."""
    return rng.integers(0, 4, size=100)


def fit(rows, sample_weight=None, **settings):
    """Fit two components by so many passes that a difference in the start can grow and show."""
    model = GaussianMixture(2, tol=0.0, max_iter=20, random_state=3, **settings)
    with pytest.warns(ConvergenceWarning):
        return model.fit(rows, sample_weight=sample_weight)


def assert_same_model(found, expected):
    """Equal but for the rounding of sums in another order, grown over the passes of a fit."""
    for name in FITTED:
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-9)
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("init_params", STARTS)
def test_an_integer_weight_is_repetition(rows, counts, init_params, covariance_type):
    settings = {"init_params": init_params, "covariance_type": covariance_type}
    weighted = fit(rows, counts, **settings)
    repeated = fit(np.repeat(rows, counts, axis=0), **settings)
    assert_same_model(weighted, repeated)
    assert weighted.bic(rows, sample_weight=counts) == pytest.approx(
        repeated.bic(np.repeat(rows, counts, axis=0)), rel=1e-9
    )


@pytest.mark.parametrize("init_params", STARTS)
def test_weight_zero_is_a_row_dropped(rows, counts, init_params):
    kept = counts > 0
    weighted = fit(rows, counts, init_params=init_params)
    dropped = fit(rows[kept], counts[kept], init_params=init_params)
    assert_same_model(weighted, dropped)
    assert weighted.n_rows_ == dropped.n_rows_ == kept.sum()


@pytest.mark.parametrize("init_params", STARTS)
def test_the_order_of_rows_does_not_matter(rows, rng, init_params):
    shuffled = fit(rng.permutation(rows), init_params=init_params)
    assert_same_model(shuffled, fit(rows, init_params=init_params))


@pytest.mark.parametrize("init_params", STARTS)
def test_weights_have_no_unit(rows, counts, init_params):
    assert_same_model(
        fit(rows, counts * 4.0, init_params=init_params), fit(rows, counts, init_params=init_params)
    )


def test_no_weights_are_weights_of_one(rows):
    plain, weighted = fit(rows), fit(rows, np.ones(len(rows)))
    for name in FITTED:
        assert_array_equal(getattr(plain, name), getattr(weighted, name))
    assert plain.score(rows) == weighted.score(rows, sample_weight=1.0)


def test_the_score_is_the_weighted_mean(rows, counts):
    model = fit(rows)
    expected = np.average(model.score_samples(rows), weights=counts)
    assert model.score(rows, sample_weight=counts) == pytest.approx(expected, rel=1e-12)


def test_criteria_count_the_weights_as_rows(rows, counts):
    model = fit(rows)
    total = counts @ model.score_samples(rows)
    free = model._n_parameters()
    assert model.aic(rows, sample_weight=counts) == pytest.approx(-2 * total + 2 * free)
    assert model.bic(rows, sample_weight=counts) == pytest.approx(
        -2 * total + free * np.log(counts.sum())
    )
