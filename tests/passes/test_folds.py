"""Folds: which rows they hold, what is summed without them, and how rows held out are scored."""

from __future__ import annotations

import math
import pickle

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import passes
from fastgmm.errors import DataError
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import folds
from fastgmm.passes.folds import N_FOLDS, rows_by_fold
from fastgmm.passes.subsample import sample_of
from fastgmm.sources import open_source, with_weights


def fold_of_each(n_rows, start=0):
    """Return the fold of each row."""
    found = np.full(n_rows, -1)
    for fold, its in enumerate(rows_by_fold(start, n_rows)):
        assert np.all(found[its] == -1)
        found[its] = fold
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 128 rows, so that small data have several."""
    monkeypatch.setattr(folds, "block_rows", lambda n_features: 128)


# Which rows a fold holds


def test_every_row_has_one_fold_and_folds_differ_by_one_row_at_most():
    for n_rows in range(60):
        found = fold_of_each(n_rows)
        assert found.min(initial=0) >= 0
        counts = np.bincount(found, minlength=N_FOLDS)
        assert counts.max() - counts.min() <= 1


def test_a_rows_fold_follows_from_its_place_alone():
    whole = fold_of_each(1000)
    for start in (0, 1, 2, 3, 4, 5, 64, 333, 999):
        assert_array_equal(fold_of_each(1000 - start, start), whole[start:])
        assert_array_equal(fold_of_each(1, start), whole[start : start + 1])
    assert_array_equal(fold_of_each(50, 2**40 + 3)[7:], fold_of_each(43, 2**40 + 10))


@pytest.mark.parametrize("period", [2, 3, 5, 7, 10, 25])
def test_every_fold_holds_as_much_of_each_phase_of_a_periodic_file(period):
    n_rows = 200_000
    counts = np.zeros((period, N_FOLDS))
    np.add.at(counts, (np.arange(n_rows) % period, fold_of_each(n_rows)), 1.0)
    expected = n_rows / (period * N_FOLDS)
    assert np.abs(counts - expected).max() < 6.0 * math.sqrt(expected)  # six deviations


def test_folds_in_a_row_are_not_told_from_those_before():
    """Of 24 or 25 pairs of a group's first fold with the next one's, each is as frequent."""
    first = fold_of_each(500_000)[::N_FOLDS]
    counts = np.bincount(N_FOLDS * first[:-1] + first[1:], minlength=25)
    expected = len(first) / 25
    assert np.abs(counts - expected).max() < 6.0 * math.sqrt(expected)


# Sums


def test_statistics_are_those_of_the_rows_that_a_candidate_sees(case, small_blocks):
    source = with_weights(open_source(case.rows), case.row_weights)
    left_out = [*range(N_FOLDS), None]
    found = folds.statistics(source, [case.parameters] * 6, left_out)
    of_rows = fold_of_each(len(case.rows))
    for each, fold in zip(found, left_out, strict=True):
        seen = of_rows != (-1 if fold is None else fold)
        rows, weights = case.rows[seen], case.row_weights[seen]
        expected = naive.statistics(rows, weights, case.parameters)
        # as in test_accumulate
        for name in ("weight", "first", "second", "log_likelihood"):
            exact = getattr(expected, name)
            scale = np.max(np.abs(exact))
            assert_allclose(getattr(each, name), exact, rtol=1e-11, atol=1e-13 * scale)
        assert each.n_rows == np.count_nonzero(weights)
        assert each.row_weight == pytest.approx(weights.sum(), rel=1e-14)


def test_without_folds_statistics_are_those_of_any_pass(make_case):
    case = make_case("full", 300, 3, 4)
    source = open_source(case.rows)
    (found,) = folds.statistics(source, [case.parameters], [None])
    (both, _) = folds.statistics(source, [case.parameters] * 2, [None, 1])
    (expected,) = passes.statistics(source, [case.parameters])
    for name in ("weight", "first", "second"):
        assert_array_equal(getattr(found, name), getattr(expected, name))
        assert_array_equal(getattr(both, name), getattr(expected, name))


def test_sums_that_cancel_are_taken_about_the_means_where_rows_are_left_out():
    """Rows of a spread of 1e-6 about 1 under components of a spread of 1, as in a poor start."""
    rng = np.random.default_rng(0)
    rows = 1.0 + 1e-6 * rng.normal(size=(400, 2))
    parameters = Parameters.from_covariances("diagonal", [1.0], np.zeros((1, 2)), np.ones((1, 2)))
    (found,) = folds.statistics(open_source(rows), [parameters], [0])
    seen = rows[fold_of_each(400) != 0]
    # squares about the mean of all, 1, keep what 1e-12 leaves of 16 digits
    assert_allclose(found.means[0], seen.mean(axis=0), rtol=1e-13)


# Scores


def naive_held_out(rows, weights, fits):
    """Mean and standard error of the scores, by their definitions."""
    of_rows = fold_of_each(len(rows))
    scores = np.empty(len(rows))
    for fold, fit in enumerate(fits):
        scores[of_rows == fold] = naive.log_likelihoods(rows[of_rows == fold], fit).astype(float)
    mean = np.average(scores, weights=weights)
    n_rows = np.count_nonzero(weights)
    spread = (weights**2 * (scores - mean) ** 2).sum() * n_rows / (n_rows - 1)
    return mean, math.sqrt(spread) / weights.sum(), scores


def fits_near(parameters, seed):
    """Return five mixtures that differ."""
    rng = np.random.default_rng(seed)
    return [
        Parameters.from_covariances(
            parameters.structure,
            parameters.weights,
            parameters.means + 0.3 * rng.normal(size=parameters.means.shape),
            parameters.covariances,
        )
        for _ in range(N_FOLDS)
    ]


def test_the_mean_and_its_error_are_those_of_the_definition(case, small_blocks):
    fits, others = fits_near(case.parameters, 0), fits_near(case.parameters, 1)
    for weights in (np.ones(len(case.rows)), case.row_weights):
        source = with_weights(open_source(case.rows), weights)
        found = folds.held_out(source, [fits, others], [-3.0, 0.0], 1.0)
        for each, its in zip(found, (fits, others), strict=True):
            mean, error, _ = naive_held_out(case.rows, weights, its)
            assert_allclose(each.mean, mean, rtol=1e-11)
            assert_allclose(each.standard_error, error, rtol=1e-9)


def test_of_equal_weights_the_error_is_numpys(make_case):
    case = make_case("full", 300, 3, 4)
    fits = fits_near(case.parameters, 0)
    _, _, scores = naive_held_out(case.rows, np.ones(300), fits)
    expected = np.std(scores, ddof=1) / math.sqrt(300)
    source = open_source(case.rows)
    (found,) = folds.held_out(source, [fits], [scores.mean()], 1.0)
    assert_allclose(found.standard_error, expected, rtol=1e-12)
    weighted = with_weights(source, np.full(300, 8.0))
    (again,) = folds.held_out(weighted, [fits], [scores.mean()], 8.0)
    assert again == found


def test_squares_of_large_scores_keep_their_digits():
    """One row in a thousand lies so far away that its log density is -5e9."""
    rows = np.random.default_rng(0).normal(size=(5000, 1))
    rows[::1000] = 1e5
    fits = [Parameters.from_covariances("spherical", [1.0], [[0.0]], [1.0])] * N_FOLDS
    _, error, scores = naive_held_out(rows, np.ones(5000), fits)
    (found,) = folds.held_out(open_source(rows), [fits], [-1.4], 1.0)
    assert scores.min() < -4e9
    assert_allclose(found, (scores.mean(), error), rtol=1e-12)


def test_a_row_out_of_every_reach_leaves_no_nan():
    rows = np.random.default_rng(0).normal(size=(50, 1))
    rows[7] = 1e200
    weights = np.ones(50)
    fits = [Parameters.from_covariances("spherical", [1.0], [[0.0]], [1.0])] * N_FOLDS
    (found,) = folds.held_out(open_source(rows), [fits], [-1.4], 1.0)
    assert found == (-math.inf, math.inf)
    rows[7] = 1e100  # a log density whose square is no number
    (found,) = folds.held_out(open_source(rows), [fits], [-1.4], 1.0)
    assert math.isfinite(found.mean)
    assert found.standard_error == math.inf
    weights[7] = 0.0
    (found,) = folds.held_out(with_weights(open_source(rows), weights), [fits], [-1.4], 1.0)
    assert math.isfinite(found.mean)
    assert math.isfinite(found.standard_error)


def test_weights_whose_squares_are_no_numbers_are_divided_first(make_case):
    case = make_case("full", 300, 3, 4)
    fits = fits_near(case.parameters, 0)
    (expected,) = folds.held_out(open_source(case.rows), [fits], [-5.0], 1.0)
    for weight in (2.0**600, 2.0**-600):
        source = with_weights(open_source(case.rows), np.full(300, weight))
        (found,) = folds.held_out(source, [fits], [-5.0], weight)
        assert found == expected


def test_no_rows_are_refused(make_case):
    parameters = make_case("full", 50, 1, 1).parameters
    with pytest.raises(DataError, match="holds no rows"):
        folds.held_out(open_source(lambda: iter([np.empty((0, 1))])), [[parameters] * 5], [0], 1.0)


# The same bits


def test_chunks_and_threads_do_not_change_a_bit(rng, n_threads):
    import numba

    rows = rng.normal(size=(150_000, 2))
    parameters = Parameters.from_covariances(
        "full", [0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [np.eye(2)] * 2
    )

    def bits(source):
        found = folds.statistics(source, [parameters] * 3, [None, 0, 4])
        sums = [each.second.tobytes() for each in found]
        (scores,) = folds.held_out(source, [[parameters] * N_FOLDS], [-3.0], 1.0)
        sample = folds.drawn(source, 1)
        return sums, scores, sample.rows.tobytes(), sample.folds.tobytes()

    expected = bits(open_source(rows))
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        chunks = np.split(rows, [1, 7, 70_000, 70_003, 149_999])
        assert bits(open_source(lambda: iter(chunks))) == expected
    finally:
        numba.set_num_threads(before)


def test_partitions_of_a_dask_array_have_the_folds_of_its_rows(make_case):
    dask_array = pytest.importorskip("dask.array")
    case = make_case("full", 300, 3, 4)
    fits = fits_near(case.parameters, 0)
    lazy = open_source(dask_array.from_array(case.rows, chunks=(90, 3)))
    (expected,) = folds.held_out(open_source(case.rows), [fits], [-5.0], 1.0)
    (found,) = folds.held_out(lazy, [fits], [-5.0], 1.0)
    assert_allclose(found, expected, rtol=1e-12)
    drawn = folds.drawn(lazy, 1)
    assert_array_equal(drawn.folds, fold_of_each(300))
    assert_array_equal(drawn.rows, case.rows)


def test_what_travels_to_a_worker_can_be_pickled(make_case):
    case = make_case("diagonal", 50, 2, 1)
    found = folds.held_out(open_source(case.rows), [[case.parameters] * N_FOLDS], [0.0], 1.0)
    assert pickle.loads(pickle.dumps(found)) == found


# Samples


def test_of_few_rows_a_folds_sample_is_all_that_it_leaves_to_see(rng):
    rows, weights = rng.normal(size=(203, 2)), rng.choice([0.0, 1.0, 3.0], size=203)
    source = with_weights(open_source(rows), weights)
    whole, drawn = sample_of(source, 1), folds.drawn(source, 2)
    of_rows = fold_of_each(203)
    for fold in range(N_FOLDS):
        seen = (of_rows != fold) & (weights > 0.0)
        found = drawn.seen(fold, whole)
        order = np.lexsort(rows[seen].T[::-1])
        assert_allclose(found.rows + found.origin, rows[seen][order], atol=1e-15)
        assert_allclose(found.weights, weights[seen][order] / weights[seen].sum(), rtol=1e-14)
        assert found.n_rows == seen.sum()
        assert_allclose(found.row_weight, weights[seen].sum(), rtol=1e-12)
        assert_allclose(found.own_weight, weights[seen].sum(), rtol=1e-12)
    assert drawn.fewest == min(
        np.count_nonzero((of_rows != fold) & (weights > 0.0)) for fold in range(N_FOLDS)
    )


def test_no_sample_holds_a_row_that_is_left_out(rng, monkeypatch):
    monkeypatch.setattr(folds, "most_rows", lambda n_features: 500)
    rows = np.arange(4000.0)[:, None]
    source = open_source(rows)
    whole, drawn = sample_of(source, 1), folds.drawn(source, 2)
    assert len(drawn.rows) == 500
    of_rows = fold_of_each(4000)
    for fold in range(N_FOLDS):
        found = drawn.seen(fold, whole)
        places = np.rint(found.rows + found.origin)[:, 0].astype(int)
        assert 350 < len(places) < 450
        assert np.all(of_rows[places] != fold)
