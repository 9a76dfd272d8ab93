"""Settings at their limits and past them (58-67)."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from fastgmm import AutoGaussianMixture, GaussianMixture, select
from fastgmm.cli import main
from fastgmm.errors import DegenerateComponentWarning

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(7)
    return np.vstack([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + 7.0])


def fit(rows, n_components=2, **settings):
    return GaussianMixture(n_components, **({"random_state": 0} | settings)).fit(rows)


def refused(rows, words, error=InvalidParameterError, **settings):
    model = GaussianMixture(**({"n_components": 2, "random_state": 0} | settings))
    with pytest.raises(error, match=words):
        model.fit(rows)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, True, np.True_, "3", None, np.float64(2)])
def test_what_is_no_number_of_components_is_refused(rows, value):
    refused(rows, "'n_components' parameter of GaussianMixture must be", n_components=value)


def test_numpys_integers_are_numbers_of_components(rows):
    assert fit(rows, np.int64(2)).means_.shape == (2, 3)
    refused(rows, "n_components = 301, n_samples = 300", ValueError, n_components=301)
    with pytest.raises(ValueError, match="n_components"):
        AutoGaussianMixture([1, True]).fit(rows)


@pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf, "small", True])
def test_a_tolerance_that_is_none_is_refused(rows, value):
    refused(rows, "'tol' parameter", tol=value)


@pytest.mark.parametrize("value", [-1, 2.5, True, np.inf])
def test_a_number_of_passes_that_is_none_is_refused(rows, value):
    refused(rows, "'max_iter' parameter", max_iter=value)


def test_tolerance_0_uses_every_pass_and_0_passes_keep_the_start(rows):
    with pytest.warns(ConvergenceWarning):
        model = fit(rows, tol=0, max_iter=9)
    assert model.n_iter_ == 9
    assert not model.converged_
    start = rows[[0, -1]]
    assert_array_equal(fit(rows, max_iter=0, means_init=start).means_, start)


@pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf, 1e300, "small", True])
def test_a_regularisation_that_is_none_is_refused(rows, value):
    refused(rows, "'reg_covar' parameter", reg_covar=value)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_regularisation_from_nothing_to_huge_gives_numbers(rows, covariance_type):
    assert np.isfinite(fit(rows, reg_covar=0, covariance_type=covariance_type).precisions_).all()
    with pytest.warns(DegenerateComponentWarning, match="reg_covar adds"):
        huge = fit(rows, reg_covar=1e280, covariance_type=covariance_type)
    assert np.isfinite(huge.precisions_).all()
    assert np.isfinite(huge.score(rows))


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ([[np.nan] * 3] * 2, "contains NaN"),
        ([[0.0] * 3], r"shape of \(2, 3\), but got \(1, 3\)"),
        ([["a", "b", "c"]] * 2, "could not convert"),
    ],
    ids=["NaN", "shape", "text"],
)
def test_means_that_are_none_are_refused_by_their_argument(rows, means, words):
    refused(rows, f"means_init: .*{words}", ValueError, means_init=means)


def test_means_far_from_all_rows_are_warned_of(rows):
    with pytest.warns(DegenerateComponentWarning, match="component 1"):
        fit(rows, means_init=[[0.0] * 3, [1e6] * 3])


def test_equal_means_start_a_fit_all_the_same(rows):
    model = fit(rows, means_init=[[1.0] * 3] * 2)
    assert_allclose(model.weights_.sum(), 1.0, rtol=1e-15)
    assert np.isfinite(model.means_).all()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0.5, 0.6], r"normalized, but got sum\(weights\) = 1.10000"),
        ([0.0, 1.0], "component 0 starts with weight 0"),
        ([-0.5, 1.5], r"in the range .* \(component 0 has -0.50000\)"),
        ([np.nan, 1.0], "NaN"),
        ([1.0], "shape"),
        (["a", "b"], "could not convert"),
    ],
    ids=["sum", "zero", "negative", "NaN", "shape", "text"],
)
def test_weights_that_are_none_are_refused_by_their_argument(rows, weights, words):
    refused(rows, f"weights_init: .*{words}", ValueError, weights_init=weights)


SKEW = np.eye(3) + np.triu(np.ones((3, 3)), 1)


@pytest.mark.parametrize(
    ("kind", "precisions", "words"),
    [
        ("full", [np.eye(3), SKEW], "symmetric, positive-definite; that of component 1 is not"),
        ("full", [-np.eye(3), np.eye(3)], "component 0 is not"),
        ("full", np.eye(3), r"shape of \(2, 3, 3\), but got \(3, 3\)"),
        ("full", [np.eye(3) * np.nan] * 2, "NaN"),
        ("tied", [np.eye(3)] * 2, r"shape of \(3, 3\)"),
        ("tied", -np.eye(3), "positive-definite"),
        ("diag", [[1, 1, 1], [1, 0, 1]], "positive; that of component 1"),
        ("spherical", [1, -1], "positive; that of component 1"),
    ],
    ids=str,
)
def test_precisions_that_are_none_are_refused_by_their_argument(rows, kind, precisions, words):
    settings = {"covariance_type": kind, "precisions_init": precisions}
    refused(rows, f"precisions_init: .*{words}", ValueError, **settings)


@pytest.mark.parametrize(
    "change", [{"n_components": 3}, {"covariance_type": "diag"}, {"n_features": 2}], ids=str
)
def test_warm_start_refuses_another_shape_and_keeps_the_model(rows, change):
    model = fit(rows, warm_start=True)
    means = model.means_.copy()
    n_features = dict(change).pop("n_features", 3)
    model.set_params(**{k: v for k, v in change.items() if k != "n_features"})
    with pytest.raises(ValueError, match=r"warm_start cannot go .*warm_start=False"):
        model.fit(rows[:, :n_features])
    assert_array_equal(model.means_, means)


def test_warm_start_follows_the_type_of_the_rows(rows):
    model = fit(rows, warm_start=True)
    double = model.means_
    assert model.fit(rows.astype(np.float32)).means_.dtype == np.float32
    assert_allclose(model.means_, double, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "value", "near"),
    [
        ("covariance_type", "ful", "full"),
        ("covariance_type", "diagonal", "diag"),
        ("covariance_type", "Spherical", "spherical"),
        ("init_params", "kmean", "kmeans"),
        ("init_params", "k-means", "kmeans"),
        ("init_params", "random_from_dat", "random_from_data"),
    ],
)
def test_a_misspelt_word_is_refused_with_the_nearest(rows, setting, value, near):
    refused(rows, f"'{setting}' parameter .*did you mean '{near}'", **{setting: value})


def test_a_word_like_no_other_is_refused_with_all_there_are(rows):
    among = (
        "'diag', 'factors', 'full', 'ppca', 'spherical', 'tied', 'tied-diagonal', 'tied-spherical'}"
    )
    refused(rows, f"among {{'EEE', .*{among}. Got 'xyz'", covariance_type="xyz")
    with pytest.raises(ValueError, match="did you mean 'full'"):
        select(rows, n_components=[1], covariance_type="ful")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-k", "0"], "the option --components (-k) must be an int"),
        (["-k", "2", "--covariance", "ful"], "the option --covariance must be"),
        (["-k", "2", "--init", "kmean"], "did you mean 'kmeans'"),
        (["-k", "2", "--reg-covar", "-1"], "the option --reg-covar must be"),
    ],
    ids=["components", "covariance", "init", "reg-covar"],
)
def test_the_command_line_names_its_own_options(
    rows, tmp_path, monkeypatch, capsys, options, words
):
    np.save(tmp_path / "rows.npy", rows)
    monkeypatch.setattr(sys, "argv", ["fastgmm", "fit", str(tmp_path / "rows.npy"), *options])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert words in capsys.readouterr().err


SEEDS = {
    "int": lambda: 5,
    "NumPy's int": lambda: np.int64(5),
    "RandomState": lambda: np.random.RandomState(5),
    "Generator": lambda: np.random.default_rng(5),
    "SeedSequence": lambda: np.random.SeedSequence(5),
}


@pytest.mark.parametrize("kind", SEEDS)
def test_the_same_seed_gives_the_same_bits_at_any_number_of_threads(rows, kind):
    from numba import get_num_threads, set_num_threads

    before, found = get_num_threads(), []
    try:
        for n_threads in (1, before):
            set_num_threads(n_threads)
            model = fit(rows, 3, random_state=SEEDS[kind](), init_params="random_from_data")
            found.append((model.means_, model.sample(5)[0]))
    finally:
        set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("value", ["seed", -1, 2.5, 2**32])
def test_what_is_no_seed_is_refused(rows, value):
    refused(rows, "'random_state' parameter", random_state=value)


def test_a_fit_changes_no_setting(rows):
    means, weights = rows[[0, -1]].copy(), np.array([0.4, 0.6])
    settings = {"means_init": means, "weights_init": weights, "covariance_type": "diag"}
    model = GaussianMixture(2, **settings)
    before = model.get_params()
    model.fit(rows)
    after = model.get_params()
    assert before.keys() == after.keys()
    assert all(after[name] is before[name] for name in before)
    assert_array_equal(means, rows[[0, -1]])
    copy = clone(model)
    assert not hasattr(copy, "means_")
    assert_array_equal(copy.fit(rows).means_, model.means_)
    assert copy.set_params(tol=0.5).get_params()["tol"] == 0.5
    with pytest.raises(ValueError, match="Invalid parameter 'tolerance'"):
        copy.set_params(tolerance=1)
