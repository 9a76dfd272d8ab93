"""StudentTMixture: as GaussianMixture in every way in and out, and not moved by outliers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import f, multivariate_t
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from stops import disturbed

from fastgmm import ConjugatePrior, GaussianMixture, StudentTMixture, load
from fastgmm.covariance import FAMILIES

TYPES = ("full", "tied", "diag", "spherical")
FITTED = (
    "weights_",
    "means_",
    "scales_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "degrees_of_freedom_",
    "lower_bounds_",
)
CENTRES = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])


@pytest.fixture
def rows(rng):
    """Three clusters of heavy tails, shuffled."""
    return heavy(900, rng)


def heavy(n_rows, rng):
    """Rows of three t-distributions with 3 degrees of freedom."""
    tails = np.sqrt(3.0 / rng.chisquare(3.0, size=(n_rows, 1)))
    return CENTRES[rng.integers(3, size=n_rows)] + tails * rng.normal(size=(n_rows, 2))


def model_of(**settings):
    return StudentTMixture(**{"n_components": 3, "random_state": 0} | settings)


def assert_same(found, expected):
    for name in FITTED:
        assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_infinite_degrees_of_freedom_give_the_bits_of_a_gaussian_mixture(rows, covariance_type):
    settings = {"covariance_type": covariance_type}
    found = model_of(degrees_of_freedom=np.inf, **settings).fit(rows)
    expected = GaussianMixture(3, random_state=0, **settings).fit(rows)
    names = ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_")
    for name in names:
        assert_array_equal(getattr(found, name), getattr(expected, name))
    assert_array_equal(found.scales_, expected.covariances_)
    assert_array_equal(found.degrees_of_freedom_, np.full(3, np.inf))
    assert_array_equal(found.score_samples(rows), expected.score_samples(rows))
    assert_array_equal(found.predict_proba(rows), expected.predict_proba(rows))
    assert_array_equal(found.sample(50)[0], expected.sample(50)[0])
    assert found.bic(rows) == expected.bic(rows)
    found.partial_fit(rows[:200])
    expected.partial_fit(rows[:200])
    assert_array_equal(found.means_, expected.means_)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_scores_are_the_densities_of_scipy(rows, covariance_type):
    model = model_of(covariance_type=covariance_type).fit(rows)
    parameters = model._parameters()
    parts = [
        np.log(weight) + multivariate_t(mean, scale, degrees).logpdf(rows)
        for weight, mean, scale, degrees in zip(
            model.weights_,
            model.means_,
            parameters.matrices,
            model.degrees_of_freedom_,
            strict=True,
        )
    ]
    densities = np.logaddexp.reduce(parts, axis=0)
    assert_allclose(model.score_samples(rows), densities, rtol=1e-12)
    shares = np.exp(np.transpose(parts) - densities[:, None])
    assert_allclose(model.predict_proba(rows), shares, atol=1e-12)
    assert_array_equal(model.predict(rows), shares.argmax(axis=1))
    assert model.score(rows) == pytest.approx(densities.mean())


def test_outliers_move_neither_centres_nor_scales(rng):
    labels = rng.integers(3, size=1000)
    rows = CENTRES[labels] + rng.normal(size=(1000, 2))
    rows[:50] = rng.uniform(-60.0, 60.0, size=(50, 2))  # one in twenty, anywhere
    model = model_of().fit(rows)
    order = [np.argmin(((model.means_ - centre) ** 2).sum(axis=1)) for centre in CENTRES]
    assert sorted(order) == [0, 1, 2]
    # a mean of 300 rows is known to 0.06
    assert_allclose(model.means_[order], CENTRES, atol=0.25)
    scales = np.einsum("kii->ki", model.scales_)
    assert np.all((scales > 0.4) & (scales < 1.6))
    assert adjusted_rand_score(labels[50:], model.predict(rows[50:])) > 0.97


@pytest.mark.parametrize("covariance_type", sorted({each.name for each in FAMILIES.values()}))
def test_every_family_is_fitted(rows, covariance_type):
    model = model_of(covariance_type=covariance_type, tol=1e-5).fit(rows)
    assert np.diff(model.lower_bounds_).min(initial=0.0) > -1e-5
    assert model.converged_
    assert np.all(model.degrees_of_freedom_ < 12.0)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_saved_model_and_a_pickle_come_back_with_their_bits(rows, covariance_type, tmp_path):
    model = model_of(covariance_type=covariance_type).fit(rows)
    model.save(tmp_path / "model.npz")
    for found in (load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert type(found) is StudentTMixture
        assert_same(found, model)
        assert_array_equal(found.score_samples(rows), model.score_samples(rows))
        assert found.get_params() == model.get_params()


def test_a_saved_model_may_be_normal(rows, tmp_path):
    model = model_of(degrees_of_freedom=np.inf).fit(rows)
    model.save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert found.degrees_of_freedom == np.inf
    assert_same(found, model)


def test_a_stopped_fit_goes_on_from_its_checkpoint_with_the_same_bits(rows, tmp_path, monkeypatch):
    settings = {"init_params": "random", "n_init": 2, "acceleration": "squarem"}
    whole = model_of(**settings).fit(rows)
    path = tmp_path / "run.ckpt"
    assert disturbed(lambda: model_of(**settings).fit(rows, checkpoint=path), 9, monkeypatch)
    assert_same(model_of(**settings).fit(rows, checkpoint=path), whole)


def test_a_weight_of_two_is_the_row_twice(rows, rng):
    weights = rng.integers(0, 3, len(rows))
    found = model_of(prior=None, tol=1e-10).fit(rows, sample_weight=weights)
    expected = model_of(prior=None, tol=1e-10).fit(np.repeat(rows, weights, axis=0))
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-8)
    assert_allclose(found.weights_, expected.weights_, atol=1e-3)


def test_chunks_and_files_change_no_bit(rows, tmp_path):
    expected = model_of().fit(rows)
    np.save(tmp_path / "rows.npy", rows)
    for data in (
        tmp_path / "rows.npy",
        lambda: iter(np.array_split(rows, 7)),
        rows[:, ::-1][:, ::-1],
    ):
        assert_same(model_of().fit(data), expected)


def test_single_precision_ends_where_double_does(rows):
    found, expected = model_of().fit(rows.astype(np.float32)), model_of().fit(rows)
    assert found.means_.dtype == found.scales_.dtype == found.covariances_.dtype == np.float32
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-5)


def test_dask_partitions_are_fitted_as_the_rows_in_memory(rows):
    da = pytest.importorskip("dask.array")
    found = model_of().fit(da.from_array(rows, chunks=(250, 2)))
    expected = model_of().fit(rows)
    # sums in another order
    for name in FITTED[:-1]:
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("degrees_of_freedom", ["each", "shared", 3.0])
def test_batches_lead_near_to_where_all_rows_do(rng, degrees_of_freedom):
    rows = heavy(6000, rng)
    settings = {"degrees_of_freedom": degrees_of_freedom, "prior": None}
    whole, model = model_of(**settings).fit(rows), model_of(**settings)
    for batch in np.array_split(rows, 60):
        model.partial_fit(batch)
    assert model.score(rows) > whole.score(rows) - 0.01
    assert_allclose(model.degrees_of_freedom_, 3.0, atol=1.0)
    assert model.n_rows_ == 6000


def test_warm_start_goes_on_from_the_end(rows):
    model = model_of(warm_start=True).fit(rows)
    before = model.lower_bound_
    assert model.fit(rows).n_iter_ <= 2
    assert model.lower_bound_ >= before - 1e-7


def test_criteria_count_the_degrees_of_freedom_that_are_free(rows):
    counts = {"each": 3, "shared": 1, 4.0: 0, np.inf: 0}
    for degrees, added in counts.items():
        model = model_of(degrees_of_freedom=degrees, max_iter=50).fit(rows)
        n_parameters = 3 * (2 + 3) + 2 + added
        expected = -2.0 * model.score(rows) * len(rows) + 2.0 * n_parameters
        assert model.aic(rows) == pytest.approx(expected)


def test_shared_and_given_degrees_of_freedom_are_what_they_say(rows):
    shared = model_of(degrees_of_freedom="shared").fit(rows)
    assert len(set(shared.degrees_of_freedom_)) == 1
    assert shared.degrees_of_freedom_[0] == pytest.approx(3.0, abs=1.0)
    assert_array_equal(model_of(degrees_of_freedom=5).fit(rows).degrees_of_freedom_, [5.0] * 3)


def test_covariances_follow_from_scales(rows):
    model = model_of().fit(rows)
    degrees = model.degrees_of_freedom_[:, None, None]
    assert_allclose(model.covariances_, degrees / (degrees - 2.0) * model.scales_)
    cauchy = model_of(degrees_of_freedom=2.0).fit(rows)
    assert np.all(np.isinf(cauchy.covariances_))
    assert np.all(np.isfinite(cauchy.scales_))


def test_a_mixture_of_parameters_scores_and_draws():
    model = StudentTMixture.from_parameters([1.0], [[1.0, -1.0]], [np.diag([4.0, 1.0])], 5.0)
    points = np.array([[0.0, 0.0], [9.0, 9.0]])
    expected = multivariate_t([1.0, -1.0], np.diag([4.0, 1.0]), 5.0).logpdf(points)
    assert_allclose(model.score_samples(points), expected, rtol=1e-13)
    model.random_state = 0
    drawn, labels = model.sample(200_000)
    assert set(labels) == {0}
    # a variance of rows whose fourth moment is 9 times its square: 1 in 100 after so many
    assert_allclose(np.cov(drawn.T), np.diag([4.0, 1.0]) * 5.0 / 3.0, atol=0.2)
    squared = ((drawn - [1.0, -1.0]) ** 2 / [4.0, 1.0]).sum(axis=1)
    assert np.mean(squared / 2.0 < f(2, 5).median()) == pytest.approx(0.5, abs=0.005)


def test_degrees_of_freedom_that_are_none_are_refused(rows):
    for degrees in (0.5, -1.0, np.nan, "all", True, None):
        with pytest.raises(ValueError, match="degrees_of_freedom"):
            model_of(degrees_of_freedom=degrees).fit(rows)
    with pytest.raises(ValueError, match=r"that of component 1 is 0.5"):
        StudentTMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], [[[1.0]]] * 2, [3.0, 0.5])


def test_a_prior_of_means_is_refused(rows):
    with pytest.raises(ValueError, match=r"mean_precision=0\.01 is none of StudentTMixture"):
        model_of(prior=ConjugatePrior.fraley_raftery()).fit(rows)
    model = model_of(prior=ConjugatePrior()).fit(rows)
    assert np.diff(model.lower_bounds_).min() > -1e-7


def test_the_start_is_the_same_from_the_same_seed(rows):
    assert_same(model_of().fit(rows), clone(model_of()).fit(rows))


def test_equal_rows_do_not_make_a_likelihood_without_end(rng):
    rows = np.concatenate([rng.normal(size=(100, 2)), np.zeros((20, 2))])
    model = StudentTMixture(2, random_state=0).fit(rows)
    assert np.isfinite(model.lower_bound_)
    assert model.degrees_of_freedom_.min() >= 1.0


def test_pictures_show_the_tails(rows):
    pytest.importorskip("matplotlib").use("agg")
    from fastgmm import plot

    model = model_of().fit(rows)
    ax = plot.histogram(model, rows, feature=0)
    total = next(line for line in ax.lines if line.get_label() == "sum")
    at, height = total.get_data()
    one = [
        weight * multivariate_t([mean[0]], [[scale[0, 0]]], v).pdf(at)
        for weight, mean, scale, v in zip(
            model.weights_, model.means_, model.scales_, model.degrees_of_freedom_, strict=True
        )
    ]
    assert_allclose(height, np.sum(one, axis=0), rtol=1e-10)
    plot.density(model, rows)
    plot.clusters(model, rows)


def test_a_start_may_be_given_by_labels(rows):
    nearest = ((rows[:, None] - CENTRES) ** 2).sum(axis=-1).argmin(axis=1)
    model = model_of(responsibilities_init=nearest).fit(rows)
    assert_allclose(model.means_, CENTRES, atol=0.5)
