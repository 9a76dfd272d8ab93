"""Exchanges of clusters by their own rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from fastgmm import GaussianMixture
from fastgmm.initialisation.local_exchanges import (
    LEAST_SHARE,
    LocalExchanges,
    MatrixExchanges,
    RoundExchanges,
    _ways_to_cut,
)
from fastgmm.initialisation.split_merge import Held

ENOUGH = 1e12  # nanoseconds
PRIOR_ROWS = 10.0
KINDS = [LocalExchanges, RoundExchanges, MatrixExchanges]


def uneven(n_rows, n_features, n_components, seed=0):
    """Clusters of any size, whose deviations differ by feature and cluster."""
    rng = np.random.default_rng(seed)
    shape = n_components, n_features
    means, deviations = rng.standard_normal(shape), np.exp(0.5 * rng.standard_normal(shape))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 2.0)))
    rows = means[labels] + deviations[labels] * rng.standard_normal((n_rows, n_features))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0), labels


def oriented(n_rows, n_features, n_components, seed=0):
    """Clusters of any size, each long and short in directions of its own."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 2.0)))
    rows = rng.standard_normal((n_rows, n_features))
    for k in range(n_components):
        axes, _ = np.linalg.qr(rng.standard_normal((n_features, n_features)))
        lengths = np.exp(0.5 * rng.standard_normal(n_features))
        rows[labels == k] = means[k] + (rows[labels == k] * lengths) @ axes
    return rows, labels


def local(rows, kind=LocalExchanges, affordable=ENOUGH):
    weights = np.full(len(rows), 1.0 / len(rows))
    return kind(rows, weights, float(len(rows)), affordable, PRIOR_ROWS)


def misplaced(labels):
    """Put clusters 0 and 1 in one, and cut cluster 2 in two at random."""
    found = np.where(labels == 1, 0, labels)
    found[np.flatnonzero(labels == 2)[::2]] = 1
    return found


def covariances(clusters):
    """The covariances of clusters, (K, d, d)."""
    factors = clusters.factors
    if factors.ndim == 2:
        factors = factors[:, :, None] * np.eye(factors.shape[1])
    return np.linalg.inv(factors @ factors.swapaxes(1, 2))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((600, 40, 8), LocalExchanges),
        ((300, 80, 3), LocalExchanges),
        ((600, 40, 8), RoundExchanges),
        ((300, 80, 3), RoundExchanges),
        ((2000, 20, 5), MatrixExchanges),
        ((3000, 15, 4), MatrixExchanges),
    ],
)
def test_a_misplaced_cluster_is_put_where_it_belongs(shape, kind):
    rows, labels = (oriented if kind is MatrixExchanges else uneven)(*shape)
    search = local(rows, kind)
    clusters = search.exchanged(misplaced(labels), shape[2])
    assert adjusted_rand_score(labels, search.labels(clusters, rows)) > 0.99


@pytest.mark.parametrize("kind", [LocalExchanges, MatrixExchanges])
def test_clusters_that_are_right_stay(kind):
    rows, labels = uneven(2000, 40, 8)
    search = local(rows, kind)
    assert_array_equal(search.labels(search.exchanged(labels, 8), rows), labels)


def test_nothing_is_exchanged_that_is_not_paid_for():
    rows, labels = uneven(600, 40, 8)
    clusters = local(rows, affordable=0.0).exchanged(misplaced(labels), 8)
    assert_allclose(clusters.weights, np.bincount(misplaced(labels)) / 600.0, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_weigh_double_are_rows_twice(kind):
    rows, labels = uneven(2000, 30, 4)
    weights = 1.0 + (np.arange(2000) % 2)
    often = np.repeat(np.arange(2000), weights.astype(int))
    weighted = kind(rows, weights / weights.sum(), weights.sum(), ENOUGH, PRIOR_ROWS)
    found = weighted.exchanged(misplaced(labels), 4)
    repeated = local(rows[often], kind).exchanged(misplaced(labels)[often], 4)
    for a, b in zip(found, repeated, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_log_densities_are_those_of_normal_distributions(kind):
    rows, labels = uneven(200, 5, 3)
    search = local(rows, kind)
    clusters = search._begun(labels, 3)
    expected = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows)
        for weight, mean, covariance in zip(
            clusters.weights, clusters.means, covariances(clusters), strict=True
        )
    ]
    found = search._log_densities(clusters, rows) - 2.5 * np.log(2.0 * np.pi)
    assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_hold_rows_by_their_responsibilities_but_for_the_least(kind):
    rows, labels = uneven(3000, 2, 4)
    search = local(rows, kind)
    clusters = search._begun(labels, 4)
    joint = search._log_densities(clusters, rows)
    expected = np.exp(joint - joint.max(axis=0))
    expected[expected < np.exp(LEAST_SHARE)] = 0.0
    expected /= expected.sum(axis=0)
    found = np.zeros_like(expected)
    for shares, each in zip(found, search._held(clusters), strict=True):
        shares[each.rows] = each.shares
    assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_penalised_log_likelihood_of_a_cluster_is_the_naive_one_and_highest(kind):
    rows, labels = uneven(200, 5, 3)
    search = local(rows, kind)
    clusters = search._begun(labels, 3)
    its = (np.flatnonzero(labels == k) for k in range(3))
    sums = search._sums([Held(own, np.ones(len(own))) for own in its])
    common = np.diag(search.common) if search.common.ndim == 1 else search.common

    def naive(k, covariance):
        own = rows[labels == k] - clusters.means[k]
        inverse, n_own = np.linalg.inv(covariance), len(own)
        misfit = np.einsum("ij,jk,ik->", own, inverse, own) + PRIOR_ROWS * (inverse * common).sum()
        log_volume = (n_own + PRIOR_ROWS) * np.linalg.slogdet(covariance)[1]
        return (n_own * np.log(n_own / 200.0) - 0.5 * (log_volume + misfit)) / 200.0

    best = [naive(k, covariance) for k, covariance in enumerate(covariances(clusters))]
    # a floor of 1e-6 is in the variances
    assert_allclose(search._classified(sums), best, rtol=1e-5)
    for factor in (0.99, 1.01):
        other = [naive(k, factor * each) for k, each in enumerate(covariances(clusters))]
        assert np.all(np.array(other) < best)


@pytest.mark.parametrize("seed", range(3))
def test_uneven_clusters_of_few_rows_each_are_found_by_a_default_fit(seed):
    rows, labels = uneven(1000, 100, 12, seed)
    model = GaussianMixture(12, covariance_type="diag", random_state=seed).fit(rows)
    # 0.71 to 0.87 without exchanges
    assert adjusted_rand_score(labels, model.predict(rows)) > 0.98
    assert model.n_iter_ < 20


def test_clusters_of_any_direction_are_found_by_default_fits():
    found = []
    for seed in range(5):
        rows, labels = oriented(20_000, 30, 20, seed)
        model = GaussianMixture(20, random_state=seed).fit(rows)
        found.append(adjusted_rand_score(labels, model.predict(rows)))
    # 0.85 without exchanges; a single fit may end at 0.91, also with
    assert np.mean(found) > 0.95


def test_white_rows_are_cut_between_two_clusters_on_whatever_axis_they_lie():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    rows = rng.standard_normal((600, 6)) + np.outer(labels, 8.0 * np.ones(6) / np.sqrt(6.0))
    rows -= rows.mean(axis=0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / 600.0)).T
    _, along_kurtosis = _ways_to_cut(white, np.full(600, 1.0 / 600.0))
    assert adjusted_rand_score(labels, along_kurtosis) > 0.99
