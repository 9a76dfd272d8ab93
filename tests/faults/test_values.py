"""Numbers that are none, too large, too small, too far or all alike (1-33)."""

from __future__ import annotations

import warnings

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import GaussianMixture
from fastgmm.errors import DataError, DegenerateComponentWarning

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


@pytest.fixture(params=COVARIANCE_TYPES)
def covariance_type(request):
    return request.param


@pytest.fixture
def rows(rng):
    """Two clusters of 200 rows, six standard deviations apart."""
    rows = rng.normal(size=(400, 3))
    rows[200:] += 6.0
    return rows


def fit(rows, n_components=2, sample_weight=None, **settings):
    """Fit, and see that nothing of the model is NaN or infinite."""
    model = GaussianMixture(n_components, random_state=0, **settings)
    model.fit(rows, sample_weight=sample_weight)
    for name in ARRAYS:
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.lower_bounds_).all()
    return model


def full_precisions(model):
    return naive.matrices(model.covariance_type, model.precisions_, *model.means_.shape)


def refusal(*args, **settings):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the callers look at the words
        fit(*args, **settings)
    return str(caught.value)


def in_chunks(rows):
    return lambda: iter(np.array_split(rows, 7))


@pytest.mark.parametrize("row", [0, 200, 399])
@pytest.mark.parametrize(
    ("value", "word"),
    [(np.nan, "no value (NaN or null)"), (np.inf, "infinity"), (-np.inf, "infinity")],
)
def test_a_number_that_is_none_is_named_by_row_and_column(rows, row, value, word):
    rows[row, 1] = value
    for data in (rows, rows.astype(np.float32), in_chunks(rows)):
        message = refusal(data)
        assert f"row {row} of" in message
        assert f"holds {word} in column 1" in message


def test_nan_at_predict_is_not_said_to_be_before_fitting(rows):
    model = fit(rows)
    rows[3, 2] = np.nan
    with pytest.raises(
        DataError, match=r"row 3 of the array holds no value .* in column 2; drop or"
    ):
        model.predict(rows)


@pytest.mark.parametrize("n_rows", [0, 1, 2])
def test_fewer_rows_than_components_are_refused_with_both_numbers(rows, n_rows):
    message = refusal(rows[:n_rows], n_components=3)
    assert f"{n_rows} sample" in message or f"n_samples = {n_rows}" in message


def test_a_single_row_is_refused(rows, covariance_type):
    assert "minimum of 2" in refusal(rows[:1], n_components=1, covariance_type=covariance_type)


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_an_offset_costs_nothing_but_the_digits_of_the_data(rows, covariance_type, offset):
    far = rows + offset
    start = {"means_init": far[[0, 399]], "covariance_type": covariance_type}
    here = fit(far - offset, **(start | {"means_init": (far - offset)[[0, 399]]}))
    there = fit(far, **start)
    # far - offset is exact: both fits see the same differences, but for means of eps * offset
    slack = 4 * np.finfo(np.float64).eps * offset
    assert_allclose(there.means_ - offset, here.means_, atol=slack)
    assert_allclose(there.covariances_, here.covariances_, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-160, 1e-310, 1e-145])
def test_squares_that_underflow_are_refused_with_the_range(rows, covariance_type, scale):
    for reg_covar in (0.0, 1e-6):
        message = refusal(rows * scale, covariance_type=covariance_type, reg_covar=reg_covar)
        assert "column 0 of the array varies by" in message
        assert "1e-140 or more" in message


@pytest.mark.parametrize("exponent", [-450, 450])
def test_scales_up_to_the_range_change_exponents_alone(rows, covariance_type, exponent):
    settings = {"means_init": rows[[0, 399]], "reg_covar": 0.0, "covariance_type": covariance_type}
    scale = 2.0**exponent
    model = fit(rows, **settings)
    scaled = fit(rows * scale, **(settings | {"means_init": rows[[0, 399]] * scale}))
    assert_array_equal(scaled.predict(rows * scale), model.predict(rows))
    assert_allclose(scaled.means_, model.means_ * scale, rtol=1e-9)
    assert_allclose(scaled.covariances_ / scale / scale, model.covariances_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("large", [1e146, -1e160, 1e300])
def test_a_number_whose_square_overflows_is_named_with_the_range(rows, covariance_type, large):
    rows[117, 2] = large
    for data in (rows, in_chunks(rows)):
        message = refusal(data, covariance_type=covariance_type)
        assert f"holds {large:g} in column 2" in message
        assert "row 117" in message
        assert "within ±1e+145" in message


def test_single_precision_has_its_own_range_and_a_way_out(rows):
    rows[5, 0] = 1e20
    assert "give it as float64" in refusal(rows.astype(np.float32))
    assert "1e-17 or more in float32" in refusal((rows[50:] * 1e-25).astype(np.float32))
    fit(rows[50:] * 1e-25, reg_covar=0.0)


def test_a_far_row_that_does_not_count_does_no_harm(rows):
    weights = np.ones(len(rows))
    rows[5], weights[5] = 1e300, 0.0
    without = fit(np.delete(rows, 5, axis=0))
    assert_allclose(fit(rows, sample_weight=weights).means_, without.means_, rtol=1e-12)


def test_denormal_numbers_among_others_are_as_good_as_zero(rows):
    rows[::7, 0] = 0.0
    zeros = fit(rows)
    rows[::7, 0] = 1e-310
    assert_allclose(fit(rows).means_, zeros.means_, rtol=1e-13)


def test_rows_of_whole_numbers_are_fitted(rng, covariance_type):
    lattice = rng.binomial(12, [0.3, 0.6], size=(600, 2)).astype(float)
    settings = {"covariance_type": covariance_type, "tol": 1e-5}
    model = fit(lattice, 2, **settings)
    assert_monotone(model)
    # a component that sinks into one value of the lattice keeps the variance it is given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        many = fit(lattice, 12, reg_covar=1e-2, **settings)
    assert np.min(np.linalg.eigvalsh(np.linalg.inv(full_precisions(many)))) >= 1e-2 * (1 - 1e-9)


def test_minus_zero_is_zero_to_the_bit(rows, covariance_type):
    rows[::40, 0] = 0.0
    positive = fit(rows, covariance_type=covariance_type)
    rows[::40, 0] = -0.0
    negative = fit(rows, covariance_type=covariance_type)
    for name in ARRAYS:
        assert_array_equal(getattr(negative, name), getattr(positive, name))


def test_heavy_tails_are_climbed_without_a_fall(rng):
    tails = rng.standard_cauchy(size=(2000, 2))
    for covariance_type in COVARIANCE_TYPES:
        model = fit(tails, 3, covariance_type=covariance_type, max_iter=400, tol=1e-3)
        assert_monotone(model)


def assert_monotone(model):
    bounds = np.array(model.lower_bounds_)
    # reg_covar is no part of the likelihood that is climbed: it may cost its share, 1e-6 a feature
    assert (np.diff(bounds) >= -1e-5 - 1e-12 * np.abs(bounds[1:])).all()


def test_clusters_without_any_overlap_have_responsibilities_0_and_1(rows, covariance_type):
    rows[200:] += 1e4
    model = fit(rows, covariance_type=covariance_type)
    shares = model.predict_proba(rows)
    assert set(np.unique(shares)) == {0.0, 1.0}
    assert np.isfinite(model.score_samples(rows)).all()
    assert_allclose(model.weights_, 0.5, rtol=1e-12)


@pytest.mark.parametrize("far", [1e8, 1e19, 1e154, 1e200, -1e300, np.finfo(np.float64).max])
@pytest.mark.parametrize("place", ["every feature", "one feature", "both signs"])
def test_posteriors_of_far_rows_sum_to_one(rows, covariance_type, far, place):
    model = fit(rows, covariance_type=covariance_type)
    row = {"every feature": [far] * 3, "one feature": [0, far, 0], "both signs": [far, -far, 0]}
    data = np.vstack([rows[:2], row[place], rows[-2:]])
    shares, scores = model.predict_proba(data), model.score_samples(data)
    assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-15)
    assert not np.isnan(scores).any()
    assert scores[2] < -1e10
    assert 0 <= model.predict(data)[2] < 2
    assert_array_equal(shares[[0, 1, 3, 4]], model.predict_proba(data[[0, 1, 3, 4]]))
    if abs(far) < 1e20:
        single = model.predict_proba(data.astype(np.float32))
        assert_allclose(single.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("offset", [300.0, 1e4])
def test_single_precision_keeps_the_variance_at_an_offset(rows, covariance_type, offset):
    far = (rows + offset).astype(np.float32)
    settings = {"means_init": far[[0, 399]].astype(np.float64), "covariance_type": covariance_type}
    single, double = fit(far, **settings), fit(far.astype(np.float64), **settings)
    assert single.means_.dtype == np.float32
    assert_allclose(single.covariances_, double.covariances_, rtol=2e-5, atol=2e-5)


ONES = np.ones(400)
NO_WEIGHTS = {
    "negative": (np.r_[ONES[1:], -1.0], "row 399 of the array has the negative weight -1"),
    "NaN": (np.r_[np.nan, ONES[1:]], "row 0 of the array has the weight NaN"),
    "infinite": (np.r_[1.0, np.inf, ONES[2:]], "row 1 of the array has an infinite weight"),
    "zero": (0 * ONES, "all weights of the array are zero"),
    "a sum past all numbers": (1e308 * ONES, "add up to infinity"),
    "a sum near nothing": (1e-310 * ONES, "too little to divide by"),
    "too few": (ONES[1:], "399 sample weights were given for 400 rows"),
    "a column": (ONES[:, None], r"1-d, one for each row; these have the shape \(400, 1\)"),
    "text": (["1"] * 400, "text '1'"),
    "complex": (1j * ONES, "[Cc]omplex"),
    "masked": (np.ma.masked_equal(np.r_[2.0, ONES[1:]], 2.0), "masked"),
}


@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_weights_that_are_none_are_refused_each_in_its_own_words(rows, kind):
    weights, words = NO_WEIGHTS[kind]
    with pytest.raises(DataError, match=words):
        fit(rows, sample_weight=weights)
    with pytest.raises(DataError, match=words):
        fit(rows).score(rows, sample_weight=weights)


def test_rows_of_weight_zero_are_as_if_they_were_not_there(rows, covariance_type):
    weights = np.ones(len(rows))
    weights[::5] = 0.0
    kept = rows[weights > 0]
    settings = {"covariance_type": covariance_type}
    weighted, without = fit(rows, sample_weight=weights, **settings), fit(kept, **settings)
    assert weighted.n_rows_ == len(kept)
    assert_allclose(weighted.means_, without.means_, rtol=1e-12, atol=1e-12)
    bic = weighted.bic(rows, sample_weight=weights)
    assert bic == pytest.approx(without.bic(kept), rel=1e-12)


@pytest.mark.parametrize("exponent", [-900, -100, 100, 900])
def test_weights_of_any_size_mean_the_same(rows, covariance_type, exponent):
    settings = {"covariance_type": covariance_type, "means_init": rows[[0, 399]]}
    weights = np.tile([1.0, 2.0], 200)
    model = fit(rows, sample_weight=weights, **settings)
    scaled = fit(rows, sample_weight=weights * 2.0**exponent, **settings)
    assert_allclose(scaled.means_, model.means_, rtol=1e-13)
    assert_allclose(scaled.covariances_, model.covariances_, rtol=1e-11, atol=1e-12)


def test_tiny_weights_beside_large_ones_count_for_what_they_are(rows):
    rows[:10] = 50.0
    weights = np.ones(len(rows))
    weights[:10] = 5e-324
    model = fit(rows, sample_weight=weights)
    assert model.n_rows_ == len(rows)
    assert_allclose(np.sort(model.means_[:, 0]), [0, 6], atol=0.3)
