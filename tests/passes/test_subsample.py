"""The sample of weighted rows: each counts what it stands for, however the rows are read."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from selection.contests import contest_of

from fastgmm import GaussianMixture
from fastgmm.passes import subsample as sampling
from fastgmm.passes.subsample import by_priority, feature_variances, sample_of
from fastgmm.selection.descent import Descent
from fastgmm.sources import open_source, with_weights

MOST = 400


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Have samples of few rows."""
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", MOST)
    monkeypatch.setattr(sampling, "SORTED_ROWS", 0)


def drawn(rows, weights, seed=1):
    """Return the values in a sample of one feature, and what each row counts."""
    found = sample_of(with_weights(open_source(rows[:, None]), weights), seed)
    return found.rows[:, 0] + found.origin[0], found.weights


@pytest.mark.parametrize("weight", [None, 1.0, 0.3, 2.0**-960, 2.0**990])
def test_of_equal_weights_the_largest_random_numbers_are_kept_and_count_alike(rng, weight):
    rows = rng.normal(size=(3000, 1))
    source = (
        open_source(rows) if weight is None else with_weights(open_source(rows), [weight] * 3000)
    )
    found = sample_of(source, 7)
    numbers = np.random.Generator(np.random.Philox(key=[7, 0])).random(3000)
    kept = np.sort(np.argsort(numbers)[-MOST:])
    assert_array_equal(found.weights, np.full(MOST, 1.0 / MOST))
    assert_array_equal(found.rows, rows[kept] - found.origin)


def test_no_row_counts_less_than_it_weighs_or_than_those_let_go_might(rng):
    weights = rng.lognormal(sigma=3.0, size=2000)
    rows = np.arange(2000.0)
    values, counts = drawn(rows, weights)
    kept = np.rint(values).astype(int)
    scale = counts[weights[kept].argmax()] / weights[kept].max()  # the heaviest counts its weight
    threshold = counts.min() / scale
    assert_allclose(counts / scale, np.maximum(weights[kept], threshold), rtol=1e-12)
    assert np.isin(np.flatnonzero(weights > threshold), kept).all()


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_sums_of_weight_are_unbiased(rng, sigma):
    rows, weights = rng.normal(size=3000), rng.lognormal(sigma=sigma, size=3000)
    order = np.argsort(weights)
    subsets = {"the heavy": order[-30:], "the light": order[:2000], "some": np.arange(0, 3000, 7)}
    known = {value: at for at, value in enumerate(np.round(rows, 9))}
    n_seeds, shares = 60, dict.fromkeys(subsets, 0.0)
    for seed in range(n_seeds):
        values, counts = drawn(rows, weights, seed)
        kept = np.array([known[value] for value in np.round(values, 9)])
        for name, subset in subsets.items():
            shares[name] += counts[np.isin(kept, subset)].sum() / n_seeds
    # the variance of a sum is at most W^2 / (m - 1) (Szegedy 2006); five deviations of the mean,
    # and a quotient of two such is off by one variance more
    tolerance = 5.0 / np.sqrt(n_seeds * (MOST - 1)) + 1.0 / (MOST - 1)
    for name, subset in subsets.items():
        assert shares[name] == pytest.approx(weights[subset].sum() / weights.sum(), abs=tolerance)


def test_variances_of_a_grid_of_counts_are_those_of_what_was_counted():
    grid = np.linspace(-10.0, 10.0, 1601)
    counts = 1e6 * np.exp(-0.5 * grid**2)
    found = np.mean(
        [
            feature_variances(sample_of(with_weights(open_source(grid[:, None]), counts), seed))[0]
            for seed in range(20)
        ]
    )
    # a weighted mean of squares that vary by 2: five deviations over 20 samples. It was 2.3
    assert found == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / (20 * (MOST - 1))))


def test_a_heavy_cluster_of_few_rows_keeps_its_share(rng):
    rows = np.concatenate([rng.normal(size=10_000), rng.normal(8.0, 0.3, 30)])
    values, counts = drawn(rows, np.repeat([1.0, 1000.0], [10_000, 30]))
    # all of the 30 are kept; the rest are 370 of equal count, their sum by one priority
    assert counts[values > 5.0].sum() == pytest.approx(0.75, abs=5.0 * 0.25 / np.sqrt(369))
    assert (values > 5.0).sum() == 30


@pytest.mark.parametrize("exponent", [-900, -1, 5, 900])
def test_a_sample_does_not_follow_the_unit_of_the_weights(rng, exponent):
    rows, weights = rng.normal(size=3000), rng.lognormal(sigma=2.0, size=3000)
    expected = drawn(rows, weights)
    for found, known in zip(drawn(rows, weights * 2.0**exponent), expected, strict=True):
        assert_array_equal(found, known)


def test_weights_of_any_size_make_finite_counts(rng):
    weights = 10.0 ** rng.uniform(-320.0, 300.0, 3000)
    weights[::10] = 0.0
    values, counts = drawn(np.arange(3000.0), weights)
    assert np.isfinite(counts).all()
    assert counts.sum() == pytest.approx(1.0)
    assert np.all(np.rint(values) % 10 != 0)


def test_chunks_and_parts_of_a_source_do_not_change_a_bit(rng, monkeypatch):
    size = 1000
    monkeypatch.setattr(sampling, "block_rows", lambda _: size)
    rows, weights = rng.normal(size=(4500, 2)), rng.lognormal(sigma=2.0, size=4500)
    whole = with_weights(open_source(rows), weights)
    expected = sample_of(whole, 3)
    chunks = np.split(rows, [1, 999, 3000])
    found = [sample_of(with_weights(open_source(lambda: iter(chunks)), weights), 3)]

    def in_parts(walk, combine, _):
        kept = []
        for start in range(0, len(rows), size):
            cut = slice(start, start + size)
            part = with_weights(open_source(rows[cut]), weights[cut])
            part.first_row = start
            kept.append(part.gather(walk, combine, size))
        return reduce(combine, kept)

    monkeypatch.setattr(whole, "gather", in_parts)
    found.append(sample_of(whole, 3))
    for each in found:
        for one, other in zip(each, expected, strict=True):
            assert_array_equal(one, other)


def test_a_part_of_a_sample_is_drawn_by_priority(rng):
    weights = np.ones(2000)
    order = by_priority(weights, np.random.default_rng(5))[1]
    assert_array_equal(order, np.random.default_rng(5).permutation(2000))
    weights[:3] = 1e4
    assert set(by_priority(weights, rng)[1][:3]) == {0, 1, 2}


def test_merges_are_tried_on_rows_that_count_what_they_stand_for(rng, monkeypatch):
    monkeypatch.setattr("fastgmm.selection.descent.FEWEST_ROWS", 200)
    rows = np.concatenate([rng.normal(size=(3000, 1)), rng.normal(9.0, 0.5, (4, 1))])
    weights = np.repeat([1.0, 2000.0], [3000, 4])
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", 5000)
    sample = sample_of(with_weights(open_source(rows), weights), 0)
    fewer = Descent(sample, None, contest_of(), rng)._fewer(1)
    heavy = fewer.rows[:, 0] + sample.origin[0] > 5.0
    assert len(fewer.rows) == 200
    assert fewer.weights[heavy].sum() == pytest.approx(8000 / 11_000, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_a_default_fit_of_weighted_rows_ends_where_that_of_the_rows_repeated_does(
    seed, monkeypatch
):
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", 2000)
    # eight heavy clusters of few rows were lost in the sample: 0.3 to 0.7 nats a row
    rng = np.random.default_rng(0)
    centres = rng.normal(0.0, 5.0, (8, 2))
    heavy = [rng.normal(centre, 0.2, (30, 2)) for centre in centres]
    rows = np.concatenate([rng.normal(0.0, 5.0, (4000, 2)), *heavy])
    counts = np.repeat([1, 50], [4000, 240])
    repeated = np.repeat(rows, counts, axis=0)
    weighted = GaussianMixture(9, random_state=seed).fit(rows, sample_weight=counts)
    plain = GaussianMixture(9, random_state=seed).fit(repeated)
    assert weighted.score(repeated) == pytest.approx(plain.score(repeated), abs=0.02)
