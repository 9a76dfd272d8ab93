"""The estimator: at home in scikit-learn, and the same model however it came to be."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from fastgmm.em.stopping import MAX_PASSES, TOLERANCE
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.estimators import GaussianMixture

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
STARTS = ("auto", "kmeans", "k-means++", "random", "random_from_data")


@pytest.fixture
def rows(rng):
    """Three groups in two dimensions."""
    return np.concatenate([rng.normal(c, 1.0, size=(70, 2)) for c in (0.0, 4.0, 9.0)])


@pytest.fixture(params=COVARIANCE_TYPES)
def covariance_type(request):
    """Each of the types."""
    return request.param


@pytest.fixture
def fitted(rows, covariance_type):
    """A fitted model of each type."""
    return GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(rows)


# Drop-in


OUR_SETTINGS = {
    # the defaults of theirs that we change
    "init_params": "auto",
    "tol": TOLERANCE,
    "max_iter": MAX_PASSES,
    # and what they do not have
    "reg_covar_relative": False,
    "n_factors": None,
    "stopping": "change",
    "acceleration": "auto",
    "prior": "auto",
    "responsibilities_init": None,
    "components_per_class": 1,
    "noise": False,
    "missing": "error",
    "truncation": None,
    "fixed": None,
    "step_power": 0.9,
}


def test_settings_are_scikit_learns_but_for_the_start_and_the_stop():
    ours, theirs = GaussianMixture().get_params(), Theirs().get_params()
    assert ours == theirs | OUR_SETTINGS


def test_attributes_are_scikit_learns_and_the_rows(rows, covariance_type):
    settings = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    ours, theirs = GaussianMixture(**settings).fit(rows), Theirs(**settings).fit(rows)
    of_prior = {"log_prior_", "prior_strength_", "prior_covariance_"}
    own = OUR_SETTINGS.keys() | of_prior | {"n_rows_", "row_weight_", "read_as_"}
    assert set(vars(ours)) == set(vars(theirs)) | own
    for name, value in vars(theirs).items():
        assert np.shape(getattr(ours, name)) == np.shape(value) or name == "lower_bounds_"
        assert type(getattr(ours, name)) is type(value) or name == "lower_bound_"
    assert isinstance(ours.lower_bound_, float)


def test_samples_are_scikit_learns(fitted, covariance_type):
    theirs = Theirs(3, covariance_type=covariance_type, random_state=7)
    for name in ("weights_", "means_", "covariances_"):
        setattr(theirs, name, getattr(fitted, name))
    rows, labels = fitted.set_params(random_state=7).sample(50)
    expected, expected_labels = theirs.sample(50)
    assert_array_equal(labels, expected_labels)
    assert_allclose(rows, expected, rtol=1e-12)


def test_the_mixture_is_what_the_naive_twin_says(fitted, rows):
    structures = {kind: structure for structure, kind in naive.COVARIANCE_TYPES.items()}
    twin = naive.Mixture(
        structures[fitted.covariance_type], fitted.weights_, fitted.means_, fitted.covariances_
    )
    expected = naive.log_likelihoods(rows, twin).astype(float)
    assert_allclose(fitted.score_samples(rows), expected, rtol=1e-11)
    assert_allclose(fitted.predict_proba(rows), naive.responsibilities(rows, twin), atol=1e-12)
    assert_array_equal(fitted.predict(rows), naive.responsibilities(rows, twin).argmax(axis=1))
    assert fitted.score(rows) == pytest.approx(expected.mean(), rel=1e-12)


def test_the_criteria_are_scikit_learns(fitted, rows, covariance_type):
    theirs = Theirs(3, covariance_type=covariance_type)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(theirs, name, getattr(fitted, name))
    assert fitted.aic(rows) == pytest.approx(theirs.aic(rows), rel=1e-10)
    assert fitted.bic(rows) == pytest.approx(theirs.bic(rows), rel=1e-10)
    assert fitted._n_parameters() == theirs._n_parameters()


def test_fit_predict_is_fit_and_predict(rows, covariance_type):
    for dtype in (np.float32, np.float64):
        model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
        labels = model.fit_predict(rows.astype(dtype))
        assert labels.dtype == np.int64
        assert_array_equal(labels, model.predict(rows.astype(dtype)))


def test_a_model_can_be_pickled_and_cloned(fitted, rows):
    copied = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copied.predict_proba(rows), fitted.predict_proba(rows))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(rows)


def test_it_is_at_home_in_pipelines_and_searches(rows):
    folds = KFold(3, shuffle=True, random_state=0)  # the rows are in the order of their groups
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0))
    search = GridSearchCV(pipeline, {"gaussianmixture__n_components": [1, 3]}, cv=folds)
    search.fit(rows)
    assert search.best_params_ == {"gaussianmixture__n_components": 3}
    assert len(np.unique(search.predict(rows))) == 3


@pytest.mark.parametrize("init_params", STARTS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_start_leads_somewhere(rows, init_params, covariance_type):
    model = GaussianMixture(
        3, covariance_type=covariance_type, init_params=init_params, random_state=0
    ).fit(rows)
    trace = np.array(model.lower_bounds_)
    # reg_covar may cost a little at each step; 1e-5 is far above what 1e-6 on variances of 1 can
    assert (np.diff(trace) > -1e-5).all()
    assert model.lower_bound_ == trace[-1]
    assert model.n_iter_ == len(trace)
    assert model.weights_.sum() == pytest.approx(1.0, abs=1e-12)


def test_the_number_of_blobs_has_the_lowest_bic():
    rows, _ = make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)
    scores = [GaussianMixture(k, random_state=0).fit(rows).bic(rows) for k in range(1, 8)]
    assert int(np.argmin(scores)) + 1 == 4


# Parameters by hand


SETTABLE = {
    "factors and covariances": ("covariances_", "precisions_cholesky_"),
    "factors alone": ("precisions_cholesky_",),
    "covariances alone": ("covariances_",),
}


@pytest.mark.parametrize("names", SETTABLE.values(), ids=SETTABLE)
def test_attributes_set_by_hand_are_the_model(fitted, rows, names, covariance_type):
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    for name in ("weights_", "means_", *names):
        setattr(model, name, getattr(fitted, name))
    assert_allclose(model.score_samples(rows), fitted.score_samples(rows), rtol=1e-10)
    assert_allclose(model.sample(5)[0], fitted.sample(5)[0], rtol=1e-6)
    assert model.bic(rows) == pytest.approx(fitted.bic(rows))
    with pytest.raises(ValueError, match="X has 3 features"):
        model.predict(np.zeros((2, 3)))


def test_an_attribute_that_is_changed_changes_the_model(fitted, rows):
    before = fitted.score(rows)
    fitted.means_ = fitted.means_ + 1.0
    assert fitted.score(rows) < before
    fitted.means_[...] -= 1.0
    assert fitted.score(rows) == pytest.approx(before)


def test_attributes_that_do_not_fit_are_named(rows):
    model = GaussianMixture(3, random_state=0).fit(rows)
    model.weights_ = model.weights_[:2]
    with pytest.raises(ValueError, match="'weights_' should have the shape of"):
        model.predict(rows)


def test_attributes_that_are_missing_mean_not_fitted(rows):
    model = GaussianMixture(1)
    model.weights_ = np.ones(1)
    with pytest.raises(NotFittedError):
        model.predict(rows)


def test_from_parameters_is_ready_to_score_and_sample(fitted, rows, covariance_type):
    model = GaussianMixture.from_parameters(
        fitted.weights_, fitted.means_, fitted.covariances_, covariance_type=covariance_type
    )
    assert model.n_components == 3
    assert model.n_features_in_ == 2
    assert_array_equal(model.predict_proba(rows), fitted.predict_proba(rows))
    assert model.score(rows) == fitted.score(rows)
    assert model.sample(10)[0].shape == (10, 2)
    assert not model.converged_
    with pytest.raises(ValueError, match="expecting 2 features"):
        model.predict(rows[:, :1])


def test_from_parameters_takes_lists_and_single_precision():
    model = GaussianMixture.from_parameters([1], [[0, 0]], [[1, 1]], covariance_type="diag")
    assert model.score([[0.0, 0.0]]) == pytest.approx(-np.log(2 * np.pi))
    single = [np.array(values, np.float32) for values in ([1], [[0, 0]], [[1, 1]])]
    assert GaussianMixture.from_parameters(*single, covariance_type="diag").means_.dtype == "f4"


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "words"),
    [
        ([0.5, 0.6], [[0.0], [1.0]], [[[1.0]], [[1.0]]], "normalized"),
        ([0.5, 0.5], [[0.0], [np.nan]], [[[1.0]], [[1.0]]], "means contains NaN"),
        ([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[-1.0]]], "component 1"),
        ([0.5, 0.5], [[0.0], [1.0]], [[1.0], [1.0]], "shape of"),
    ],
)
def test_from_parameters_names_what_does_not_fit(weights, means, covariances, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture.from_parameters(weights, means, covariances)


# Starts and restarts


def test_the_start_may_be_given_in_part(rows):
    means = rows[[0, 100, 200]]
    model = GaussianMixture(3, means_init=means, random_state=0, max_iter=0).fit(rows)
    assert_array_equal(model.means_, means)
    weights = [0.2, 0.3, 0.5]
    model = GaussianMixture(3, weights_init=weights, random_state=0, max_iter=0).fit(rows)
    assert_array_equal(model.weights_, weights)
    precisions = np.array([np.eye(2)] * 3) * 4.0
    model = GaussianMixture(3, precisions_init=precisions, random_state=0, max_iter=0).fit(rows)
    assert_allclose(model.precisions_, precisions)
    assert_allclose(model.covariances_, precisions / 16.0)


@pytest.mark.parametrize("given", ["weights_init", "means_init", "precisions_init"])
def test_giving_what_the_start_would_be_changes_nothing(rows, given, covariance_type):
    # what scikit-learn's test_gaussian_mixture_precisions_init_diag asks, of our own start
    # without a prior, which is looked for only where all of the start is ours
    settings = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    settings |= {"prior": None}
    start = GaussianMixture(max_iter=0, **settings).fit(rows)
    value = {
        "weights_init": start.weights_,
        "means_init": start.means_,
        "precisions_init": start.precisions_,
    }[given]
    with_it = GaussianMixture(**{given: value}, **settings).fit(rows)
    without = GaussianMixture(**settings).fit(rows)
    assert with_it.n_iter_ == without.n_iter_
    assert_allclose(with_it.precisions_cholesky_, without.precisions_cholesky_, rtol=1e-7)


def test_no_pass_keeps_the_start_and_does_not_warn(rows):
    model = GaussianMixture(3, max_iter=0, n_init=4, random_state=0).fit(rows)
    assert (model.n_iter_, model.converged_, model.lower_bounds_) == (0, False, [])
    assert model.lower_bound_ == -np.inf
    assert model.n_rows_ == len(rows)
    assert np.isfinite(model.score(rows))


def test_more_starts_are_no_worse(rows):
    settings = {"init_params": "random_from_data", "tol": 1e-6, "max_iter": 500}
    for seed in range(5):
        one = GaussianMixture(3, random_state=seed, **settings).fit(rows)
        several = GaussianMixture(3, random_state=seed, n_init=5, **settings).fit(rows)
        # tol apart: a repair may bring the one to the same place by another way
        assert several.lower_bound_ >= one.lower_bound_ - 1e-6


def test_restarts_share_their_passes(rows):
    class Counted:
        passes = 0

        def __call__(self):
            self.passes += 1
            yield rows

    def passes(n_init):
        data = Counted()
        model = GaussianMixture(
            3, n_init=n_init, random_state=0, init_params="random_from_data", max_iter=5, tol=0.0
        )
        with pytest.warns(ConvergenceWarning):
            model.fit(data)
        return data.passes

    assert passes(6) == passes(1)


def test_warm_start_goes_on_where_it_was(rows):
    whole = GaussianMixture(3, max_iter=6, tol=0.0, random_state=1, init_params="random")
    halves = clone(whole).set_params(max_iter=3, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole.fit(rows)
        first = halves.fit(rows).lower_bounds_
        halves.fit(rows)
    assert_array_equal(halves.means_, whole.means_)
    assert first + halves.lower_bounds_ == whole.lower_bounds_
    assert halves.n_iter_ == 3


def test_warm_start_sees_convergence_at_once(rows):
    model = GaussianMixture(3, tol=1e-8, max_iter=500, warm_start=True, random_state=0).fit(rows)
    assert model.fit(rows).n_iter_ == 1
    assert model.converged_


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_components": 2}, "from 3 components of 2 features to 2 components of 2 features"),
        ({"covariance_type": "diag"}, "covariance_type='diag'.*fit with warm_start=False"),
    ],
)
def test_warm_start_refuses_another_shape(rows, change, words):
    model = GaussianMixture(3, warm_start=True, random_state=0).fit(rows)
    with pytest.raises(ValueError, match=words):
        model.set_params(**change).fit(rows)
    with pytest.raises(ValueError, match="to 3 components of 4 features"):
        GaussianMixture(3, warm_start=True).fit(rows).fit(np.hstack([rows, rows]))


def test_convergence_is_warned_of_where_it_fails(rows):
    model = GaussianMixture(3, max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="Best performing initialization did not converge"):
        model.fit(rows)


# Refusals


@pytest.mark.parametrize(
    "settings",
    [
        {"n_components": 0},
        {"n_components": 2.0},
        {"n_components": "3"},
        {"tol": -1.0},
        {"tol": np.nan},
        {"reg_covar": -1e-9},
        {"reg_covar": np.nan},
        {"max_iter": -1},
        {"n_init": 0},
        {"covariance_type": "fulll"},
        {"init_params": "kmeans++"},
        {"random_state": "seed"},
        {"random_state": -1},
        {"verbose_interval": 0},
        {"warm_start": 2},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(rows, settings):
    (name,) = settings
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of GaussianMixture"):
        GaussianMixture(**settings).fit(rows)


def test_fewer_rows_than_components_are_refused(rows):
    with pytest.raises(ValueError, match="Expected n_samples >= n_components but got"):
        GaussianMixture(5).fit(rows[:4])
    with pytest.raises(ValueError, match="n_components = 5, n_samples = 4"):
        GaussianMixture(5).fit(lambda: iter([rows[:4]]))
    with pytest.raises(ValueError, match="n_components = 3, n_samples = 2"):
        GaussianMixture(3).fit(rows[:4], sample_weight=[0, 1, 1, 0])


def test_identical_rows_without_regularisation_are_refused():
    with pytest.raises(DegenerateCovarianceError, match="ill-defined empirical covariance"):
        GaussianMixture(1, reg_covar=0.0).fit(np.ones((10, 2)))


@pytest.mark.parametrize("n_samples", [0, -3])
def test_a_sample_has_at_least_one_row(fitted, n_samples):
    with pytest.raises(ValueError, match=f"Invalid value for 'n_samples': {n_samples}"):
        fitted.sample(n_samples)


@pytest.mark.parametrize("n_samples", ["5", None, [3], 1.5, 5.0, np.array([3]), True, 2 + 0j])
def test_a_sample_is_of_a_whole_number_of_rows(fitted, n_samples):
    with pytest.raises(InvalidParameterError, match=r"'n_samples': .* a whole number from 1 on"):
        fitted.sample(n_samples)
    assert len(fitted.sample(np.int32(5))[0]) == 5


@pytest.mark.parametrize("n_samples", [10**14, 2**55])
def test_a_sample_that_fits_in_no_memory_says_its_bytes_and_the_way_out(fitted, n_samples):
    n_features = fitted.means_.shape[1]
    state = np.random.RandomState(5)
    model = copy.copy(fitted).set_params(random_state=state)
    n_bytes = 8 * n_samples * (n_features + 1)
    assert n_bytes > 2**50
    said = f"n_samples is {n_samples}, .* take {n_bytes:,} bytes; draw them in pieces"
    with pytest.raises(MemoryError, match=said):
        model.sample(n_samples)
    assert state.rand() == np.random.RandomState(5).rand()  # nothing was drawn


def test_a_sample_drawn_in_pieces_is_of_other_rows_in_each(fitted):
    model = copy.copy(fitted).set_params(random_state=np.random.RandomState(5))
    pieces = np.concatenate([model.sample(10)[0] for _ in range(3)])
    assert len(np.unique(pieces, axis=0)) == 30


@pytest.mark.parametrize("n_samples", [2**70, 2**62])
def test_a_sample_has_no_more_rows_than_an_array_holds(fitted, n_samples):
    with pytest.raises(InvalidParameterError, match=f"'n_samples': {n_samples}.*draw fewer at a"):
        fitted.sample(n_samples)


def test_a_start_far_from_every_row_is_refused(rows):
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": [[1e200, 0.0], [-1e200, 0.0]],
        "precisions_init": np.array([np.eye(2)] * 2),
    }
    with pytest.raises((DataError, DegenerateCovarianceError)):
        GaussianMixture(2, **start).fit(rows)


# Threads


def test_predictions_during_a_fit_are_of_one_model(rows):
    far = rows + 1000.0
    model = GaussianMixture(3, random_state=0).fit(rows)
    near_score, stop, torn = model.score(rows), threading.Event(), []
    far_score = GaussianMixture(3, random_state=0).fit(far).score(rows)

    def watch():
        while not stop.is_set():
            score = model.score(rows)
            if score not in (near_score, far_score):
                torn.append(score)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(10):
            model.fit(far)
            model.fit(rows)
    finally:
        stop.set()
        watcher.join()
    assert torn == []


def test_models_can_be_fitted_from_several_threads(rows):
    expected = GaussianMixture(3, random_state=0).fit(rows).means_
    found = []

    def fit():
        found.append(GaussianMixture(3, random_state=0).fit(rows).means_)

    threads = [threading.Thread(target=fit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for means in found:
        assert_array_equal(means, expected)
