"""The likelihood of rows whose components are known follows from their sums."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.mixture.complete_data import CompleteData
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.known import sums_by_label
from fastgmm.sources import open_source


def case_of(structure, n_features, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    truth = naive.random_mixture(structure, 4, n_features, rng, offset)
    rows = naive.random_rows(truth, 90, rng)
    labels = rng.integers(-1, 3, len(rows))
    weights = rng.dirichlet(np.full(4, 5.0))
    means = truth.means + rng.normal(size=truth.means.shape)
    parameters = Parameters.from_covariances(structure, weights, means, 1.5 * truth.covariances)
    return (
        rows,
        labels,
        parameters,
        sums_by_label(open_source(rows), labels, 3, parameters.structure),
    )


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_sums_and_likelihood_agree_with_the_rows(structure, n_features, offset):
    rows, labels, parameters, sums = case_of(structure, n_features, offset)
    found = CompleteData(sums).under(parameters)
    shares = np.eye(5)[labels][:, :4]  # -1 is the last, which is cut off
    densities = naive.log_densities(
        rows, parameters.weights, parameters.means, parameters.covariances, structure
    )
    expected = float((shares * densities).sum())
    # squares of coordinates at 1e6 have 1e-16 of 1e12 as their rounding
    assert found.log_likelihood == pytest.approx(expected, rel=1e-11 if offset == 0 else 1e-8)
    assert_allclose(found.weight, shares.sum(axis=0))
    away = rows[:, None] - parameters.means
    assert_allclose(found.first, np.einsum("ik,ikj->kj", shares, away), atol=1e-7)
    products = np.einsum("ik,ika,ikb->kab", shares, away, away)
    assert_allclose(found.second, naive.in_shape_of(structure, products), rtol=1e-6, atol=1e-6)
    assert found.n_rows == (labels >= 0).sum() == found.row_weight
    assert_array_equal(found.origin, parameters.means)


def test_digits_stay_where_axes_differ_by_many_orders():
    """A product with the precision would be off by 1e-4: the axes' variances are 1e12 apart."""
    rng = np.random.default_rng(2)
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    z = rng.normal(size=(200, 2))
    rows = z * [1e3, 1e-3] @ turn.T
    covariance = turn @ np.diag([1e6, 1e-6]) @ turn.T
    covariance = 0.5 * (covariance + covariance.T)
    parameters = Parameters.from_covariances("full", [1.0], np.zeros((1, 2)), covariance[None])
    sums = sums_by_label(open_source(rows), np.zeros(200, int), 1, parameters.structure)
    found = CompleteData(sums).under(parameters).log_likelihood
    exact = -0.5 * float((z**2).sum()) - 200 * np.log(2 * np.pi)
    assert found == pytest.approx(exact, rel=1e-5)


def test_a_class_without_rows_says_nothing(structure):
    rows, labels, parameters, _ = case_of(structure, 2)
    labels = np.where(labels == 1, -1, labels)
    sums = sums_by_label(open_source(rows), labels, 3, parameters.structure)
    found = CompleteData(sums).under(parameters)
    assert np.isfinite(found.log_likelihood)
    assert found.weight[1] == 0.0
