"""BayesianGaussianMixture as its users meet it."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_t
from sklearn.base import clone
from sklearn.datasets import load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture as Theirs
from sklearn.preprocessing import scale

import fastgmm
from fastgmm import BayesianGaussianMixture, GaussianMixture
from fastgmm.errors import CheckpointError, DataError, DegenerateComponentWarning

TYPES = ("full", "tied", "diag", "spherical")
PRIORS = ("dirichlet_process", "dirichlet_distribution")


@pytest.fixture
def rows(rng):
    """Three clusters of 100 rows."""
    centres = np.repeat([[0.0, 0.0], [8.0, 0.0], [0.0, 9.0]], 100, axis=0)
    return centres + rng.normal(size=(300, 2))


def fitted(rows, **settings):
    return BayesianGaussianMixture(**{"n_components": 8, "random_state": 0} | settings).fit(rows)


def bits(model):
    found = {name: value for name, value in vars(model).items() if name.endswith("_")}
    return {name: np.asarray(value).tobytes() for name, value in found.items()}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_components_that_the_rows_do_not_ask_for_are_emptied(rows, covariance_type, prior):
    model = fitted(rows, covariance_type=covariance_type, weight_concentration_prior_type=prior)
    assert model.converged_
    assert model.n_active_ == 3
    labels = model.predict(rows)
    assert len(np.unique(labels)) == 3
    assert [len(set(labels[start : start + 100])) for start in (0, 100, 200)] == [1, 1, 1]
    assert isinstance(model.lower_bound_, float)
    pruned = model.prune()
    assert isinstance(pruned, GaussianMixture)
    assert pruned.n_components == 3
    alike = np.column_stack([labels, pruned.predict(rows)])
    assert len(np.unique(alike, axis=0)) == 3


@pytest.mark.parametrize("covariance_type", TYPES)
def test_surplus_components_are_merged_where_a_climb_would_rest(rng, covariance_type):
    # without merges this takes 400 passes and ends with two components in one cluster
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 7.0]])
    rows = centres[rng.integers(3, size=20_000)] + rng.normal(size=(20_000, 2))
    model = fitted(rows, n_components=6, covariance_type=covariance_type)
    assert model.converged_
    assert model.n_active_ == 3
    assert model.n_iter_ < 60
    assert np.diff(model.lower_bounds_).min() > -1e-12
    three = fitted(rows, n_components=3, covariance_type=covariance_type)
    # empty components cost no more than their priors do
    assert model.lower_bound_ > three.lower_bound_ - 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_nearly_empty_components_do_not_keep_others_from_being_merged(seed):
    # pairs with an empty one were tried first: 41 to 150 passes, and one end with two, 8 nats lower
    rows = np.random.default_rng(seed).normal(size=(300, 2))
    model = fitted(rows, n_components=8, tol=1e-10)
    assert model.n_active_ == 1
    assert model.n_iter_ < 30


def test_components_of_few_rows_are_merged_whatever_the_number_of_features():
    # of 50 features their means are known to some deviations: seeds 5, 21 ended with 3 and 4
    rows = np.random.default_rng(4).normal(size=(460, 50))
    rows[400:] += 6 / np.sqrt(50)
    settings = {"covariance_type": "diag", "covariance_prior": 50 * rows.var(axis=0, ddof=1)}
    ends = [fitted(rows, n_components=5, random_state=seed, **settings) for seed in (0, 5, 21)]
    assert {model.n_active_ for model in ends} == {2}


def test_starts_are_compared_under_the_prior():
    # by likelihood alone the first seed led to -16.28, to components of mixed cultivars
    data = load_wine()
    rows = scale(data.data)
    for seed in range(3):
        settings = {"weight_concentration_prior_type": PRIORS[1], "random_state": seed}
        model = fitted(rows, n_components=3, **settings)
        assert model.lower_bound_ > -15.75
        assert adjusted_rand_score(data.target, model.predict(rows)) > 0.9


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_several_pairs_are_merged_at_once(covariance_type, prior):
    # one pair at a time, and at rest alone, took 29 to 70 passes, and ended where these end
    rows = make_blobs(600, centers=3, random_state=1)[0]
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior}
    ten = [fitted(rows, n_components=10, random_state=seed, **settings) for seed in range(3)]
    assert max(model.n_iter_ for model in ten) <= 28
    assert {model.n_active_ for model in ten} == {3}
    bounds = [model.lower_bound_ for model in ten]
    assert np.ptp(bounds) < 1e-7
    three = fitted(rows, n_components=3, weight_concentration_prior=0.1, **settings)
    # seven empty components, each of the prior itself
    assert abs(bounds[0] - three.lower_bound_) < 0.02


def test_merges_whose_component_fills_again_do_not_go_on_for_ever():
    # each seemed to gain what five passes gain: 996 passes, where the climb alone takes 354
    rows = np.random.default_rng(0).gamma(2.0, size=(5000, 2))
    model = fitted(rows, n_components=20, weight_concentration_prior=1.0)
    assert model.converged_
    assert model.n_iter_ < 600


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_batches_lead_where_all_rows_lead(rng, covariance_type, prior):
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 7.0]])
    rows = centres[rng.integers(3, size=8000)] + rng.normal(size=(8000, 2))
    new = centres[rng.integers(3, size=4000)] + rng.normal(size=(4000, 2))
    settings = {
        "n_components": 5,
        "covariance_type": covariance_type,
        "weight_concentration_prior_type": prior,
        "step_power": 1.0,
        "random_state": 0,
    }
    learned, whole = BayesianGaussianMixture(**settings), BayesianGaussianMixture(**settings)
    for batch in np.split(rows, range(3, 8000, 777)):
        learned.partial_fit(batch)
    whole.fit(rows)
    assert learned.n_rows_ == 8000
    assert learned.n_active_ == whole.n_active_ == 3
    # the prior counts once, whatever the batches
    assert (learned.mean_precision_ - 1.0).sum() == pytest.approx(8000.0)
    assert learned.score(new) == pytest.approx(whole.score(new), abs=2e-3)


def test_a_model_set_by_hand_takes_no_batches(rows):
    model = fitted(rows)
    plain = BayesianGaussianMixture(n_components=8)
    plain.weights_, plain.means_ = model.weights_, model.means_
    plain.covariances_ = model.covariances_
    with pytest.raises(ValueError, match="goes on from a posterior"):
        plain.partial_fit(rows)


def test_a_higher_concentration_keeps_more_components(rng):
    rows = rng.normal(size=(300, 2)) * [1.0, 3.0]
    settings = {"covariance_type": "spherical", "weight_concentration_prior_type": PRIORS[1]}
    n_active = [
        fitted(rows, weight_concentration_prior=each, **settings).n_active_ for each in (1e-3, 1e3)
    ]
    assert n_active[0] < n_active[1] == 8


@pytest.mark.parametrize("covariance_type", TYPES)
def test_default_priors_are_scikit_learns(rows, covariance_type):
    mine = fitted(rows, covariance_type=covariance_type)
    theirs = Theirs(n_components=8, covariance_type=covariance_type, random_state=0).fit(rows)
    for name in (
        "weight_concentration_prior_",
        "mean_precision_prior_",
        "mean_prior_",
        "degrees_of_freedom_prior_",
        "covariance_prior_",
    ):
        assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-12, atol=1e-12)
        assert np.shape(getattr(mine, name)) == np.shape(getattr(theirs, name))


def test_every_argument_and_attribute_of_scikit_learns_is_there(rows):
    theirs = Theirs(n_components=2, random_state=0).fit(rows)
    assert set(theirs.get_params()) <= set(BayesianGaussianMixture().get_params())
    public = {name for name in vars(theirs) if name.endswith("_")}
    assert public <= set(vars(fitted(rows)))
    with pytest.raises(TypeError):
        BayesianGaussianMixture(3)  # keyword-only, as theirs
    assert not hasattr(BayesianGaussianMixture(), "bic")


def test_priors_that_are_given_are_kept(rows):
    model = fitted(
        rows,
        weight_concentration_prior=0.5,
        mean_precision_prior=2.0,
        mean_prior=[1.0, 2.0],
        degrees_of_freedom_prior=4.0,
        covariance_prior=np.diag([3.0, 4.0]),
    )
    assert model.weight_concentration_prior_ == 0.5
    assert model.mean_precision_prior_ == 2.0
    assert_array_equal(model.mean_prior_, [1.0, 2.0])
    assert model.degrees_of_freedom_prior_ == 4.0
    assert_array_equal(model.covariance_prior_, np.diag([3.0, 4.0]))
    assert_allclose((model.mean_precision_ - 2.0).sum(), 300.0)
    assert_allclose(model.degrees_of_freedom_ - 4.0, model.mean_precision_ - 2.0, atol=1e-9)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_chunks_files_and_weights_do_not_change_a_bit(rows, tmp_path, covariance_type):
    expected = bits(fitted(rows, covariance_type=covariance_type))
    pq.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), tmp_path / "rows.parquet")
    for data in (
        np.asfortranarray(rows),
        lambda: iter(np.split(rows, [1, 7, 130])),
        str(tmp_path / "rows.parquet"),
    ):
        found = bits(fitted(data, covariance_type=covariance_type))
        del found["read_as_"]
        assert {name: expected[name] for name in found if name != "feature_names_in_"} == {
            name: found[name] for name in found if name != "feature_names_in_"
        }
    twice = fitted(np.repeat(rows, 2, axis=0), covariance_type=covariance_type)
    doubled = BayesianGaussianMixture(
        n_components=8, covariance_type=covariance_type, random_state=0
    ).fit(rows, sample_weight=np.full(300, 2.0))
    assert doubled.lower_bound_ == pytest.approx(twice.lower_bound_, rel=1e-12)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_saved_model_comes_back_with_the_same_bits(rows, tmp_path, covariance_type, prior):
    model = fitted(
        rows,
        covariance_type=covariance_type,
        weight_concentration_prior_type=prior,
        mean_prior=[0.0, 1.0],
    )
    model.save(tmp_path / "model.npz")
    for again in (fastgmm.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert bits(again) == bits(model)
        for predictive in (False, True):
            assert_array_equal(
                again.score_samples(rows, predictive=predictive),
                model.score_samples(rows, predictive=predictive),
            )
        assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))
        assert_array_equal(again.get_params()["mean_prior"], [0.0, 1.0])


def test_a_checkpoint_goes_on_with_the_same_bits(rng, tmp_path):
    rows = rng.normal(size=(300, 2))  # one cluster takes more passes
    whole = fitted(rows)
    assert whole.n_iter_ > 8

    class StopError(Exception):
        pass

    def chunks():
        nonlocal n_passes
        n_passes += 1
        if n_passes == 8:
            raise StopError
        return iter([rows])

    n_passes = 0
    path = tmp_path / "fit.ckpt"
    model = BayesianGaussianMixture(n_components=8, random_state=0)
    with pytest.raises(StopError) as stopped:
        model.fit(chunks, checkpoint=path)
    assert stopped.value.model.n_iter_ > 0
    model.fit(chunks, checkpoint=path)
    assert model.lower_bounds_ == whole.lower_bounds_
    assert_array_equal(model.means_, whole.means_)
    model.fit(chunks, checkpoint=path)  # that has ended
    assert model.lower_bounds_ == whole.lower_bounds_


OTHER = [
    {"mean_precision_prior": 2.0},
    {"weight_concentration_prior": 2.0},
    {"mean_prior": [0.0, 0.0]},
    {"degrees_of_freedom_prior": 5.0},
    {"covariance_prior": np.eye(2)},
    {"acceleration": None},
]


@pytest.mark.parametrize("other", OTHER, ids=lambda other: next(iter(other)))
def test_a_checkpoint_of_other_arguments_is_refused(rows, tmp_path, other):
    path, same = tmp_path / "fit.ckpt", {"n_components": 4, "random_state": 0}
    BayesianGaussianMixture(**same).fit(rows, checkpoint=path)
    (name,) = other
    with pytest.raises(CheckpointError, match=f"{name} was (None|auto) and is "):
        BayesianGaussianMixture(**same | other).fit(rows, checkpoint=path)
    BayesianGaussianMixture(**same | other).fit(rows, checkpoint=tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=f"{name} was .* and is (None|auto)"):
        BayesianGaussianMixture(**same).fit(rows, checkpoint=tmp_path / "other.ckpt")


def test_a_checkpoint_of_another_estimator_is_refused(rows, tmp_path):
    same = {"n_components": 4, "random_state": 0}
    estimators = (BayesianGaussianMixture, GaussianMixture)
    for one, other in (estimators, estimators[::-1]):
        path = tmp_path / one.__name__
        one(**same).fit(rows, checkpoint=path)
        with pytest.raises(
            CheckpointError, match=f"the estimator was {one.__name__} and is {other.__name__}"
        ):
            other(**same).fit(rows, checkpoint=path)


def test_a_warm_start_goes_on(rng):
    one = rng.normal(size=(300, 2))  # a cluster for all components, which are merged on the way
    two = one + np.repeat([[0.0, 0.0], [4.0, 0.0]], 150, axis=0)  # one for each, so none is merged
    for rows, count in ((one, 8), (two, 2)):
        settings = {"n_components": count, "acceleration": None, "tol": 1e-10}
        with pytest.warns(ConvergenceWarning):
            model = fitted(rows, max_iter=5, warm_start=True, **settings)
        before = model.lower_bound_
        model.set_params(max_iter=1000).fit(rows)
        assert model.converged_
        assert model.lower_bounds_[0] >= before
        plain = fitted(rows, **settings)
        assert model.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-9)
    assert model.n_iter_ + 5 == plain.n_iter_
    with pytest.raises(ValueError, match="warm_start cannot go"):
        model.set_params(n_components=3).fit(rows)


def test_the_best_of_several_starts_is_kept(rng):
    rows = rng.normal(size=(200, 2))
    several = fitted(rows, n_init=4, init_params="random_from_data", n_components=4)
    one = fitted(rows, n_init=1, init_params="random_from_data", n_components=4)
    assert several.lower_bound_ >= one.lower_bound_


def test_the_predictive_density_is_a_mixture_of_students(rng, rows):
    model = fitted(rows, n_components=2)
    new = rng.normal(scale=5.0, size=(20, 2))
    expected = np.zeros(20)
    for k in range(2):
        degrees = model.degrees_of_freedom_[k] - 1.0
        shape = model.covariances_[k] * model.degrees_of_freedom_[k] / degrees
        shape = shape * (1.0 + 1.0 / model.mean_precision_[k])
        expected += model.weights_[k] * multivariate_t.pdf(new, model.means_[k], shape, degrees)
    assert_allclose(model.score_samples(new, predictive=True), np.log(expected), rtol=1e-10)
    with pytest.raises(ValueError, match="predictive='yes' should be True or False"):
        model.score_samples(new, predictive="yes")
    chunked = model.score_samples(lambda: iter(np.split(new, [3])), predictive=True)
    assert_array_equal(chunked, model.score_samples(new, predictive=True))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_scores_and_labels_follow_from_the_predictive_density(rng, rows, covariance_type):
    model = fitted(rows[::20], n_components=3, covariance_type=covariance_type)
    new, weights = rng.normal(scale=6.0, size=(5000, 2)), rng.gamma(1.0, size=5000)
    new[0] = 1e200  # where there is no density
    weights[0] = 0.0
    logs = model.score_samples(new, predictive=True)
    probabilities = model.predict_proba(new, predictive=True)
    posterior = model._parameters()
    parts = np.column_stack([*posterior.log_predictive_parts(new)])
    assert_allclose(logs[1:], np.logaddexp.reduce(parts[1:], axis=1), rtol=1e-13)
    assert_allclose(probabilities[1:], np.exp(parts[1:] - logs[1:, None]), atol=1e-13)
    assert_allclose(probabilities[0], 1.0 / 3.0)
    assert_array_equal(model.predict(new, predictive=True), parts.argmax(axis=1))
    # heavier tails change labels of rows far from all: a fit of 15 rows knows little of them
    assert np.any(model.predict(new, predictive=True) != model.predict(new))
    plain = model.score(new[1:], predictive=True)
    assert plain == pytest.approx(logs[1:].mean(), rel=1e-13)
    expected = np.average(logs[1:], weights=weights[1:])
    found = model.score(new, sample_weight=weights, predictive=True)
    assert found == pytest.approx(expected, rel=1e-13)
    chunks = model.score(lambda: iter(np.split(new[1:], [7])), predictive=True)
    assert chunks == pytest.approx(plain, rel=1e-15)
    assert model.score(new[1:], predictive=False) == model.score(new[1:])
    for method in (model.score, model.predict, model.predict_proba):
        with pytest.raises(ValueError, match="predictive=1 should be True or False"):
            method(new, predictive=1)


def test_the_predictive_density_integrates_to_one(rng):
    rows = rng.normal(size=(20, 1))
    grid = np.linspace(-4000.0, 4000.0, 800_001)[:, None]
    for covariance_type in TYPES:
        model = fitted(rows, n_components=3, covariance_type=covariance_type)
        densities = np.exp(model.score_samples(grid, predictive=True))
        # tails as of two degrees of freedom leave 1e-6 beyond 4000 deviations
        assert densities.sum() * 0.01 == pytest.approx(1.0, abs=1e-4)
        assert np.exp(model.score_samples(grid)).sum() * 0.01 < 0.999


def test_small_clusters_of_many_features_are_found(rng):
    # scikit-learn, with the full Wishart's expected logarithm, finds one cluster here
    rows = rng.normal(size=(460, 50))
    rows[400:] += 6.0 / np.sqrt(50)
    model = fitted(rows, n_components=5, covariance_type="diag")
    labels = model.predict(rows)
    small = np.bincount(labels[400:]).argmax()
    assert np.mean(labels[400:] == small) > 0.8
    assert np.mean(labels[:400] == small) < 0.05


@pytest.mark.parametrize("seed", range(4, 8))
def test_of_many_features_the_prior_decides_and_not_the_climb(seed):
    # 400 and 60 rows six deviations apart: the bound itself prefers one cluster by 2300 nats
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(460, 50)), np.repeat([0, 1], [400, 60])
    rows[400:] += 6.0 / np.sqrt(50)
    variances = rows.var(axis=0, ddof=1)

    def bound_and_rand(prior, n_components):
        settings = {"covariance_type": "diag", "covariance_prior": prior}
        model = fitted(rows, n_components=n_components, **settings)
        return 460 * model.lower_bound_, adjusted_rand_score(labels, model.predict(rows))

    (one, _), (two, found) = (bound_and_rand(50 * variances, count) for count in (1, 2))
    assert two > one + 500.0
    assert found > 0.98
    (one, _), (two, found) = (bound_and_rand(variances, count) for count in (1, 2))
    assert two < one + 3.0  # an empty component besides, or 2300 less
    if found > 0.5:
        assert two < one - 2000.0


INVALID = [
    ({"mean_prior": [1.0]}, r"'mean_prior' should have the shape of \(2,\), but got \(1,\)"),
    ({"mean_prior": [np.nan, 1.0]}, "mean_prior contains NaN"),
    ({"covariance_prior": -np.eye(2)}, "'full covariance_prior' should be symmetric, pos"),
    ({"covariance_prior": np.ones((3, 3))}, r"should have the shape of \(2, 2\)"),
    ({"covariance_prior": 1.0}, r"should have the shape of \(2, 2\), but got \(\)"),
    ({"covariance_type": "diag", "covariance_prior": [1.0, -1.0]}, "should be positive"),
    ({"covariance_type": "spherical", "covariance_prior": [1.0, 2.0]}, r"the shape of \(\)"),
    ({"degrees_of_freedom_prior": 1.0}, "should be greater than 1, but got 1.000"),
    ({"degrees_of_freedom_prior": np.nan}, "degrees_of_freedom_prior"),
    ({"weight_concentration_prior": 0.0}, "must be a float in the range"),
    ({"weight_concentration_prior_type": "dirichlet"}, "did you mean 'dirichlet_process'"),
    ({"mean_precision_prior": True}, "must be a number"),
    ({"mean_prior": [0.0, 1e150]}, r"holds 1e\+150 for feature 1; .* within ±1e\+145: scale"),
    ({"n_components": 301}, "n_samples >= n_components"),
]


@pytest.mark.parametrize(("settings", "said"), INVALID, ids=str)
def test_priors_that_are_none_are_refused_in_a_sentence(rows, settings, said):
    with pytest.raises(ValueError, match=said):
        fitted(rows, **settings)


def test_a_fit_that_is_refused_leaves_the_model_as_it_was(rows):
    model = fitted(rows)
    before = bits(model)
    with pytest.raises(ValueError, match="mean_prior"):
        model.set_params(mean_prior=[1.0]).fit(rows)
    assert bits(model) == before


def test_constant_and_repeated_features(rows):
    constant = np.column_stack([rows, np.ones(300)])
    repeated = np.column_stack([rows, rows[:, 0]])
    for wide in (constant, repeated):
        with pytest.raises(DataError, match=r"singular .* give covariance_prior, or increase"):
            fitted(wide, reg_covar=0.0)
        with pytest.warns(DegenerateComponentWarning):
            model = fitted(wide)
        assert np.isfinite(model.lower_bound_)
        assert np.isfinite(model.score_samples(wide)).all()
    with pytest.raises(ValueError, match="1 sample"):
        fitted(rows[:1])


def test_a_model_set_by_hand_scores_and_is_saved_as_a_mixture(rows, tmp_path):
    model = fitted(rows, n_components=3)
    plain = BayesianGaussianMixture(n_components=3)
    plain.weights_, plain.means_ = model.weights_, model.means_
    plain.covariances_ = model.covariances_
    by_parts = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_)
    assert_allclose(plain.score_samples(rows), by_parts.score_samples(rows), rtol=1e-12)
    plain.save(tmp_path / "plain.npz")
    again = fastgmm.load(tmp_path / "plain.npz")
    assert_array_equal(again.score_samples(rows), plain.score_samples(rows))
    with pytest.raises(NotFittedError):
        clone(model).predict(rows)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_covariance_that_the_prior_makes_is_not_called_singular(rows, covariance_type):
    # reg_covar adds a tenth to the variances of 100 rows, and so a hundredth beside 1000 others
    settings = {"degrees_of_freedom_prior": 1000.0, "reg_covar": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateComponentWarning)
        fitted(rows, covariance_type=covariance_type, **settings)


def test_equal_rows_under_a_prior_of_their_spread(rows):
    with pytest.warns(DegenerateComponentWarning, match="all rows are the same, for 8 components"):
        fitted(np.repeat(rows[:1], 20, axis=0), covariance_prior=np.eye(2))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_weights_too_large_to_multiply_rows_by_are_refused(rows, covariance_type):
    with pytest.raises(DataError, match=r"sum to 3e\+307, too much to multiply rows by; divide"):
        BayesianGaussianMixture(n_components=2, covariance_type=covariance_type).fit(
            rows, sample_weight=np.full(300, 1e305)
        )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("covariance_type", TYPES)
def test_rows_very_far_away_have_no_predictive_density(rows, covariance_type):
    model = fitted(rows, covariance_type=covariance_type)
    assert_array_equal(model.score_samples(rows[:5] * 1e200, predictive=True), -np.inf)
