"""Rows that a mixture cannot describe as asked: what is said, and that all stays finite."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from covariance.letters import assert_of
from numpy.testing import assert_allclose

import fastgmm
from fastgmm import DegenerateComponentWarning, DegenerateCovarianceError, GaussianMixture
from fastgmm.covariance import ALL

TYPES = ["full", "tied", "diag", "spherical"]
MATRICES = ["full", "tied"]


def blobs(seed=0):
    """Two round clusters, 150 rows each, six deviations apart in every feature."""
    rows = np.random.default_rng(seed).normal(size=(300, 3))
    rows[:150] += 6.0
    return rows


def warned(rows, match, n_components=2, **settings):
    """Fit, and be told so once; all that is published is finite."""
    model = GaussianMixture(n_components, random_state=0, **settings)
    with pytest.warns(DegenerateComponentWarning, match=match) as said:
        model.fit(rows)
    assert len(said) == 1
    assert_finite(model)
    return model


def assert_finite(model):
    for name in ("weights_", "means_", "covariances_", "precisions_", "lower_bounds_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert_allclose(model.weights_.sum(), 1.0)


@pytest.mark.parametrize("kind", TYPES)
def test_sound_fits_are_silent(kind):  # warnings are errors here
    GaussianMixture(2, covariance_type=kind, random_state=0).fit(blobs())


@pytest.mark.parametrize("kind", TYPES)
def test_equal_rows_are_said_to_need_one_component(kind):
    model = warned(np.full((50, 3), 7.7), "all rows are the same", 3, covariance_type=kind)
    assert_allclose(model.means_, 7.7)


@pytest.mark.parametrize("kind", TYPES)
def test_equal_rows_without_reg_covar_are_refused_by_component_and_feature(kind):
    model = GaussianMixture(3, covariance_type=kind, reg_covar=0.0)
    with pytest.raises(DegenerateCovarianceError, match=r"ill-defined.*Found at") as caught:
        model.fit(np.full((50, 3), 7.7))
    assert caught.value.component == (None if kind == "tied" else 0)
    assert caught.value.feature == (None if kind == "spherical" else 0)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("kind", TYPES)
def test_a_constant_column_is_named(kind):
    names = ["width", "height", "depth", "batch"]
    found = []
    for value in (0.0, 7.7):
        table = pd.DataFrame(np.c_[blobs(), np.full(300, value)], columns=names)
        found.append(warned(table, "feature 'batch' is constant", covariance_type=kind))
    # the value's rounding may turn a draw of the start, and so the order of the components
    here, there = (np.argsort(model.means_[:, 0]) for model in found)
    assert_allclose(found[0].weights_[here], found[1].weights_[there], rtol=1e-9)
    assert_allclose(found[0].means_[here, :3], found[1].means_[there, :3], rtol=1e-6, atol=1e-6)
    assert_allclose(found[0].lower_bound_, found[1].lower_bound_, rtol=1e-9)


def long_clusters(seed=0):
    """Four clusters of unlike volumes, shapes and axes, which overlap."""
    rows = np.random.default_rng(seed).normal(size=(600, 2))
    rows *= np.repeat([[0.3, 0.6], [1.0, 1.0], [2.0, 1.0], [0.5, 3.0]], 150, axis=0)
    rows[450:] = rows[450:] @ [[0.8, -0.6], [0.6, 0.8]]
    return rows + np.repeat([[0, 0], [2, 0], [0, 3], [3, 3]], 150, axis=0)


FLAT = {  # what else features hold, and what is said of it
    "constant": (lambda rows: np.full(len(rows), 7.7), "feature 2 is constant"),
    "twin": (lambda rows: rows[:, 0], "features 0, 2 are linearly dependent"),
    "sum": (lambda rows: rows @ [1.0, -2.0], "features 0, 1, 2 are linearly dependent"),
}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
@pytest.mark.parametrize("flat", FLAT)
@pytest.mark.parametrize("settings", [{}, {"prior": None}, {"reg_covar_relative": True}])
def test_of_flat_rows_each_family_is_fitted_as_it_is_or_says_what_is_flat(kind, flat, settings):
    of_rows, said = FLAT[flat]
    rows = long_clusters()
    rows = np.c_[rows, of_rows(rows)]
    settings = {"covariance_type": kind.name} | settings
    sees = flat == "constant" or not kind.structure.is_axis_parallel
    if sees:
        model = warned(rows, said, 4, **settings)
    else:
        model = GaussianMixture(4, random_state=0, **settings).fit(rows)
        assert_finite(model)
    assert model.converged_
    assert_of(kind, model.covariances_, n_features=3)
    scores = model.score_samples(rows)
    assert np.isfinite(scores).all()
    assert_allclose(model.predict_proba(rows).sum(axis=1), 1.0)
    # the shape of a sphere is none of a feature's own
    if sees and kind.structure.tells_features_apart:
        with pytest.raises(DegenerateCovarianceError, match=r"reg_covar"):
            GaussianMixture(4, random_state=0, **settings | {"reg_covar": 0.0}).fit(rows)


def test_a_constant_column_is_seen_without_a_sample():
    start = GaussianMixture(2, random_state=0).fit(blobs()[:, :2])
    given = {
        "weights_init": start.weights_,
        "means_init": np.c_[start.means_, np.zeros(2)],
        "precisions_init": [np.eye(3)] * 2,
    }
    warned(np.c_[blobs()[:, :2], np.full(300, 0.1)], "feature 2 is constant", **given)


@pytest.mark.parametrize("kind", MATRICES)
def test_dependent_columns_are_named_with_the_condition_number(kind):
    rows = blobs()
    table = np.c_[rows, rows[:, 0] - rows[:, 2]]
    warned(table, "features 0, 2, 3 are linearly.*condition number", covariance_type=kind)


@pytest.mark.parametrize("kind", MATRICES)
def test_a_one_hot_block_is_dependent(kind):
    block = np.eye(3)[np.random.default_rng(1).integers(3, size=300)]
    warned(np.c_[blobs(), block], "features 3, 4, 5 are linearly dep", covariance_type=kind)


@pytest.mark.parametrize("kind", TYPES)
def test_fewer_different_rows_than_components_are_counted(kind):
    rows = np.repeat(np.random.default_rng(0).normal(size=(3, 2)), 20, axis=0)
    warned(rows, "only 3 rows differ, for 5 components", 5, covariance_type=kind)


@pytest.mark.parametrize("kind", TYPES)
def test_as_many_components_as_rows_hold_one_row_each(kind):
    rows = np.random.default_rng(0).normal(size=(5, 2))
    settings = {"prior": None, "covariance_type": kind}
    warned(rows, "components 0, 1, 2, 3, 4 hold one row each", 5, **settings)


@pytest.mark.parametrize("kind", MATRICES)
def test_fewer_rows_than_features_are_told_of_other_types(kind):
    rows = np.random.default_rng(0).normal(size=(5, 10))
    warned(rows, "5 rows do not fill 10 dim.*'diag'", 1, covariance_type=kind)


@pytest.mark.parametrize("kind", TYPES)
def test_numbers_too_far_apart_for_the_variance_are_told_of(kind):
    model = warned(blobs() + 1e15, "float64 numbers are 0.125 apart", covariance_type=kind)
    near = GaussianMixture(2, covariance_type=kind, random_state=0).fit(blobs())
    # rounding to multiples of 1/8 adds 1/8² / 12 = 0.0013 to a variance of 1, or to a tied one
    variances = [np.sort(np.ravel(each.covariances_).round(2)) for each in (near, model)]
    assert_allclose(*variances, atol=0.03)


def test_single_precision_is_told_of_where_it_is_too_coarse():
    rows = (blobs() + 1e6).astype(np.float32)
    warned(rows, "float32 numbers are 0.0625 apart")


@pytest.mark.parametrize("kind", TYPES)
def test_an_outlier_of_1e10_is_told_of_as_one_row(kind):
    rows = blobs()
    rows[0] = 1e10
    way_out = "drop it if it is an outlier, or use fewer components"
    settings = {"prior": None, "covariance_type": kind}
    model = warned(rows, f"component [012] holds one row: {way_out}", 3, **settings)
    assert_allclose(np.sort(model.weights_), [1 / 300, 149 / 300, 150 / 300], rtol=1e-3)


def test_a_component_on_a_line_is_named_with_the_way_out():
    rows = blobs()
    rows[:8] = 40.0 + np.arange(8)[:, None] * [1.0, 2.0, 3.0]
    way_out = "use fewer components, a larger reg_covar, or covariance_type='tied'"
    warned(rows, rf"component [012] \(about 8 rows\) is singular: only reg_covar .*; {way_out}", 3)


@pytest.mark.parametrize("kind", TYPES)
def test_a_component_for_a_distant_row_is_named(kind):
    rows = blobs()
    rows[0] = 60.0
    settings = {"prior": None, "covariance_type": kind}
    warned(rows, "component [012] (holds one row|.* is singular)", 3, **settings)


@pytest.mark.parametrize("kind", TYPES)
def test_a_component_that_a_far_start_starves_is_named(kind):
    means = np.array([[0.0, 0.0, 0.0], [1e6, 1e6, 1e6]])
    model = warned(
        blobs(), "component 1 holds no row.*another start", means_init=means, covariance_type=kind
    )
    assert model.weights_[1] == 0.0
    assert_allclose(model.means_[1], means[1])


def test_chosen_mixtures_are_judged_too():
    rows = np.c_[blobs(), np.ones(300)]
    with pytest.warns(DegenerateComponentWarning, match="feature 3 is constant"):
        fastgmm.select(rows, [1, 2], "full", random_state=0)


def test_a_start_that_no_pass_has_seen_is_not_judged():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(2, max_iter=0, random_state=0).fit(np.c_[blobs(), np.ones(300)])
