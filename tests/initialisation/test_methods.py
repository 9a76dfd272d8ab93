"""First parameters: of the rows and the seed, and of nothing else."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from fastgmm.covariance import FAMILIES, family
from fastgmm.em import Maximisation
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.initialisation import kmeans
from fastgmm.initialisation.kmeans import label
from fastgmm.initialisation.methods import start_from
from fastgmm.passes import subsample as sampling
from fastgmm.passes.subsample import Sample, draw_sample
from fastgmm.sources import open_source, with_weights

METHODS = ["auto", "kmeans", "k-means++", "random", "random_from_data"]
FULL = family("full")


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def blobs(rng, n_rows=300, n_features=3, n_clusters=4, spread=6.0):
    """Rows about centres, in random order."""
    centres = spread * rng.normal(size=(n_clusters, n_features))
    labels = rng.integers(n_clusters, size=n_rows)
    return centres[labels] + rng.normal(size=(n_rows, n_features))


def start(data, method, n_components=3, kind=FULL, reg_covar=1e-6, seed=7, weights=None):
    source = open_source(data)
    if weights is not None:
        source = with_weights(source, weights)
    rng = np.random.default_rng(seed)
    rule = Maximisation(kind, reg_covar)
    return start_from(draw_sample(source, rng), method, n_components, rule, rng)


def assert_same_bits(found, expected):
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        assert_array_equal(getattr(found, name), getattr(expected, name))


def assert_proper(parameters, n_components, n_features):
    assert parameters.means.shape == (n_components, n_features)
    assert np.all(np.isfinite(parameters.means))
    assert np.all(np.isfinite(parameters.precisions_cholesky))
    assert np.all(parameters.weights > 0)
    assert parameters.weights.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("kind", FAMILIES.values(), ids=lambda kind: kind.name)
def test_every_method_starts_every_family(rng, method, kind):
    parameters = start(blobs(rng), method, kind=kind)
    assert_proper(parameters, 3, 3)
    assert parameters.structure == kind.structure


def test_a_seed_decides_all(rng, method):
    rows = blobs(rng)
    assert_same_bits(start(rows, method), start(rows, method))


@pytest.mark.parametrize("method", ["k-means++", "random", "random_from_data"])
def test_another_seed_starts_elsewhere(rng, method):
    rows = rng.normal(size=(300, 3))  # without clusters: no labels are better than all others
    assert not np.array_equal(start(rows, method).means, start(rows, method, seed=8).means)


def test_the_order_of_rows_does_not_change_a_bit(rng, method):
    rows = np.round(blobs(rng), 1)  # with ties
    assert_same_bits(start(rng.permutation(rows), method), start(rows, method))


def test_an_integer_weight_is_a_repetition(rng, method):
    rows = blobs(rng)
    counts = rng.integers(1, 4, size=len(rows))
    repeated = rng.permutation(np.repeat(rows, counts, axis=0))
    assert_same_bits(start(rows, method, weights=counts.astype(float)), start(repeated, method))


def test_rows_written_twice_change_nothing(rng, method):
    rows = blobs(rng)
    assert_same_bits(start(np.concatenate([rows, rows]), method), start(rows, method))


def test_rows_of_weight_zero_are_ignored(rng, method):
    rows = blobs(rng)
    weights = rng.choice([0.0, 1.0, 2.5], size=len(rows))
    rows[weights == 0.0] = 1e9
    kept = weights > 0.0
    found = start(rows, method, weights=weights)
    assert_same_bits(found, start(rows[kept], method, weights=weights[kept]))


def test_chunks_do_not_change_a_bit(rng, method):
    rows = blobs(rng)
    chunks = np.split(rows, [1, 2, 100, 293])
    assert_same_bits(start(lambda: iter(chunks), method), start(rows, method))


def test_a_minus_before_zero_does_not_change_a_bit(rng, method):
    rows = np.round(blobs(rng, spread=1.0))
    assert_same_bits(start(np.where(rows == 0.0, -0.0, rows), method), start(rows, method))


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
def test_the_number_of_blas_threads_does_not_change_a_bit(rng, method):
    rows = rng.normal(size=(50_000, 8))
    with threadpool_limits(1, user_api="blas"):
        expected = start(rows, method, n_components=5)
    with threadpool_limits(2, user_api="blas"):
        assert_same_bits(start(rows, method, n_components=5), expected)


@pytest.mark.parametrize("method", ["kmeans", "random"])
def test_the_number_of_blas_threads_does_not_change_a_bit_of_wide_rows(rng, method):
    rows = rng.normal(size=(12_500, 160))
    with threadpool_limits(1, user_api="blas"):
        expected = start(rows, method, n_components=3)
    with threadpool_limits(2, user_api="blas"):
        assert_same_bits(start(rows, method, n_components=3), expected)


def test_a_large_source_is_sampled(rng, monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", 1000)
    monkeypatch.setattr(sampling, "SORTED_ROWS", 500)
    rows = rng.normal(size=(40_000, 3))
    drawn = draw_sample(open_source(rows), np.random.default_rng(3))
    assert drawn.rows.shape == (1000, 3)
    assert drawn.weights.sum() == pytest.approx(1.0)
    known = {row.tobytes() for row in np.round(rows, 9)}
    assert all(row.tobytes() in known for row in np.round(drawn.rows + drawn.origin, 9))
    # the mean of 1000 normal rows is within five of its deviations of that of all
    assert_allclose(drawn.origin, rows.mean(axis=0), atol=5 / np.sqrt(1000))
    chunks = np.split(rows, [1, 999, 20_000])
    again = draw_sample(open_source(lambda: iter(chunks)), np.random.default_rng(3))
    assert_array_equal(again.rows, drawn.rows)


def test_a_large_sample_is_drawn_by_weight(rng, monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLE_ROWS", 1000)
    rows = np.repeat([[0.0], [1.0], [2.0]], 10_000, axis=0)
    weights = np.repeat([1.0, 3.0, 0.0], 10_000)
    drawn = draw_sample(with_weights(open_source(rows), weights), np.random.default_rng(3))
    values = np.rint(drawn.rows[:, 0] + drawn.origin[0])
    # 1000 draws of chance 3/4: a deviation is 14
    heavy = drawn.weights[values == 1.0].sum() / drawn.weights.sum()
    assert abs(heavy - 0.75) < 5 * 0.014
    assert 2.0 not in values


def test_a_wide_source_gives_fewer_rows(rng, monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLE_NUMBERS", 1000)
    drawn = draw_sample(open_source(rng.normal(size=(300, 20))), np.random.default_rng(3))
    assert drawn.rows.shape == (50, 20)


@pytest.mark.parametrize("kind", FAMILIES.values(), ids=lambda kind: kind.name)
def test_more_components_than_different_rows_need_a_reg_covar(rng, method, kind):
    rows = np.repeat(rng.normal(size=(5, 2)), 20, axis=0)
    assert_proper(start(rows, method, n_components=8, kind=kind, reg_covar=1e-3), 8, 2)
    if method != "random":  # whose components share all rows
        with pytest.raises(DegenerateCovarianceError):
            start(rows, method, n_components=8, kind=kind, reg_covar=0.0)


@pytest.mark.parametrize("kind", FAMILIES.values(), ids=lambda kind: kind.name)
def test_equal_rows_have_their_own_mean(method, kind):
    rows = np.full((50, 2), 3.5)
    parameters = start(rows, method, n_components=2, kind=kind, reg_covar=1e-3)
    assert_proper(parameters, 2, 2)
    assert_allclose(parameters.means, 3.5)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e8])
def test_a_constant_feature_is_no_obstacle(rng, method, constant):
    rows = blobs(rng)
    rows[:, 1] = constant
    parameters = start(rows, method)
    assert_proper(parameters, 3, 3)
    assert_allclose(parameters.means[:, 1], constant, rtol=1e-14)


def test_one_component_is_the_mean_and_covariance_of_the_rows(rng, method):
    rows = 1e6 + blobs(rng)
    parameters = start(rows, method, n_components=1, reg_covar=0.0)
    assert_allclose(parameters.means[0], rows.mean(axis=0), rtol=1e-14)
    assert_allclose(parameters.covariances[0], np.cov(rows.T, bias=True), rtol=1e-8)


def inertia(rows, centres):
    return ((rows[:, None, :] - centres) ** 2).sum(axis=2).min(axis=1).sum()


@pytest.mark.parametrize(("n_features", "n_clusters", "spread"), [(2, 8, 6.0), (5, 12, 2.0)])
def test_k_means_is_as_good_as_scikit_learn_s(rng, n_features, n_clusters, spread):
    rows = blobs(rng, 1500, n_features, n_clusters, spread)
    drawn = draw_sample(open_source(rows), np.random.default_rng(0))
    ours = [
        inertia(drawn.rows, kmeans.k_means(drawn, n_clusters, np.random.default_rng(seed))[0])
        for seed in range(7)
    ]
    theirs = [
        KMeans(n_clusters, n_init=1, random_state=seed).fit(drawn.rows).inertia_
        for seed in range(7)
    ]
    assert np.median(ours) <= 1.05 * np.median(theirs)


def test_k_means_rests_where_centres_are_the_means_of_their_rows(rng):
    drawn = draw_sample(open_source(blobs(rng)), np.random.default_rng(0))
    centres, labels = kmeans.k_means(drawn, 4, np.random.default_rng(1))
    for k, centre in enumerate(centres):
        assert_allclose(drawn.rows[labels == k].mean(axis=0), centre, atol=0.05)
    distances = ((drawn.rows[:, None] - centres) ** 2).sum(axis=2)
    assert_array_equal(labels, distances.argmin(axis=1))


@pytest.mark.parametrize("factor", [1e-6, 1e6, 2.0**40])
def test_standardised_k_means_ignores_units(rng, factor):
    drawn = draw_sample(open_source(blobs(rng)), np.random.default_rng(0))
    scaled = drawn._replace(rows=drawn.rows * [1.0, factor, 1.0])
    _, labels = kmeans.standardised_k_means(drawn, 4, np.random.default_rng(1))
    _, found = kmeans.standardised_k_means(scaled, 4, np.random.default_rng(1))
    assert_array_equal(found, labels)


def test_the_default_start_ignores_units(rng):
    rows = blobs(rng)
    units = np.array([1.0, 1e6, 1e-3])
    found = start(rows * units, "auto", reg_covar=0.0)
    expected = start(rows, "auto", reg_covar=0.0)
    assert_allclose(found.means, expected.means * units, rtol=1e-6)
    assert_allclose(found.weights, expected.weights, rtol=1e-6)


def test_random_responsibilities_are_spread_over_components(rng):
    drawn = draw_sample(open_source(blobs(rng)), np.random.default_rng(0))
    shares = np.array(
        list(kmeans.random_responsibilities(drawn.rows, 4, np.random.default_rng(1))())
    )
    weights = shares * drawn.weights
    assert_allclose(weights.sum(axis=0), drawn.weights, rtol=1e-14)
    # a quarter each, of 300 rows whose shares have a deviation of 0.15
    assert_allclose(weights.sum(axis=1), 0.25, atol=5 * 0.15 / np.sqrt(300))


def test_a_source_without_rows_has_no_start(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("x,y\n")
    with pytest.raises(DataError, match=r"empty\.csv has no rows"):
        draw_sample(open_source(path), np.random.default_rng(0))


@pytest.mark.parametrize("n_features", [2, 3, 9])
def test_labels_do_not_depend_on_the_memory_order_of_rows(rng, n_features):
    rows = rng.normal(size=(50, n_features))
    centres = rows[:4].copy()
    exact = ((rows[None] - centres[:, None]) ** 2).sum(axis=2)
    for ordered in (rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2]):
        labels, _, _ = label(Sample(ordered, np.ones(50), np.zeros(n_features)), centres)
        assert_array_equal(labels, exact.argmin(axis=0))


@pytest.mark.parametrize("n_rows", [1, 3072, 3073, 70_000])
def test_threads_do_not_change_a_bit_of_labels_and_sums(rng, n_rows):
    rows, weights = rng.normal(size=(n_rows, 3)), rng.random(n_rows)
    centres = rng.normal(size=(11, 3))
    sample = Sample(rows, weights, np.zeros(3))
    found = []
    for n_threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(n_threads)
        found.append(label(sample, centres))
    for alone, together in zip(*found, strict=True):
        assert_array_equal(alone, together)
    labels, mass, sums = found[0]
    members = (labels == np.arange(11)[:, None]) * weights
    assert_allclose(mass, members.sum(axis=1), rtol=1e-12)
    assert_allclose(sums, members @ rows, rtol=1e-10, atol=1e-10)
