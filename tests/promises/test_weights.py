"""A weight of 0 is a row left out, a weight of 2 a row written twice, and order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgmm import (
    AutoGaussianMixture,
    DataError,
    DegenerateComponentWarning,
    WeightsWarning,
    open_source,
    passes,
    select,
)
from fastgmm.estimators import GaussianMixture, partial_fit

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
    settings = {"init_params": init_params, "prior": None}  # which counts them against its own
    assert_same_model(fit(rows, counts * 4.0, **settings), fit(rows, counts, **settings))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_weights_that_sum_to_one_are_given_the_prior_of_their_rows(rows, covariance_type):
    rows = np.concatenate([rows, rows[:28] + 0.3])
    settings = {"covariance_type": covariance_type}
    plain, weighted = fit(rows, **settings), fit(rows, np.full(128, 1 / 128), **settings)
    assert_same_model(weighted, plain)
    assert weighted.prior_strength_ * 128 == plain.prior_strength_


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


EXTREME = [-960, -900, -149, -126, -30, 30, 100, 126, 128, 900, 1000]  # powers of two


@pytest.fixture(scope="module")
def single():
    """Rows of float32 in two clusters, and their weights."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(300, 3)), rng.normal(6.0, 1.0, size=(100, 3))])
    return rows.astype(np.float32), rng.uniform(0.5, 1.5, 400)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("exponent", EXTREME)
def test_weights_of_float32_rows_have_no_unit(single, exponent, covariance_type):
    rows, weights = single
    model = GaussianMixture(2, covariance_type=covariance_type, prior=None, random_state=0)
    expected = clone(model).fit(rows, sample_weight=weights)
    found = clone(model).fit(rows, sample_weight=weights * 2.0**exponent)
    for name in (*FITTED, "lower_bounds_"):
        assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("scale", [1e-44, 1e38, 1e200])
def test_weights_of_float32_rows_in_chunks_and_in_a_column_have_no_unit(single, scale):
    pd = pytest.importorskip("pandas")
    rows, weights = single
    model = GaussianMixture(2, prior=None, random_state=0)
    expected = clone(model).fit(rows, sample_weight=weights * scale)
    pieces = np.array_split(rows, 7)
    found = clone(model).fit(lambda: iter(pieces), sample_weight=weights * scale)
    plain = clone(model).fit(rows, sample_weight=weights)
    frame = pd.DataFrame(rows).add_prefix("x").assign(w=weights * scale)
    named = clone(model).fit(open_source(frame, weight="w"))
    for name in FITTED:
        assert_array_equal(getattr(found, name), getattr(expected, name))
        assert_array_equal(getattr(named, name), getattr(expected, name))
        # the scale is no power of two, so that the weights are rounded otherwise
        assert_allclose(getattr(expected, name), getattr(plain, name), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("exponent", [0, 30, 61, 130, 400])
def test_float32_rows_of_very_different_weights_are_fitted_as_float64_ones(rng, exponent):
    rows = np.concatenate([rng.normal(size=(300, 2)), rng.normal(20.0, 1.0, size=(300, 2))])
    weights = rng.uniform(0.5, 1.5, 600)
    weights[300:] *= 2.0**-exponent
    start = {"weights_init": [0.5, 0.5], "means_init": rows[[0, 599]], "reg_covar": 1e-3}
    precisions = np.tile(np.eye(2), (2, 1, 1))
    model = GaussianMixture(2, **start, precisions_init=precisions, max_iter=1, tol=0.0)
    with pytest.warns(ConvergenceWarning):
        double = clone(model).fit(rows, sample_weight=weights)
    with pytest.warns(ConvergenceWarning):
        found = clone(model).fit(rows.astype(np.float32), sample_weight=weights)
    assert_allclose(found.means_, double.means_, atol=1e-4)
    assert_allclose(found.covariances_, double.covariances_, atol=1e-4)


def test_weights_too_large_to_multiply_rows_by_are_refused_for_that(single):
    rows, weights = single
    for each in (rows, rows.astype(np.float64)):
        with pytest.raises(DataError, match=r"weights of the rows sum to .*too much to multiply"):
            GaussianMixture(2, random_state=0).fit(each, sample_weight=weights * 2.0**1014)


@pytest.fixture(scope="module")
def uneven():
    """2000 rows, and 200 elsewhere that weigh a thousandth of them."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(2000, 2)), rng.normal(8.0, 1.0, size=(200, 2))])
    return rows, np.repeat([1000.0, 1.0], [2000, 200])


@pytest.mark.parametrize("unit", [1.0, 8.0, 1e30])
def test_select_finds_a_cluster_of_light_rows(uneven, unit):
    rows, weights = uneven
    for each in (rows, rows.astype(np.float32)):
        found = select(each, [1, 2], "full", random_state=0, sample_weight=unit * weights)
        assert not found.collapsed.any()
        assert found.best_estimator_.n_components == 2


def test_select_chooses_as_among_the_rows_repeated(rng):
    rows = np.concatenate([rng.normal(size=(300, 2)), rng.normal(9.0, 1.0, size=(40, 2))])
    counts = np.repeat([100, 1], [300, 40])
    repeated = select(np.repeat(rows, counts, axis=0), [1, 2], "full", random_state=0)
    weighted = select(rows, [1, 2], "full", random_state=0, sample_weight=counts)
    assert weighted.best_estimator_.n_components == repeated.best_estimator_.n_components == 2
    assert_allclose(weighted.table["bic"], repeated.table["bic"], rtol=1e-6)
    assert_array_equal(weighted.collapsed, repeated.collapsed)


def test_a_fit_does_not_call_light_rows_none(uneven):
    rows, weights = uneven
    start = {"means_init": [[0.0, 0.0], [8.0, 8.0]], "random_state": 0}
    model = GaussianMixture(2, **start).fit(rows, sample_weight=weights)  # and no warning
    assert model.weights_[1] == pytest.approx(1e-4, rel=0.1)


def test_bins_of_a_histogram_are_rows_of_their_component():
    grid = np.linspace(-8.0, 40.0, 961)
    counts = np.round(1e7 * np.exp(-0.5 * grid**2) + 30 * np.exp(-0.5 * (grid - 30.0) ** 2))
    assert counts[grid > 20.0].sum() * len(grid) < 0.5 * counts.sum()  # less than half a row
    model = GaussianMixture(2, means_init=[[0.0], [30.0]], random_state=0)
    model.fit(grid[:, None], sample_weight=counts)
    assert model.means_[1, 0] == pytest.approx(30.0, abs=0.05)


@pytest.mark.parametrize("weights", [np.ones(50), np.full(50, 1e-6), np.full(50, 1e6)])
def test_a_component_of_one_row_is_told_whatever_the_weights(rng, weights):
    rows = np.concatenate([rng.normal(size=(49, 2)), [[50.0, 50.0]]])
    start = {"weights_init": [0.9, 0.1], "means_init": rows[[0, 49]]}
    model = GaussianMixture(2, **start, precisions_init=np.tile(np.eye(2), (2, 1, 1)))
    with pytest.warns(DegenerateComponentWarning, match="component 1 holds one row"):
        model.fit(rows, sample_weight=weights)
    weights = weights * np.r_[np.ones(49), 500.0]  # heavy, and one row all the same
    with pytest.warns(DegenerateComponentWarning, match="component 1 holds one row"):
        model.fit(rows, sample_weight=weights)


def test_the_smallest_component_is_told_by_its_rows(rng):
    rows = np.concatenate([rng.normal(size=(500, 2)), np.tile([[9.0, 9.0]], (20, 1))])
    weights = np.repeat([1000.0, 1.0], [500, 20])
    model = GaussianMixture(2, means_init=[[0.0, 0.0], [9.0, 9.0]], random_state=0)
    with pytest.warns(DegenerateComponentWarning, match="about 20 rows"):
        model.fit(rows, sample_weight=weights)


def test_rows_are_counted_by_a_pass_only_where_weights_leave_their_number_open(uneven, monkeypatch):
    rows, weights = uneven
    passes_made = []

    def counted(source, parameters, count=passes.own_rows):
        passes_made.append(source.name)
        return count(source, parameters)

    monkeypatch.setattr(passes, "own_rows", counted)
    model = GaussianMixture(2, means_init=[[0.0, 0.0], [8.0, 8.0]], random_state=0)
    for plain in (None, np.ones(len(rows)), 1.0 + (np.arange(len(rows)) % 3)):
        model.fit(rows, sample_weight=plain)
    assert not passes_made
    model.fit(rows, sample_weight=weights)
    assert passes_made == ["the array"]


def test_first_rows_of_partial_fit_are_judged_by_their_number(monkeypatch):
    seen = []

    def sound(counts, n_features, judge=partial_fit._is_sound):
        seen.append(counts)
        return judge(counts, n_features)

    monkeypatch.setattr(partial_fit, "_is_sound", sound)
    rng = np.random.default_rng(1)
    model = GaussianMixture(2, random_state=0)
    for _ in range(3):
        rows = np.concatenate([rng.normal(size=(100, 2)), rng.normal(8.0, 1.0, size=(50, 2))])
        model.partial_fit(rows, sample_weight=np.repeat([1000.0, 1.0], [100, 50]))
    assert seen
    assert min(counts.min() for counts in seen) > 40.0


CRITERIA = {"aic": "a parameter costs 2,", "bic": r"costs log\(1\) = 0,", "icl": r"log\(1\) = 0,"}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_criterion_warns_of_weights_that_sum_to_less_than_their_rows(rows, criterion):
    model = fit(rows)
    judge = getattr(model, criterion)
    weights = np.r_[np.full(80, 1.0 / 80), np.zeros(20)]
    words = f"weights of 80 rows sum to 1, which {criterion} .*{CRITERIA[criterion]}.* by 80,"
    with pytest.warns(WeightsWarning, match=words):
        judge(rows, sample_weight=weights)
    for enough in (80.0 * weights, np.full(100, 3.0), None, rounded_to_ones(rows)):
        judge(rows, sample_weight=enough)  # and no warning


def rounded_to_ones(rows):
    """Weights scaled to the number of rows, of a sum that is a little less by rounding."""
    weights = np.random.default_rng(0).uniform(0.1, 2.0, len(rows)).astype(np.float32)
    return weights * np.float32(len(rows)) / weights.sum() * np.float32(1 - 2e-7)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_select_warns_of_weights_that_sum_to_less_than_their_rows(rows, criterion):
    weights = np.full(100, 0.01)
    with pytest.warns(WeightsWarning, match=f"sum to 1, which {criterion} takes for"):
        select(rows, [1, 2], "full", criterion, 0, sample_weight=weights)
    with pytest.warns(WeightsWarning, match="multiply the weights by 100"):
        AutoGaussianMixture([1, 2], covariance_type="full", random_state=0).fit(
            rows, sample_weight=weights
        )
    select(rows, [1, 2], "full", criterion, 0, sample_weight=100.0 * weights)  # and no warning
