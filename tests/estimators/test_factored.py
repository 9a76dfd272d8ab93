"""GaussianMixture with factors: what it publishes, keeps, refuses, and reads in any way."""

from __future__ import annotations

import pickle
import tracemalloc

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastgmm
from fastgmm import BayesianGaussianMixture, GaussianMixture, StudentTMixture
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.estimators import factored


def drawn():
    rng = np.random.default_rng(7)
    loadings, means = rng.normal(size=(3, 10, 2)), 4.0 * rng.normal(size=(3, 10))
    labels = rng.integers(3, size=1200)
    shared = np.einsum("njq,nq->nj", loadings[labels], rng.normal(size=(1200, 2)))
    return means[labels] + shared + 0.5 * rng.normal(size=(1200, 10)), means


ROWS, MEANS = drawn()


def mixture(**settings):
    settings = {"n_factors": 2, "random_state": 0} | settings
    return GaussianMixture(3, covariance_type="factors", **settings)


@pytest.fixture(scope="module")
def fitted():
    return mixture().fit(ROWS)


def test_it_finds_the_components(fitted):
    assert fitted.converged_
    for mean in MEANS:
        assert np.abs(fitted.means_ - mean).max(axis=1).min() < 0.3
    assert np.diff(fitted.lower_bounds_).min() > -1e-12
    assert_allclose(fitted.score(ROWS), fitted.lower_bound_, atol=1e-6)
    full = GaussianMixture(3, random_state=0).fit(ROWS)
    assert fitted.bic(ROWS) < full.bic(ROWS)
    assert_allclose(fitted.noise_variance_, 0.25, atol=0.1)


def test_what_is_published(fitted):
    assert fitted.components_.shape == (3, 2, 10)
    assert fitted.noise_variance_.shape == (3, 10)
    whole = fitted.components_.swapaxes(1, 2) @ fitted.components_
    whole += fitted.noise_variance_[:, None] * np.eye(10)
    assert_allclose(fitted.covariances_, whole, atol=1e-12)
    assert_allclose(fitted.precisions_ @ whole, np.stack([np.eye(10)] * 3), atol=1e-9)
    upper = fitted.precisions_cholesky_
    assert_allclose(upper @ upper.swapaxes(1, 2), fitted.precisions_, rtol=1e-9, atol=1e-9)
    assert "covariances_" not in vars(fitted)
    beside = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, fitted.covariances_)
    assert_allclose(fitted.score_samples(ROWS), beside.score_samples(ROWS), rtol=1e-9)
    assert_allclose(fitted.predict_proba(ROWS), beside.predict_proba(ROWS), atol=1e-8)
    n_parameters = 3 * (20 - 1 + 10 + 10) + 2
    total = 1200 * fitted.score(ROWS)
    assert_allclose(fitted.aic(ROWS), 2 * n_parameters - 2 * total)


def test_matrices_that_are_too_large_are_not_made(fitted, monkeypatch):
    monkeypatch.setattr(factored, "MOST_BYTES", 1000)
    with pytest.raises(AttributeError, match="covariances_ would take 2,400 bytes; components_"):
        fitted.covariances_  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'covariance_'"):
        fitted.covariance_  # noqa: B018


def test_rows_that_are_drawn_have_its_covariances(fitted):
    rows, labels = fitted.sample(60_000)
    for k in range(3):
        assert_allclose(np.cov(rows[labels == k].T), fitted.covariances_[k], atol=0.12)


def test_files_and_pickles_keep_it(fitted, tmp_path):
    fitted.save(tmp_path / "model.npz")
    again = fastgmm.load(tmp_path / "model.npz")
    assert again.n_factors == 2
    for other in (again, pickle.loads(pickle.dumps(fitted))):
        assert_array_equal(other.score_samples(ROWS), fitted.score_samples(ROWS))
        assert_array_equal(other.components_, fitted.components_)
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "model.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_any_way_in_gives_the_same_bits(fitted, tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    ways = (
        str(tmp_path / "rows.npy"),
        lambda: iter([ROWS[:500], ROWS[500:]]),
        np.asfortranarray(ROWS),
    )
    for way in ways:
        assert_array_equal(mixture().fit(way).components_, fitted.components_)
    many, found = np.concatenate([ROWS + 0.01 * i for i in range(20)]), []
    before = numba.get_num_threads()
    try:
        for n_threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS + 1)):
            numba.set_num_threads(n_threads)
            found.append(mixture(max_iter=3, tol=1e9).fit(many).components_)
    finally:
        numba.set_num_threads(before)
    assert_array_equal(found[0], found[-1])


def test_dask_collections_lead_there(fitted):
    array = pytest.importorskip("dask.array")
    found = mixture().fit(array.from_array(ROWS, chunks=(500, 10)))
    assert_allclose(found.components_, fitted.components_, atol=1e-6)
    labels = found.predict(array.from_array(ROWS, chunks=(500, 10)))
    assert_array_equal(np.asarray(labels), fitted.predict(ROWS))


def test_a_checkpoint_goes_on_with_the_same_bits(fitted, tmp_path):
    path = tmp_path / "kept"
    with pytest.warns(match="did not converge"):
        mixture(max_iter=7).fit(ROWS, checkpoint=tmp_path / "short")
    for _ in range(2):
        assert_array_equal(mixture().fit(ROWS, checkpoint=path).components_, fitted.components_)


def test_a_weight_is_as_many_rows():
    weights = np.random.default_rng(0).integers(0, 3, len(ROWS))
    repeated = np.repeat(ROWS, weights, axis=0)
    settings = {"means_init": MEANS, "tol": 1e-10}
    one = mixture(**settings).fit(ROWS, sample_weight=weights)
    other = mixture(**settings).fit(repeated)
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-8)


def test_a_start_that_is_given_is_where_it_begins():
    weights = [0.2, 0.3, 0.5]
    begun = mixture(means_init=MEANS, weights_init=weights, max_iter=0).fit(ROWS)
    assert_array_equal(begun.means_, MEANS)
    assert_array_equal(begun.weights_, weights)
    assert begun.components_.any()
    going_on = mixture(warm_start=True).fit(ROWS)
    before = going_on.lower_bound_
    assert going_on.fit(ROWS).lower_bound_ >= before - 1e-12
    for settings in ({"n_factors": 3}, {"covariance_type": "full", "n_factors": None}):
        with pytest.raises(ValueError, match="warm_start cannot go"):
            going_on.set_params(**settings).fit(ROWS)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_start_leads_somewhere(init_params):
    found = mixture(init_params=init_params, tol=1e-3).fit(ROWS)
    assert np.isfinite(found.lower_bound_)
    assert np.diff(found.lower_bounds_).min() > -1e-12


def test_single_precision_is_near_double(fitted):
    found = mixture(means_init=MEANS).fit(ROWS.astype(np.float32))
    assert found.components_.dtype == np.float32
    assert abs(found.lower_bound_ - fitted.lower_bound_) < 1e-4


def test_constant_and_equal_features_stay_at_the_floor_and_are_named():
    rows = np.column_stack([ROWS, np.ones(len(ROWS)), ROWS[:, 0]])
    with pytest.warns(DegenerateComponentWarning, match="feature 10 is constant"):
        found = mixture(reg_covar=1e-4).fit(rows)
    assert_allclose(found.noise_variance_[:, 10], 1e-4)
    assert found.noise_variance_[:, [0, 11]].min() == pytest.approx(1e-4)  # a Heywood case
    assert np.diff(found.lower_bounds_).min() > -1e-9


@pytest.mark.slow
def test_wide_rows_need_no_matrix():
    rng = np.random.default_rng(0)
    n_features = 2048
    shared = rng.normal(size=(300, 3)) @ rng.normal(size=(3, n_features))
    rows = shared + rng.normal(size=(300, n_features))
    tracemalloc.start()
    try:
        found = mixture(n_factors=3, max_iter=5, tol=1e-2).fit(rows)
        found.score(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.components_.shape == (3, 3, n_features)
    assert peak < 8 * 3 * n_features**2 / 2  # half of what the three matrices would take
    as_bytes = (128 + 8 * rows).clip(0, 255).astype(np.uint8)
    assert np.isfinite(mixture(n_factors=3, max_iter=5, tol=1e3).fit(as_bytes).lower_bound_)


REFUSED = {
    "no number": ({"n_factors": None}, "covariance_type='factors' needs a number of factors"),
    "too many": ({"n_factors": 6}, "n_factors=6 is too many for 10 feature.*n_factors=5 or fewer"),
    "no factors": ({"covariance_type": "full"}, "n_factors=2 is of covariance_type='factors'"),
    "too many axes": ({"covariance_type": "ppca", "n_factors": 10}, "n_factors=9 or fewer"),
    "none": ({"n_factors": 0}, "n_factors.*Got 0"),
    "precisions": ({"precisions_init": np.ones((3, 10))}, "precisions_init=.*means_init"),
    "shares": ({"responsibilities_init": np.ones((1200, 3)) / 3}, "responsibilities_init=.*means"),
    "fixed": ({"fixed": {"means": "all"}}, "fixed=.*take covariance_type='full' or 'diag'"),
    "noise": ({"noise": True}, "noise=True cannot go with covariance_type='factors'"),
    "prior": ({"prior": 5.0}, "prior=5.0 cannot go with.*raise reg_covar"),
    "missing": ({"missing": "em"}, "missing='em' cannot go with.*take covariance_type='ppca'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_together_is_refused_in_a_sentence(name):
    settings, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        mixture().set_params(**settings).fit(ROWS)


def test_other_ways_to_fit_refuse_factors():
    with pytest.raises(ValueError, match=r"partial_fit cannot go with.*fit the rows as chunks"):
        mixture().partial_fit(ROWS)
    with pytest.raises(ValueError, match="labels cannot go with"):
        mixture().fit(ROWS, labels=np.zeros(len(ROWS), int))
    with pytest.raises(ValueError, match="compare their bic"):
        fastgmm.select(ROWS, 3, covariance_type=["factors"])
    for other in (StudentTMixture, BayesianGaussianMixture):
        with pytest.raises(ValueError, match="'factors'"):
            other(n_components=3, covariance_type="factors").fit(ROWS)


def test_principal_components_go_with_what_matrices_do(tmp_path):
    settings = {"covariance_type": "ppca", "n_factors": 2, "random_state": 0}
    model = GaussianMixture(3, **settings).fit(ROWS)
    assert model.components_.shape == (3, 2, 10)
    model.save(tmp_path / "model.npz")
    again = fastgmm.load(tmp_path / "model.npz")
    assert_array_equal(again.components_, model.components_)
    assert_array_equal(again.predict(ROWS), model.predict(ROWS))
    learned = GaussianMixture(3, **settings).fit(ROWS).partial_fit(ROWS[:300])
    variances = np.linalg.eigvalsh(learned.covariances_)[:, :-2]
    assert_allclose(variances, variances[:, :1] * np.ones(8), rtol=1e-8)
