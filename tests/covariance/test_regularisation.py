"""`reg_covar_relative`: what is added to a variance is a part of it, whatever the units."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastgmm
from fastgmm import DegenerateComponentWarning, GaussianMixture
from fastgmm.covariance import family
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source, with_weights

TYPES = ["full", "tied", "diag", "spherical"]


def blobs(seed=0):
    """Two oblong clusters, 200 rows each."""
    rows = np.random.default_rng(seed).normal(size=(400, 3)) @ [[2, 1, 0], [0, 1, 0], [0, 0.5, 1]]
    rows[:200] += 6.0
    return rows


def fitted(rows, kind, **settings):
    settings = {"reg_covar": 1e-3, "reg_covar_relative": True, "random_state": 0} | settings
    return GaussianMixture(2, covariance_type=kind, **settings).fit(rows)


@pytest.mark.parametrize("exponent", [-40, -17, 30])  # 1e-12, 1e-5, 1e9
@pytest.mark.parametrize("kind", TYPES)
def test_the_unit_of_the_data_does_not_matter(kind, exponent):
    unit = 2.0**exponent
    here, there = fitted(blobs(), kind), fitted(blobs() * unit, kind)
    # a power of two is exact but in log-likelihoods, which shift by its logarithm: 1e-15 of 30
    assert_allclose(there.weights_, here.weights_, rtol=1e-10)
    assert_allclose(there.means_ / unit, here.means_, rtol=1e-10)
    assert_allclose(there.covariances_ / unit**2, here.covariances_, rtol=1e-10, atol=1e-12)
    assert_allclose(there.lower_bound_ + 3 * np.log(unit), here.lower_bound_, rtol=1e-10)


@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
def test_features_of_any_units_are_fitted_together(kind):
    units = np.array([1e-6, 1.0, 1e6])
    settings = {"tol": 1e-12, "max_iter": 500}
    here, there = fitted(blobs(), kind, **settings), fitted(blobs() * units, kind, **settings)
    order, same = np.argsort(here.means_[:, 0]), np.argsort(there.means_[:, 0])
    scale = units if kind == "diag" else np.outer(units, units)
    scale = units**2 if kind == "diag" else scale
    ours = slice(None) if kind == "tied" else order
    theirs = slice(None) if kind == "tied" else same
    assert_allclose(there.means_[same] / units, here.means_[order], rtol=1e-6)
    assert_allclose(
        there.covariances_[theirs] / scale, here.covariances_[ours], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("kind", TYPES)
def test_data_that_reg_covar_drowns_is_told_of_the_way_out(kind):
    small = blobs() * 1e-5
    with pytest.warns(DegenerateComponentWarning, match="reg_covar adds 1e-06.*0, 1, 2.*relative"):
        GaussianMixture(2, covariance_type=kind, random_state=0).fit(small)
    fitted(small, kind)  # in silence
    mixed = blobs() * [1e-6, 1.0, 1.0]
    with pytest.warns(DegenerateComponentWarning, match="reg_covar adds 1e-06 .* feature 0: use"):
        GaussianMixture(2, covariance_type=kind, random_state=0).fit(mixed)


def test_one_component_has_its_variances_raised_by_that_part():
    rows = np.random.default_rng(0).normal(size=(300, 2)) * [1e-4, 50.0]
    weights = np.random.default_rng(1).random(300)
    model = GaussianMixture(1, reg_covar=0.01, reg_covar_relative=True, random_state=0)
    model.fit(rows, sample_weight=weights)
    exact = np.cov(rows.T, aweights=weights, ddof=0)
    assert_allclose(model.covariances_[0], exact * (1.0 + 0.01 * np.eye(2)), rtol=1e-12)


def test_a_sphere_takes_the_mean_and_a_tied_covariance_each():
    statistics = draw_and_sum(np.random.default_rng(0).normal(size=(50, 2)))
    added = np.array([1.0, 3.0])
    for kind, expected in (("spherical", 2.0), ("tied", np.diag(added)), ("diag", added)):
        structure = family(kind).structure
        found = family(kind).estimate(statistics[structure], np.zeros((1, 2)), added)
        without = family(kind).estimate(statistics[structure], np.zeros((1, 2)), 0.0)
        assert_allclose((found - without).squeeze(), expected, rtol=1e-12)


def draw_and_sum(rows):
    """Statistics of one component about zero, by structure."""
    from fastgmm import passes
    from fastgmm.mixture.parameters import Parameters

    source = open_source(rows)
    ones = {"spherical": np.ones(1), "tied": np.eye(2), "diagonal": np.ones((1, 2))}
    return {
        structure: passes.statistics(
            source, [Parameters.from_covariances(structure, [1.0], np.zeros((1, 2)), one)]
        )[0]
        for structure, one in ones.items()
    }


def test_a_constant_feature_is_given_reg_covar_itself():
    rows = np.c_[blobs(), np.full(400, 7.7)]
    with pytest.warns(DegenerateComponentWarning, match="feature 3 is constant"):
        model = fitted(rows, "full")
    assert_allclose(model.covariances_[:, 3, 3], 1e-3, rtol=1e-9)


def test_a_start_that_is_given_is_regularised_alike():
    here = fitted(blobs(), "full")
    given = {
        "weights_init": here.weights_,
        "means_init": here.means_,
        "precisions_init": here.precisions_,
    }
    again = fitted(blobs(), "full", **given)
    assert_allclose(again.means_, here.means_, rtol=1e-2)
    variances = np.einsum("kii->ki", again.covariances_)
    plain = fitted(blobs(), "full", reg_covar=0.0, **given)
    raised = variances - np.einsum("kii->ki", plain.covariances_)
    assert_allclose(raised.mean(axis=0), 1e-3 * blobs().var(axis=0), rtol=0.05)


def test_selection_is_of_any_units():
    unit = 2.0**-30
    found = [
        fastgmm.select(rows, range(1, 4), random_state=0, reg_covar_relative=True)
        for rows in (blobs(), blobs() * unit)
    ]
    assert found[0].best_estimator_.n_components == found[1].best_estimator_.n_components == 2
    assert_allclose(found[1].best_estimator_.means_ / unit, found[0].best_estimator_.means_)
    assert found[1].best_estimator_.reg_covar_relative


def test_the_sample_knows_constants_exactly_and_weights():
    rows = np.c_[np.full(100, 0.1), np.arange(100.0)]
    weights = np.arange(100.0)
    sample = draw_sample(with_weights(open_source(rows), weights), np.random.default_rng(0))
    from fastgmm.passes.subsample import feature_variances

    exact = np.average((rows[:, 1] - np.average(rows[:, 1], weights=weights)) ** 2, weights=weights)
    assert_array_equal(feature_variances(sample)[0], 0.0)
    assert_allclose(feature_variances(sample)[1], exact, rtol=1e-12)
