"""What a user says of a prior is kept, and its fits are bounded, equivariant and repeatable."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from fastgmm import ConjugatePrior, GaussianMixture, load
from fastgmm.estimators.fitted_attributes import FITTED

TYPES = ("full", "tied", "diag", "spherical")
PRIORS = {
    "a number": 2.0,
    "Fraley and Raftery": ConjugatePrior.fraley_raftery(),
    "all parameters": ConjugatePrior(8.0, mean_precision=3.0, weight_concentration=2.0),
}
MODEL = ("weights_", "means_", "covariances_")


@pytest.fixture
def rows(rng):
    """Three groups that overlap, of unlike shapes: "auto" has something to choose."""
    deviations = np.repeat([[1.0, 0.5], [0.5, 1.5], [1.0, 1.0]], 60, axis=0)
    return np.repeat([[0, 0], [3, 0], [0, 4]], 60, axis=0) + deviations * rng.normal(size=(180, 2))


def fit(rows, n_components=4, sample_weight=None, **settings):
    model = GaussianMixture(n_components, random_state=0, **settings)
    return model.fit(rows, sample_weight=sample_weight)


def assert_same(found, expected):
    for name in FITTED:
        assert_array_equal(getattr(found, name, None), getattr(expected, name, None), name)


def equal_rows():
    return np.full((40, 2), 7.5)


def collinear_rows():
    return np.linspace(0.0, 1.0, 40)[:, None] * [1.0, 2.0] + 3.0


def duplicated_rows():
    return np.repeat(np.random.default_rng(0).normal(size=(10, 2)), 4, axis=0)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("prior", ["auto", *PRIORS])
@pytest.mark.parametrize("place", [equal_rows, collinear_rows, duplicated_rows])
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_climbed_is_bounded_on_rows_without_a_spread(place, prior, kind):
    rows = place()
    # of 1e-9, the rounding of a covariance of one alone moves the bound by some 1e-6
    model = fit(rows, 3, covariance_type=kind, prior=PRIORS.get(prior, prior), reg_covar=1e-7)
    for name in (*MODEL, "lower_bounds_", "precisions_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.min(np.diff(model.lower_bounds_), initial=0.0) > -1e-6  # reg_covar is no prior
    smallest = min(np.linalg.eigvalsh(each)[0] for each in model._parameters().matrices)
    assert smallest > 0.9e-7  # the density of a mean counts as one more row, without a variance


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_without_reg_covar_duplicated_rows_have_a_likeliest_mixture(prior, kind):
    rows = duplicated_rows()
    model = fit(rows, 3, covariance_type=kind, prior=prior, reg_covar=0.0)
    assert np.min(np.diff(model.lower_bounds_), initial=0.0) > -1e-12
    assert np.linalg.eigvalsh(model._parameters().matrices)[:, 0].min() > 1e-3


def assert_same_clusters(there, here, rows_there, rows, place):
    # the components may be found in another order
    order = [np.argmin(((place(mean) - there.means_) ** 2).sum(axis=1)) for mean in here.means_]
    assert_allclose(there.predict_proba(rows_there)[:, order], here.predict_proba(rows), atol=1e-6)
    assert there.prior_strength_ == here.prior_strength_ > 0.0


@pytest.mark.parametrize("prior", [3.0, *list(PRIORS.values())[1:]], ids=PRIORS)
def test_a_fit_from_a_given_start_goes_along_with_an_affine_map(rows, prior):
    matrix, shift = np.array([[3.0, 1.0], [-0.5, 2.0]]), np.array([5.0, -20.0])
    inverse, means = np.linalg.inv(matrix), rows[[0, 70, 140]]
    settings = {"weights_init": [0.2, 0.3, 0.5], "prior": prior, "reg_covar": 0.0, "tol": 1e-12}
    here = fit(rows, 3, means_init=means, precisions_init=[np.eye(2)] * 3, **settings)
    there = fit(
        rows @ matrix + shift,
        3,
        means_init=means @ matrix + shift,
        precisions_init=[inverse @ inverse.T] * 3,
        **settings,
    )
    assert_same_clusters(
        there, here, rows @ matrix + shift, rows, lambda mean: mean @ matrix + shift
    )


@pytest.mark.parametrize(
    ("rows", "n_components"),
    [(load_iris().data, 3), (make_blobs(300, centers=4, cluster_std=0.6, random_state=0)[0], 4)],
    ids=["iris", "blobs"],
)
def test_turned_and_scaled_rows_are_given_the_same_prior(rows, n_components):
    # where both starts find the likeliest place: what is drawn for them goes with the axes
    axes, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(rows.shape[1],) * 2))
    settings = {"reg_covar": 1e-12, "tol": 1e-12}
    here = fit(rows, n_components, **settings)
    there = fit(3.7 * rows @ axes, n_components, **settings)
    assert_allclose(there.log_prior_, here.log_prior_, atol=1e-9)
    assert_same_clusters(there, here, 3.7 * rows @ axes, rows, lambda mean: 3.7 * mean @ axes)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("prior", ["auto", *PRIORS])
def test_weights_are_repetitions(rows, rng, prior, kind):
    counts = rng.integers(0, 4, size=len(rows))
    settings = {"covariance_type": kind, "prior": PRIORS.get(prior, prior)}
    settings |= {"tol": 0.0, "max_iter": 20}
    with pytest.warns(ConvergenceWarning):
        weighted = fit(rows, sample_weight=counts.astype(float), **settings)
    with pytest.warns(ConvergenceWarning):
        repeated = fit(np.repeat(rows, counts, axis=0), **settings)
    assert weighted.prior_strength_ == repeated.prior_strength_
    for name in (*MODEL, "lower_bound_", "log_prior_"):
        assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_the_strength_that_was_chosen_gives_the_same_model(rows, kind):
    chosen = fit(rows, covariance_type=kind)
    assert chosen.prior_strength_ > 0.0
    given = fit(rows, covariance_type=kind, prior=chosen.prior_strength_)
    assert_same(given, chosen)


@pytest.mark.parametrize(
    "settings",
    [
        {"init_params": "kmeans"},
        {"init_params": "random_from_data"},
        {"means_init": [[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [1.0, 1.0]]},
        {"weights_init": [0.25] * 4},
        {"reg_covar": 0.0},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_auto_is_off_where_the_fit_is_not_all_ours(rows, settings):
    model = fit(rows, **settings)
    assert model.prior_strength_ == model.log_prior_ == 0.0
    assert model.prior_covariance_ is None
    assert_same(model, fit(rows, prior=None, **settings))
    assert_same(model, fit(rows, prior=0, **settings))


def test_auto_is_off_where_rows_are_many(rng):
    rows = np.concatenate([rng.normal(size=(700, 2)), rng.normal(5.0, 1.0, size=(700, 2))])
    model = fit(rows, 2)  # of 11 parameters
    assert model.prior_strength_ == 0.0
    assert_same(model, fit(rows, 2, prior=None))


@pytest.mark.parametrize("kind", TYPES)
def test_one_component_is_drawn_towards_itself(rows, kind):
    plain = GaussianMixture(1, covariance_type=kind, prior=None).fit(rows)
    found = GaussianMixture(1, covariance_type=kind, prior=5.0).fit(rows)
    assert_allclose(found.covariances_, plain.covariances_, rtol=1e-12)
    assert_allclose(found.log_prior_, 0.0, atol=1e-12)
    assert found.prior_strength_ == 5.0
    assert GaussianMixture(1, covariance_type=kind).fit(rows).prior_strength_ == 0.0


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("prior", ["auto", *PRIORS])
def test_files_pickles_and_clones_keep_it(rows, tmp_path, prior, kind):
    model = fit(rows, covariance_type=kind, prior=PRIORS.get(prior, prior))
    model.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert_same(loaded, model)
    assert_same(pickle.loads(pickle.dumps(model)), model)
    assert_same(clone(model).fit(rows), model)
    assert_same(clone(loaded).fit(rows), model)
    again = [each.set_params(warm_start=True).fit(rows[::2]) for each in (loaded, model)]
    assert_same(*again)
    batches = [each.partial_fit(rows[1::2]) for each in again]
    assert_same(*batches)


def test_a_component_that_collapses_on_the_way_is_given_a_prior():
    # at the start each of the four holds 66 rows or more, and no prior predicts better; after 379
    # passes one would hold 2.7 on a line
    rows = np.random.default_rng(17).standard_normal((300, 2))
    found = GaussianMixture(4, random_state=17).fit(rows)
    assert found.prior_strength_ > 0.0
    assert np.linalg.eigvalsh(found.covariances_).min() > 0.01


def test_a_file_keeps_every_argument_of_a_conjugate_prior(rows, tmp_path):
    prior = ConjugatePrior(9, [[2.0, 0.5], [0.5, 1.0]], (1.0, 2.0), 3, 2.5)
    fit(rows, prior=prior).save(tmp_path / "model.npz")
    found = load(tmp_path / "model.npz").prior
    for name, value in vars(prior).items():
        assert_array_equal(getattr(found, name), value)


@pytest.mark.parametrize("kind", TYPES)
def test_a_warm_start_goes_on_under_the_same_prior(rows, kind):
    whole = fit(rows, covariance_type=kind, prior=3.0, tol=1e-9)
    model = fit(rows, covariance_type=kind, prior=3.0, warm_start=True)
    for _ in range(20):
        model.fit(rows)
        assert model.prior_strength_ == 3.0
        assert_array_equal(model.prior_covariance_, whole.prior_covariance_)
    assert_allclose(model.lower_bound_, whole.lower_bound_, atol=1e-6)


def test_the_prior_s_part_is_in_the_bound_and_not_in_the_score(rows):
    model = fit(rows, prior=20.0, tol=1e-12)
    assert model.log_prior_ < -1e-3
    assert_allclose(model.score(rows) + model.log_prior_, model.lower_bound_, atol=1e-9)
    free = model._n_parameters()
    assert_allclose(model.aic(rows), -2 * len(rows) * model.score(rows) + 2 * free)


def test_a_stronger_prior_draws_covariances_together(rows):
    def spread(strength):
        return np.ptp(fit(rows, 3, prior=strength).covariances_, axis=0).max()

    assert spread(None) > spread(10.0) > spread(1000.0)
    assert spread(1e9) < 1e-6


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (-1.0, r"'prior'.*range \[0.0, inf\).*Got -1.0"),
        (np.nan, "'prior'.*Got nan"),
        (np.inf, "'prior'.*Got inf"),
        ("weak", "'prior'.*'auto'.*Got 'weak'"),
        ([1.0], "'prior'"),
        (True, "'prior'"),
    ],
)
def test_another_prior_is_refused_with_what_may_be_given(rows, prior, said):
    with pytest.raises(InvalidParameterError, match=said):
        fit(rows, prior=prior)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"degrees_of_freedom": -1.0}, "degrees_of_freedom=-1.0 .* should be a number"),
        ({"degrees_of_freedom": "many"}, "degrees_of_freedom='many' .* should be a number"),
        ({"mean_precision": -0.1}, "mean_precision=-0.1 .* from 0 on"),
        ({"mean_precision": np.nan}, "mean_precision=nan .* from 0 on"),
        ({"weight_concentration": 0.5}, "weight_concentration=0.5 .* from 1 on"),
        ({"weight_concentration": np.inf}, "weight_concentration=inf .* from 1 on"),
    ],
)
def test_arguments_of_a_conjugate_prior_are_refused_at_once(arguments, said):
    with pytest.raises(ValueError, match=said):
        ConjugatePrior(**arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (
            "full",
            {"degrees_of_freedom": 1.0},
            "degrees_of_freedom=1 .*2 features; give more than 1",
        ),
        ("full", {"scale": np.eye(3)}, r"scale .* shape \(3, 3\).*needs \(2, 2\)"),
        ("diag", {"scale": np.eye(2)}, r"scale .* shape \(2, 2\).*needs \(2,\)"),
        ("spherical", {"scale": [1.0, 1.0]}, r"scale .* shape \(2,\).*needs \(\)"),
        ("tied", {"scale": [[np.nan, 0.0], [0.0, 1.0]]}, "scale .* finite"),
        (
            "full",
            {"scale": [[1.0, 2.0], [2.0, 1.0]]},
            "scale .* symmetric and positive definite; give another",
        ),
        ("full", {"scale": [[1.0, 0.5], [0.0, 1.0]]}, "scale .* symmetric"),
        ("diag", {"scale": [1.0, -1.0]}, "scale .* positive"),
        ("spherical", {"scale": -1.0}, "scale .* positive"),
        ("full", {"mean": [0.0], "mean_precision": 1.0}, r"mean .* shape \(1,\).*needs \(2,\)"),
    ],
)
def test_a_conjugate_prior_for_other_rows_is_refused(rows, kind, arguments, said):
    with pytest.raises(ValueError, match=said):
        fit(rows, covariance_type=kind, prior=ConjugatePrior(**arguments))


def test_rows_without_a_spread_have_no_scale():
    with pytest.raises(ValueError, match=r"scale .*a `reg_covar` above 0"):
        fit(equal_rows(), prior=ConjugatePrior(), reg_covar=0.0)


def test_the_article_s_loop_has_no_spurious_component():
    rows, _ = make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)
    models = [fit(rows, k) for k in range(1, 21)]  # warnings are errors here
    assert int(np.argmin([model.bic(rows) for model in models])) + 1 == 4
    assert int(np.argmin([model.aic(rows) for model in models])) + 1 >= 4
    for model in models:
        assert np.linalg.eigvalsh(model.covariances_).min() > 0.003
