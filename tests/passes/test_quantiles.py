"""The threshold for outliers is NumPy's quantile, from any source and in few passes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastgmm
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.passes import quantiles
from fastgmm.sources import Source, open_source

SHARES = [1e-9, 0.001, 0.01, 0.07, 0.25, 0.5, 0.99, 1 - 1e-12]


class CountedSource(Source):
    """Rows of another source, and how often they were walked."""

    def __init__(self, rows):
        self.inner = open_source(rows)
        super().__init__("counted rows", self.inner.labels, self.inner.dtype, self.inner.n_rows)
        self.n_passes = 0

    def chunks(self):
        self.n_passes += 1
        return self.inner.chunks()


@pytest.fixture
def rows(rng):
    return rng.standard_t(3, size=(3001, 2))


@pytest.fixture
def model():
    covariances = [[[1.0, 0.3], [0.3, 2.0]], [[4.0, 0.0], [0.0, 1.0]]]
    return GaussianMixture.from_parameters([0.7, 0.3], [[0.0, 0.0], [2.0, 1.0]], covariances)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    """Many blocks of few rows, so that what they hold has to be joined."""
    monkeypatch.setattr(quantiles, "block_rows", lambda n_features: 64)


@pytest.fixture(params=[2**21, 100, 1])
def _held_rows(request, monkeypatch):
    """As many rows as may be held at once: all, few, or one."""
    monkeypatch.setattr(quantiles, "HELD_ROWS", request.param)


@pytest.mark.usefixtures("_held_rows")
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("n_rows", [1, 2, 101, 1000, 3001])
def test_it_is_the_quantile_of_numpy(model, rows, share, n_rows):
    data = rows[:n_rows]
    # NumPy's rounding of (n - 1) * share is its own, and moves the weight of a neighbour by it
    np.testing.assert_allclose(
        model.threshold(data, share), np.quantile(model.score_samples(data), share), rtol=1e-13
    )


@pytest.mark.usefixtures("_held_rows")
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["whole", "fractional"])
def test_with_weights_it_is_the_weighted_quantile_of_numpy(model, rows, share, kind, rng):
    # thirds of whole numbers would tie with a share in one order of summation and not in another
    weights = rng.integers(0, 4, len(rows)) if kind == "whole" else rng.random(len(rows))
    expected = np.quantile(model.score_samples(rows), share, weights=weights, method="inverted_cdf")
    assert model.threshold(rows, share, sample_weight=weights) == expected


@pytest.mark.usefixtures("_held_rows")
def test_equal_rows_take_their_common_density(model, rows):
    data = np.repeat(rows[:5], 200, axis=0)
    scores = np.sort(model.score_samples(rows[:5]))
    assert [model.threshold(data, share) for share in (0.1, 0.3, 0.9)] == scores[[0, 1, 4]].tolist()
    assert model.threshold(np.repeat(rows[:1], 500, axis=0)) == model.score_samples(rows[:1])[0]


@pytest.mark.usefixtures("_held_rows")
@pytest.mark.parametrize("share", [0.01, 0.07, 0.5])
def test_a_weight_of_two_is_a_row_written_twice(model, rows, share, rng):
    weights = rng.integers(0, 4, len(rows))
    twice = np.repeat(rows, weights, axis=0)
    assert model.threshold(rows, share, sample_weight=weights) == model.threshold(
        twice, share, sample_weight=np.ones(len(twice))
    )


def test_scale_of_the_weights_does_not_matter(model, rows, rng):
    weights = rng.integers(0, 4, len(rows))
    assert model.threshold(rows, 0.05, sample_weight=weights) == model.threshold(
        rows, 0.05, sample_weight=weights / 1024
    )


def test_a_weight_column_of_a_source_counts(model, rows, rng):
    weights = rng.integers(0, 4, len(rows))
    source = open_source(np.column_stack([rows, weights]), columns=[0, 1], weight=2)
    assert model.threshold(source) == model.threshold(rows, sample_weight=weights)


def test_files_frames_and_chunks_have_the_threshold_of_the_array(model, rows, tmp_path):
    pd = pytest.importorskip("pandas")
    np.save(tmp_path / "rows.npy", rows)
    expected = model.threshold(rows)
    for data in (tmp_path / "rows.npy", lambda: np.array_split(rows, 7)):
        assert model.threshold(data) == expected
    with pytest.warns(UserWarning, match="feature names"):
        assert model.threshold(pd.DataFrame(rows, columns=["a", "b"])) == expected


def test_few_rows_take_one_pass_and_many_take_two(model, rows, monkeypatch):
    source = CountedSource(rows)
    expected = model.threshold(source)
    assert source.n_passes == 1
    monkeypatch.setattr(quantiles, "HELD_ROWS", 500)
    source = CountedSource(rows)
    assert model.threshold(source) == expected
    assert source.n_passes == 2


def test_no_rows_take_more_than_five_passes(model, rows, monkeypatch):
    monkeypatch.setattr(quantiles, "HELD_ROWS", 0)
    source = CountedSource(rows)
    assert model.threshold(source) == np.quantile(model.score_samples(rows), 0.01)
    assert source.n_passes <= 5


def test_single_precision_rows_are_ordered_by_their_own_scores(model, rows):
    data = rows.astype(np.float32)
    scores = model.score_samples(data)
    assert scores.dtype == np.float32
    assert model.threshold(data, 0.03) == np.quantile(scores.astype(np.float64), 0.03)


def test_rows_out_of_every_reach_are_below_all_others(model):
    data = np.array([[1e200, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert model.score_samples(data)[0] == -np.inf
    assert model.threshold(data, 0.1) == -np.inf
    assert np.isfinite(model.threshold(data, 0.9))


def test_the_order_of_doubles_is_that_of_their_keys():
    numbers = np.array([-np.inf, -1e300, -1.0, -5e-324, 0.0, 5e-324, 1.0, np.inf])
    keys = quantiles._keys(numbers)
    assert (keys[:-1] < keys[1:]).all()
    assert_array_equal([quantiles._number(int(key)) for key in keys], numbers)


def test_the_estimator_that_chooses_has_a_threshold_too(rows):
    chosen = fastgmm.AutoGaussianMixture([1, 2], random_state=0).fit(rows)
    assert chosen.threshold(rows, 0.02) == np.quantile(chosen.score_samples(rows), 0.02)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2, float("nan")])
def test_what_is_no_share_is_refused(model, rows, share):
    with pytest.raises(ValueError, match=r"is no share of the rows; give a number above 0"):
        model.threshold(rows, share)


def test_no_rows_have_no_threshold(model):
    with pytest.raises(DataError, match="holds no rows"):
        model.threshold(np.empty((0, 2)))


def test_rows_that_change_between_passes_are_refused(model, rows, monkeypatch):
    monkeypatch.setattr(quantiles, "HELD_ROWS", 10)
    turns = iter([rows, rows + 50.0])
    with pytest.raises(SourceChangedError, match="must walk the same rows"):
        model.threshold(open_source(lambda: [next(turns)], columns=None))
