"""Starts of rows with many features."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import adjusted_rand_score

from fastgmm import GaussianMixture
from fastgmm.covariance import family
from fastgmm.em import Maximisation
from fastgmm.initialisation import wide
from fastgmm.initialisation.auto import auto_start, regularised_start
from fastgmm.initialisation.prior_strength import STRENGTHS
from fastgmm.initialisation.wide import is_wide, labels_by, leading
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import labels as labels_of_kernel
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source

KINDS = ["full", "tied", "diag", "spherical"]


def blobs(n_rows, n_features, n_components, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    means = spread * rng.standard_normal((n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    return means[labels] + rng.standard_normal((n_rows, n_features)), labels


def start(rows, n_components, kind="full", seed=0, reg_covar=1e-6):
    rng = np.random.default_rng(seed)
    sample = draw_sample(open_source(rows), rng)
    rule = Maximisation(family(kind), reg_covar)
    return regularised_start(sample, n_components, rule, STRENGTHS, rng)


def agreement(rows, labels, found):
    source = open_source(rows)
    return adjusted_rand_score(labels, labels_of_kernel(source, found.parameters))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(400, 120, 4), (900, 60, 8)])
def test_clusters_of_many_features_are_found(kind, shape):
    rows, labels = blobs(*shape)
    assert is_wide(shape[2], shape[1])
    assert agreement(rows, labels, start(rows, shape[2], kind)) > 0.99


def test_more_features_than_rows():
    rows, labels = blobs(150, 300, 3)
    found = start(rows, 3)
    assert agreement(rows, labels, found) > 0.99
    assert found.prior is not None


def test_features_in_any_unit():
    rows, labels = blobs(600, 80, 4)
    units = 10.0 ** np.random.default_rng(1).uniform(-4.0, 4.0, 80)
    assert agreement(rows * units, labels, start(rows * units, 4, reg_covar=0.0)) > 0.99


def test_clusters_in_five_of_eighty_features():
    rng = np.random.default_rng(3)
    labels = rng.integers(4, size=1500)
    rows = rng.standard_normal((1500, 80))
    rows[:, :5] += 4.0 * rng.standard_normal((4, 5))[labels]
    assert agreement(rows, labels, start(rows, 4)) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_clusters_long_in_five_directions_each_are_found_by_exchanges(seed):
    rng = np.random.default_rng(seed)
    loadings, means = rng.standard_normal((5, 5, 80)), rng.standard_normal((5, 80))
    labels = rng.integers(5, size=3000)
    rows = means[labels] + 0.5 * rng.standard_normal((3000, 80))
    hidden = rng.standard_normal((3000, 5))
    for k in range(5):
        rows[labels == k] += hidden[labels == k] @ loadings[k]
    assert agreement(rows, labels, start(rows, 5)) > 0.99


@pytest.mark.parametrize("seed", range(6))
def test_ten_overlapping_clusters_of_one_covariance_are_found_by_exchanges(seed):
    rng = np.random.default_rng(1005)
    means = 5.0 / np.sqrt(120.0) * rng.standard_normal((10, 60))  # five deviations apart
    labels = rng.integers(10, size=1000)
    rows = (means[labels] + rng.standard_normal((1000, 60))) @ rng.standard_normal((60, 60))
    model = GaussianMixture(10, covariance_type="tied", random_state=seed).fit(rows)
    # EM from the truth has 0.85; without exchanges, half of the seeds end at 0.76 or less
    assert adjusted_rand_score(labels, model.predict(rows)) > 0.82


def test_parallel_clusters_along_a_short_direction_are_found():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=20_000)
    rows = rng.standard_normal((20_000, 52))
    rows[:, :15] *= 12.0
    rows[:, -1] += 6.0 * labels
    rows @= np.linalg.qr(rng.standard_normal((52, 52)))[0]
    assert agreement(rows, labels, start(rows, 2)) > 0.95


@pytest.mark.slow
def test_clusters_of_one_mean_are_left_to_their_covariances():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=4000)
    rows = rng.standard_normal((4000, 50))
    for k in range(3):
        axes = rng.permutation(np.geomspace(0.3, 6.0, 50))
        rows[labels == k] = (
            rows[labels == k] * axes @ np.linalg.qr(rng.standard_normal((50, 50)))[0]
        )
    model = GaussianMixture(3, random_state=0).fit(rows)
    assert adjusted_rand_score(labels, model.predict(rows)) > 0.99


def test_the_strength_of_clusters_of_one_shape_is_large_and_of_different_ones_small():
    rows, _ = blobs(2000, 60, 4)
    alike = start(rows, 4).prior.rows
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=8000)
    apart = 6.0 * rng.standard_normal((4, 60))
    factors = rng.standard_normal((4, 60, 60))
    rows = np.empty((8000, 60))
    for k in range(4):
        its = labels == k
        rows[its] = apart[k] + rng.standard_normal((its.sum(), 60)) @ factors[k]
    other = start(rows, 4).prior
    assert alike >= 1000.0
    assert other is None or other.rows <= 10.0


def test_a_strength_that_is_given_is_kept():
    rows, _ = blobs(300, 80, 3)
    model = GaussianMixture(3, prior=2.5, random_state=0).fit(rows)
    assert model.prior_strength_ == 2.5
    assert GaussianMixture(3, prior=None, random_state=0).fit(rows).prior_strength_ == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_for_any_number_of_threads_and_chunks(kind):
    rows, _ = blobs(1500, 150, 3, spread=0.3)
    expected = start(rows, 3, kind)
    numba.set_num_threads(1)
    try:
        alone = start(rows, 3, kind)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    pieces = start(open_source(rows, chunk_rows=377), 3, kind)
    for found in (alone, pieces):
        assert_array_equal(found.parameters.means, expected.parameters.means)
        assert_array_equal(found.parameters.covariances, expected.parameters.covariances)


def test_rows_of_one_value_and_equal_features():
    rows = np.ones((50, 60))
    found = start(rows, 2)
    assert np.isfinite(found.parameters.covariances).all()
    rows, labels = blobs(400, 60, 3)
    doubled = np.hstack([rows, rows, np.full((400, 1), 7.0)])
    assert agreement(doubled, labels, start(doubled, 3)) > 0.99


def test_one_hot_rows():
    rng = np.random.default_rng(0)
    codes = rng.integers(20, size=(300, 4))
    rows = np.hstack([np.eye(20)[codes[:, j]] for j in range(4)])
    found = start(rows, 4)
    assert np.isfinite(found.parameters.covariances).all()
    assert_allclose(found.parameters.weights.sum(), 1.0)


def test_auto_start_goes_the_same_way():
    rows, labels = blobs(400, 120, 4)
    rng = np.random.default_rng(0)
    sample = draw_sample(open_source(rows), rng)
    found = auto_start(sample, 4, Maximisation(family("diag"), 1e-6), rng)
    assert adjusted_rand_score(labels, labels_of_kernel(open_source(rows), found)) > 0.99


@pytest.mark.parametrize("structure", ["diagonal", "spherical"])
def test_labels_by_products_are_those_of_the_kernel(structure):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((700, 30))
    variances = rng.uniform(0.5, 2.0, (4, 30) if structure == "diagonal" else 4)
    kind = {"diagonal": "diag", "spherical": "spherical"}[structure]
    parameters = Parameters.from_covariances(
        family(kind).structure, np.full(4, 0.25), rows[:4], variances
    )
    expected = labels_of_kernel(open_source(rows), parameters)
    assert_array_equal(labels_by(parameters, rows), expected)


def test_leading_axes_hold_the_centres():
    rng = np.random.default_rng(0)
    rows, labels = blobs(2000, 100, 4)
    rows -= rows.mean(axis=0)
    seen = leading(rows, np.full(2000, 1 / 2000), 4, rng)
    assert seen.shape == (2000, 8)
    centres = np.array([rows[labels == k].mean(axis=0) for k in range(4)])
    seen_centres = np.array([seen[labels == k].mean(axis=0) for k in range(4)])
    # of 8 axes, noise cannot take one of three that each hold 30 times its variance
    assert_allclose(np.linalg.norm(seen_centres), np.linalg.norm(centres), rtol=0.01)


def test_where_all_degenerate_k_means_is_asked(monkeypatch):
    rows, _ = blobs(300, 80, 3)
    monkeypatch.setattr(wide._Search, "_candidates", lambda self: iter(()))
    found = start(rows, 3)
    assert found.prior is None
    assert np.isfinite(found.parameters.means).all()


def test_variances_of_few_rows_are_not_drawn_together():
    # the default chose a prior of 1000 rows here, and predicted 15 nats per row worse
    rng = np.random.default_rng(0)
    means, deviations = 0.5 * rng.normal(size=(12, 100)), np.exp(0.5 * rng.normal(size=(12, 100)))
    labels = rng.integers(12, size=3000)
    rows = means[labels] + deviations[labels] * rng.normal(size=(3000, 100))
    known, others, labels = rows[:1000], rows[1000:], labels[:1000]
    model = GaussianMixture(12, covariance_type="diag", random_state=0).fit(known)
    drawn = GaussianMixture(
        12,
        covariance_type="diag",
        prior=100.0,
        weights_init=np.bincount(labels) / 1000,
        means_init=[known[labels == k].mean(axis=0) for k in range(12)],
        precisions_init=[1.0 / known[labels == k].var(axis=0) for k in range(12)],
    ).fit(known)
    assert model.score(others) > drawn.score(others) + 5.0
