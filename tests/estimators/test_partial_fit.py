"""Rows that arrive call by call."""

from __future__ import annotations

import pickle
import warnings
from functools import cache

import numba
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fastgmm
from fastgmm import DataError, GaussianMixture, em, passes
from fastgmm.covariance import family
from fastgmm.estimators import partial_fit
from fastgmm.estimators.partial_fit import enough, to_keep, variances_of
from fastgmm.mixture import sampling
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import model as models

K, D = 4, 3


def stream(n_rows, seed=0, shift=0.0):
    """Rows of four clusters that overlap a little, in random order."""
    rng = np.random.default_rng(seed)
    means = 3.0 * np.random.default_rng(1).normal(size=(K, D)) + shift
    labels = rng.choice(K, p=[0.4, 0.3, 0.2, 0.1], size=n_rows)
    scales = np.array([0.5, 1.0, 1.5, 0.8])
    return means[labels] + scales[labels, None] * rng.normal(size=(n_rows, D))


def batches(rows, size):
    """Cut rows into batches of a size, or of any sizes."""
    if size == "ragged":
        cuts = np.cumsum(np.random.default_rng(2).integers(5, 900, size=len(rows)))
        return np.split(rows, cuts[cuts < len(rows) - 5])
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def arrived(rows, size, **settings):
    model = GaussianMixture(K, random_state=0, **settings)
    for batch in batches(rows, size):
        model.partial_fit(batch)
    return model


@cache
def score_of_the_batch_fit(kind, n_rows):
    model = GaussianMixture(K, random_state=0, covariance_type=kind, tol=1e-6, max_iter=1000)
    return model.fit(stream(n_rows)).score(stream(20_000, seed=9))


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("size", [10, 100, 1000, 20_000, "ragged"])
def test_a_stream_in_any_batches_ends_near_the_batch_fit(kind, size):
    rows, held_out = stream(10_000 if size != 10 else 3_000), stream(20_000, seed=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = arrived(rows, size, covariance_type=kind)
    assert found.score(held_out) > score_of_the_batch_fit(kind, len(rows)) - 0.02
    assert found.n_rows_ == found.row_weight_ == len(rows)


def test_drifting_data_are_followed_the_sooner_the_smaller_the_power():
    drifting = [stream(500, seed=i, shift=0.05 * i) for i in range(100)]
    now = stream(20_000, seed=999, shift=0.05 * 99)
    best = GaussianMixture(K, random_state=0).fit(now).score(now)
    short = {}
    for power in (1.0, 0.6):
        model = GaussianMixture(K, random_state=0, step_power=power)
        for batch in drifting:
            model.partial_fit(batch)
        short[power] = best - model.score(now)
    assert short[0.6] < 0.25
    assert short[0.6] < 0.25 * short[1.0]


def test_one_component_of_power_1_has_the_mean_and_covariance_of_all_rows():
    rows = stream(5_000)
    model = GaussianMixture(1, step_power=1.0, reg_covar=0.0)
    for batch in batches(rows, "ragged"):
        model.partial_fit(batch)
    np.testing.assert_allclose(model.means_[0], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.covariances_[0], np.cov(rows.T, bias=True), rtol=1e-11)


def test_weights_count_as_rows_that_are_written_twice_or_left_out():
    # a tenth of the rows before is learned from in one step
    rows, more = stream(2_000), stream(100, seed=3)
    weights = np.random.default_rng(4).integers(0, 3, size=len(more))
    by_weight = GaussianMixture(K, random_state=0).fit(rows)
    by_hand = pickle.loads(pickle.dumps(by_weight))
    by_weight.partial_fit(more, sample_weight=weights)
    by_hand.partial_fit(np.repeat(more, weights, axis=0))
    np.testing.assert_allclose(by_weight.means_, by_hand.means_, rtol=1e-12)
    np.testing.assert_allclose(by_weight.covariances_, by_hand.covariances_, rtol=1e-11)
    assert by_weight.row_weight_ == by_hand.row_weight_
    before = by_weight.means_
    with pytest.raises(DataError, match="all weights"):
        by_weight.partial_fit(more, sample_weight=np.zeros(len(more)))
    assert by_weight.means_ is before


def test_a_step_whose_rows_weigh_nothing_is_left_out():
    model = GaussianMixture(K, random_state=0).fit(stream(2_000))
    weights = np.repeat([0.0, 1.0], [enough(K, D), 100])
    model.partial_fit(stream(len(weights), seed=3), sample_weight=weights)
    assert (model.n_iter_, model.n_rows_) == (1, 2_100)


def test_a_step_of_many_blocks_holds_one_at_a_time(monkeypatch):
    rows, more = stream(2_000), stream(3_000, seed=3)
    expected = GaussianMixture(K, random_state=0).fit(rows).partial_fit(more)
    found = GaussianMixture(K, random_state=0).fit(rows)
    held = []

    def watched(block, parameters, original=passes.block_statistics, **settings):
        held.append(len(block.rows))
        return original(block, parameters, **settings)

    monkeypatch.setattr(models, "block_rows", lambda n_features: 100)
    monkeypatch.setattr(passes, "block_statistics", watched)
    found.partial_fit(more)
    assert set(held) == {100}
    assert found.n_iter_ == expected.n_iter_ == 3  # of 1200, 1200 and 600 rows
    np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-11, atol=1e-13)


def test_first_rows_are_kept_of_a_source_of_unknown_length():
    rows = stream(600)
    chunks = [rows[:7], rows[7:]]
    found = GaussianMixture(K, random_state=0).partial_fit(lambda: iter(chunks))
    expected = GaussianMixture(K, random_state=0).partial_fit(rows)
    for model in (found, expected):
        model.partial_fit(stream(700, seed=3))
    np.testing.assert_array_equal(found.means_, expected.means_)


def test_after_fit_it_goes_on_with_the_weight_of_the_fit():
    rows, more = stream(2_000), stream(300, seed=3)
    model = GaussianMixture(K, random_state=0).fit(rows, sample_weight=np.full(len(rows), 2.0))
    assert (model.n_rows_, model.row_weight_) == (2_000, 4_000.0)
    before = model.means_.copy()
    model.partial_fit(more)
    assert model.row_weight_ == 4_300.0
    assert 0.0 < np.abs(model.means_ - before).max() < 0.2
    again = model.fit(rows)
    np.testing.assert_array_equal(again.means_, GaussianMixture(K, random_state=0).fit(rows).means_)


def test_a_model_made_of_parameters_learns_from_few_rows_as_from_many():
    truth = GaussianMixture(K, random_state=0).fit(stream(5_000))
    made = GaussianMixture.from_parameters(truth.weights_, truth.means_, truth.covariances_)
    made.partial_fit(stream(3, seed=5))
    assert made.row_weight_ == enough(K, D) + 3
    assert made.score(stream(5_000, seed=6)) > truth.score(stream(5_000, seed=6)) - 0.02


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_model_goes_on_from_its_file_and_from_a_pickle_with_the_same_bits(tmp_path, dtype):
    rows = stream(2_000).astype(dtype)
    model = GaussianMixture(K, random_state=0).partial_fit(rows[:1600])  # past the first rows
    model.save(tmp_path / "model.npz")
    others = [fastgmm.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))]
    model.partial_fit(rows[1600:])
    assert model.means_.dtype == dtype
    for other in others:
        other.partial_fit(rows[1600:])
        np.testing.assert_array_equal(other.covariances_, model.covariances_)
        assert other.row_weight_ == model.row_weight_


def test_a_pickle_keeps_the_first_rows():
    rows = stream(1_000)
    model = GaussianMixture(K, random_state=0).partial_fit(rows[:600])
    other = pickle.loads(pickle.dumps(model)).partial_fit(rows[600:])
    np.testing.assert_array_equal(other.means_, model.partial_fit(rows[600:]).means_)


def test_sources_are_learned_from_as_arrays_are(tmp_path):
    rows, more = stream(500), stream(3_000, seed=3)
    np.save(tmp_path / "more.npy", more)
    found = [
        GaussianMixture(K, random_state=0).partial_fit(rows).partial_fit(each).means_
        for each in (more, tmp_path / "more.npy", lambda: iter(np.split(more, [7, 1000])))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_relative_regularisation_is_of_the_mixture_s_own_variances():
    scales = np.array([1e-6, 1.0, 1e6])
    fitted = GaussianMixture(K, random_state=0).fit(stream(2_000))
    found = []
    for units in (np.ones(D), scales):
        covariances = fitted.covariances_ * np.outer(units, units)
        model = GaussianMixture.from_parameters(fitted.weights_, fitted.means_ * units, covariances)
        model.set_params(reg_covar=1e-3, reg_covar_relative=True)
        found.append(model.partial_fit(stream(1_000, seed=3) * units))
    np.testing.assert_allclose(found[1].means_, found[0].means_ * scales, rtol=1e-10)
    covariances = found[0].covariances_ * np.outer(scales, scales)
    np.testing.assert_allclose(found[1].covariances_, covariances, rtol=1e-9)
    for structure, covariances in {
        "spherical": [1.0, 2.0],
        "diagonal": [[1.0, 3.0], [2.0, 1.0]],
        "tied": [[2.0, 0.5], [0.5, 1.0]],
        "full": [np.eye(2), 2.0 * np.eye(2)],
    }.items():
        mixture = Parameters.from_covariances(structure, [0.3, 0.7], [[0, 1], [5, 2]], covariances)
        drawn, _ = sampling.sample(mixture, 200_000, np.random.RandomState(0))
        np.testing.assert_allclose(variances_of(mixture), drawn.var(axis=0), rtol=0.02)


def test_a_component_that_gets_no_rows_fades_and_is_never_nan():
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0.0], [1e6]], [[[1.0]], [[1.0]]]
    ).set_params(step_power=0.55)
    rng = np.random.default_rng(0)
    for _ in range(50):
        model.partial_fit(rng.normal(size=(5_000, 1)))
    assert 0.0 <= model.weights_[1] < 1e-9
    assert np.isfinite(model.score_samples([[0.0], [1e6]])).all()
    assert np.isfinite(model.covariances_).all()


def test_what_does_not_fit_is_refused_and_changes_nothing(monkeypatch):
    model = GaussianMixture(K, random_state=0).partial_fit(stream(50))
    before = dict(vars(model))
    with pytest.raises(ValueError, match="2 features"):
        model.partial_fit(stream(50)[:, :2])
    with pytest.raises(DataError, match="row 3"):
        model.partial_fit(np.where(np.arange(50)[:, None] == 3, np.nan, stream(50)))
    with pytest.raises(ValueError, match="from 4 components"):
        clone_with(model, n_components=5).partial_fit(stream(50))
    monkeypatch.setattr(em.Maximisation, "estimate", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.partial_fit(stream(20, seed=1))
    assert all(vars(model)[name] is before[name] for name in before)


def clone_with(model, **settings):
    other = pickle.loads(pickle.dumps(model))
    return other.set_params(**settings)


def test_a_first_call_of_few_rows_begins_anew_as_more_arrive():
    few, rows = stream(K), stream(2_000, seed=3)
    model = GaussianMixture(K, random_state=0).partial_fit(few)
    assert model.n_rows_ == K
    model.partial_fit(rows[:100], sample_weight=np.full(100, 2.0))
    assert (model.n_rows_, model.row_weight_) == (K + 100, K + 200.0)
    model.partial_fit(rows[100:])
    whole = GaussianMixture(K, random_state=0).fit(rows)
    assert model.score(rows) > whole.score(rows) - 0.05


def test_rows_are_kept_for_the_sake_of_parameters_within_a_bound():
    # (d + 1)(d + 2) / 2 parameters a component, less one; 40 rows for each
    assert to_keep(family("full"), 20, 32, 0.9) == 40 * (20 * 561 - 1)
    assert to_keep(family("full"), 20, 32, 1.0) == 40 * (20 * 561 - 1)
    assert to_keep(family("full"), 20, 32, 0.6) == enough(20, 32) == 64_000
    assert to_keep(family("spherical"), 20, 32, 0.9) == enough(20, 32)
    assert to_keep(family("full"), 100, 100, 0.9) * 100 == 16_000_000


def kept_numbers(model):
    first = vars(model).get("_first_rows")
    return 0 if first is None else sum(part.rows.size for part in first.parts)


def test_rows_are_kept_and_count_alike_until_they_are_let_go_at_once():
    rows = stream(1_700)
    model = GaussianMixture(1, random_state=0, step_power=0.6, reg_covar=0.0)
    kept = []
    for batch in batches(rows, 85):
        model.partial_fit(batch)
        kept.append(kept_numbers(model))
        if kept[-1]:
            seen = rows[: model.n_rows_]
            np.testing.assert_allclose(model.means_[0], seen.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(model.covariances_[0], np.cov(seen.T, bias=True), rtol=1e-11)
    n_kept = sum(n_numbers > 0 for n_numbers in kept)
    assert n_kept == (enough(1, D) - 1) // 85
    assert not any(kept[n_kept:])


def test_what_is_kept_has_a_bound(monkeypatch):
    monkeypatch.setattr(partial_fit, "MOST_NUMBERS", 900)
    model, most = GaussianMixture(K, random_state=0), 0
    for batch in batches(stream(600), 20):
        model.partial_fit(batch)
        most = max(most, kept_numbers(model))
    assert most == 840  # 300 rows, or more, would be let go
    assert kept_numbers(model) == 0


def overlapping(n_rows):
    """Rows of eight components in five dimensions, which EM tells apart in many passes."""
    rng = np.random.default_rng(1)
    means = rng.normal(size=(8, 5))
    return means[rng.integers(8, size=n_rows)] + 0.7 * rng.normal(size=(n_rows, 5))


def overlapping_halves(n_rows):
    return np.split(overlapping(n_rows + 10_000), [n_rows])


@cache
def score_of_all_overlapping(n_rows):
    rows, held_out = overlapping_halves(n_rows)
    return GaussianMixture(8, random_state=0, tol=1e-5).fit(rows).score(held_out)


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("n_rows", [3_300, 8_000])  # of which 6680 are kept
def test_components_that_overlap_are_learned_as_from_all_rows_together(size, n_rows):
    rows, held_out = overlapping_halves(n_rows)
    model = GaussianMixture(8, random_state=0, tol=1e-5)
    for batch in batches(rows, size):
        model.partial_fit(batch)
    assert model.score(held_out) > score_of_all_overlapping(n_rows) - 0.02


def test_a_mixture_that_is_likelier_than_a_new_start_stays(monkeypatch):
    def no_better(self, *arguments, original=GaussianMixture._begun):
        attributes = original(self, *arguments)
        return attributes | {"means_": np.zeros_like(attributes["means_"])}

    rows = stream(1_000)
    sound = GaussianMixture(K, random_state=0).partial_fit(rows[:500])
    # four rows at one place are a component by chance, and very likely: it does not stay
    rare = np.r_[rows[:496], 40.0 + 1e-3 * rows[:4]]
    by_chance = GaussianMixture(K, random_state=0).partial_fit(rare)
    assert by_chance.weights_.min() * 500 == pytest.approx(4.0, rel=1e-6)
    monkeypatch.setattr(GaussianMixture, "_begun", no_better)
    assert sound.partial_fit(rows[500:]).means_.any()
    assert not by_chance.partial_fit(rows[500:]).means_.any()


def test_threads_do_not_change_a_bit_of_what_is_learned():
    rng = np.random.default_rng(0)
    rows = 3.0 * rng.normal(size=(6, 8))[rng.integers(6, size=40_000)]
    rows += rng.normal(size=rows.shape)

    def learned():
        model = GaussianMixture(6, random_state=0, tol=1e-3)
        for batch in np.split(rows, [3_000, 7_000, 7_100, 25_000]):
            model.partial_fit(batch)
        return model

    expected, before = learned(), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        found = learned()
    finally:
        numba.set_num_threads(before)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_names_are_compared_and_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(stream(400), columns=["a", "b", "c"])
    model = GaussianMixture(K, random_state=0).partial_fit(frame[:200])
    model.partial_fit(frame[200:])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame.rename(columns={"a": "z"}))


def test_the_trace_scores_rows_before_they_are_learned():
    rows, more = stream(2_000), stream(300, seed=3)
    model = GaussianMixture(K, random_state=0).fit(rows)
    expected = model.score(more)
    model.partial_fit(more)
    assert model.n_iter_ == len(model.lower_bounds_) == 1
    assert model.lower_bound_ == pytest.approx(expected, rel=1e-12)
    model.partial_fit(stream(2_000, seed=4))
    assert model.n_iter_ == len(model.lower_bounds_) == 2  # 1200 rows, and what is left
    assert not model.converged_


def test_a_clone_has_seen_nothing():
    model = clone(GaussianMixture(K, step_power=0.7).partial_fit(stream(100)))
    assert model.step_power == 0.7
    assert not [name for name in vars(model) if name.endswith("_") or name.startswith("_first")]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_rows_that_are_too_few_are_kept_until_there_are_enough(size):
    rows = stream(60)
    expected = GaussianMixture(5, random_state=0).partial_fit(rows[:60])
    model = GaussianMixture(5, random_state=0)
    for batch in batches(rows, size):
        assert model.partial_fit(batch) is model
    assert model.n_rows_ == model.row_weight_ == 60
    assert model.score(rows) == pytest.approx(expected.score(rows), abs=0.5)


def test_the_first_fit_is_that_to_all_rows_until_then_with_their_weights():
    rows, weights = stream(5), np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    model = GaussianMixture(5, random_state=0)
    for part in (slice(2), slice(2, 3), slice(3, 5)):
        model.partial_fit(rows[part], sample_weight=weights[part])
    expected = GaussianMixture(5, random_state=0).partial_fit(rows, sample_weight=weights)
    np.testing.assert_array_equal(model.means_, expected.means_)
    np.testing.assert_array_equal(model.covariances_, expected.covariances_)
    assert (model.n_rows_, model.row_weight_) == (5, 7.5)


def test_rows_without_weight_do_not_count_among_the_first():
    rows = stream(40)
    model = GaussianMixture(3, random_state=0).partial_fit(rows[:4], sample_weight=[1, 0, 0, 1])
    with pytest.raises(NotFittedError, match=r"needs 3 rows .* keeps 2 so far; give it 1 more"):
        model.predict(rows)
    model.partial_fit(rows[4:5])
    expected = GaussianMixture(3, random_state=0)
    expected.partial_fit(rows[:5], sample_weight=[1, 0, 0, 1, 1])
    np.testing.assert_array_equal(model.means_, expected.means_)
    assert model.row_weight_ == 3.0


def test_before_there_are_enough_rows_every_use_says_how_many_are_missing():
    rows = stream(10)
    model = GaussianMixture(5, random_state=0).partial_fit(rows[:1]).partial_fit(rows[1:3])
    assert (model.n_rows_, model.n_features_in_, model.converged_) == (3, D, False)
    said = r"needs 5 rows to begin \(n_components=5\) and keeps 3 so far; give it 2 more"
    for use in (
        lambda: model.predict(rows),
        lambda: model.score(rows),
        lambda: model.sample(3),
        lambda: model.save("never.npz"),
    ):
        with pytest.raises(NotFittedError, match=said):
            use()
    one = GaussianMixture(1).partial_fit(rows[:1])
    with pytest.raises(NotFittedError, match=r"needs 2 rows .* keeps 1 so far; give it 1 more"):
        one.predict(rows)
    assert one.partial_fit(rows[1:2]).predict(rows).shape == (10,)


def test_a_pickle_keeps_the_rows_that_are_too_few_and_fit_forgets_them():
    rows = stream(100)
    model = GaussianMixture(5, random_state=0).partial_fit(rows[:3])
    again = pickle.loads(pickle.dumps(model)).partial_fit(rows[3:10])
    np.testing.assert_array_equal(again.means_, model.partial_fit(rows[3:10]).means_)
    begun = GaussianMixture(5, random_state=0).partial_fit(rows[:3]).fit(rows)
    np.testing.assert_array_equal(begun.means_, GaussianMixture(5, random_state=0).fit(rows).means_)
    assert begun.n_rows_ == 100
    assert not hasattr(clone(model), "n_rows_")


def test_a_call_that_is_refused_keeps_the_rows_before_it():
    rows = stream(10)
    model = GaussianMixture(5, random_state=0).partial_fit(rows[:3])
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        model.partial_fit(rows[3:5, :2])
    with pytest.raises(DataError, match="row 1 of the array holds no value"):
        model.partial_fit([rows[3], [1.0, np.nan, 2.0]])
    assert model.n_rows_ == 3
    assert model.partial_fit(rows[3:5]).n_rows_ == 5


def test_names_of_features_are_those_of_the_first_rows():
    frame = pd.DataFrame(stream(10), columns=["a", "b", "c"])
    model = GaussianMixture(5, random_state=0).partial_fit(frame[:2])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame[["b", "a", "c"]][2:4])
    model.partial_fit(frame[2:])
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    model.partial_fit(frame)


def test_few_rows_before_a_large_batch_are_learned_after_it():
    rows = stream(5_000)
    model = GaussianMixture(K, random_state=0).partial_fit(rows[:2]).partial_fit(rows[2:])
    assert model.n_rows_ == model.row_weight_ == 5_000
    expected = GaussianMixture(K, random_state=0).fit(rows)
    assert model.score(rows) == pytest.approx(expected.score(rows), abs=0.02)


def test_first_rows_come_from_any_source(tmp_path):
    rows = stream(12)
    np.save(tmp_path / "1.npy", rows[:2])
    model = GaussianMixture(5, random_state=0).partial_fit(tmp_path / "1.npy")
    model.partial_fit(lambda: iter([rows[2:3], rows[3:7]]))
    expected = GaussianMixture(5, random_state=0).partial_fit(rows[:7])
    np.testing.assert_array_equal(model.means_, expected.means_)


@pytest.mark.parametrize("n_first", [0, 3, 50, 5_000])
def test_a_batch_without_rows_warns_that_nothing_was_learned(n_first):
    rows = stream(5_010)
    model = GaussianMixture(K, random_state=0)
    if n_first:
        model.partial_fit(rows[:n_first])
    before = pickle.dumps(model)
    for empty in (rows[:0], pd.DataFrame(rows[:0])):
        with pytest.warns(UserWarning, match="was given no rows, and has learned nothing"):
            model.partial_fit(empty)
    for empty in ([], ()):
        with pytest.raises(DataError, match=r"of shape \(0, n_features\) it is an empty batch"):
            model.partial_fit(empty)
    assert pickle.dumps(model) == before
    if n_first:
        model.partial_fit(rows[n_first : n_first + 10])
        assert model.n_rows_ == n_first + 10
