"""Exchanges of clusters by their own rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import adjusted_rand_score

from fastgmm import GaussianMixture
from fastgmm.initialisation.local_exchanges import PRIOR_ROWS, LocalExchanges, _Sums

ENOUGH = 1e12  # nanoseconds


def uneven(n_rows, n_features, n_components, seed=0):
    """Clusters of any size, whose deviations differ by feature and cluster."""
    rng = np.random.default_rng(seed)
    shape = n_components, n_features
    means, deviations = rng.standard_normal(shape), np.exp(0.5 * rng.standard_normal(shape))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.full(n_components, 2.0)))
    rows = means[labels] + deviations[labels] * rng.standard_normal((n_rows, n_features))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0), labels


def local(rows, affordable=ENOUGH, is_spherical=False):
    weights = np.full(len(rows), 1.0 / len(rows))
    return LocalExchanges(rows, weights, float(len(rows)), affordable, is_spherical)


def misplaced(labels):
    """Put clusters 0 and 1 in one, and cut cluster 2 in two at random."""
    found = np.where(labels == 1, 0, labels)
    found[np.flatnonzero(labels == 2)[::2]] = 1
    return found


@pytest.mark.parametrize("is_spherical", [False, True])
@pytest.mark.parametrize("shape", [(600, 40, 8), (300, 80, 3), (900, 30, 6)])
def test_a_misplaced_cluster_is_put_where_it_belongs(shape, is_spherical):
    rows, labels = uneven(*shape)
    clusters = local(rows, is_spherical=is_spherical).exchanged(misplaced(labels), shape[2])
    assert adjusted_rand_score(labels, clusters.labels(rows)) > 0.99


def test_clusters_that_are_right_stay():
    rows, labels = uneven(600, 40, 8)
    clusters = local(rows).exchanged(labels, 8)
    assert_array_equal(clusters.labels(rows), labels)


def test_nothing_is_exchanged_that_is_not_paid_for():
    rows, labels = uneven(600, 40, 8)
    clusters = local(rows, affordable=0.0).exchanged(misplaced(labels), 8)
    assert_allclose(clusters.weights, np.bincount(misplaced(labels)) / 600.0, rtol=1e-12)


def test_rows_that_weigh_double_are_rows_twice():
    rows, labels = uneven(500, 30, 6)
    weights = 1.0 + (np.arange(500) % 2)
    often = np.repeat(np.arange(500), weights.astype(int))
    weighted = LocalExchanges(rows, weights / weights.sum(), weights.sum(), ENOUGH)
    found = weighted.exchanged(misplaced(labels), 6)
    repeated = local(rows[often]).exchanged(misplaced(labels)[often], 6)
    for a, b in zip(found, repeated, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("is_spherical", [False, True])
def test_the_penalised_log_likelihood_of_a_cluster_is_the_naive_one(is_spherical):
    rows, labels = uneven(200, 5, 3)
    search = local(rows, is_spherical=is_spherical)
    begun = search._begun(labels, 3)
    its = [rows[labels == k] for k in range(3)]
    sums = _Sums(
        np.array([len(each) / 200.0 for each in its]),
        np.stack([each.sum(axis=0) / 200.0 for each in its]),
        np.stack([(each**2).sum(axis=0) / 200.0 for each in its]),
    )
    expected = []
    for k, each in enumerate(its):
        variances = begun.variances[k]
        terms = np.log(variances) + (each - each.mean(axis=0)) ** 2 / variances
        prior = PRIOR_ROWS * (np.log(variances) + search.common / variances).sum()
        n_own = len(each)
        expected.append((n_own * np.log(n_own / 200.0) - 0.5 * (terms.sum() + prior)) / 200.0)
    assert_allclose(search._classified(sums), expected, rtol=1e-9)


def test_variances_are_the_highest_point_of_the_penalised_log_likelihood():
    rows, labels = uneven(200, 5, 3)
    search = local(rows)
    sums = _Sums(np.array([0.3]), np.full((1, 5), 0.1), np.full((1, 5), 0.2) + 0.1 * np.arange(5.0))
    search._begun(labels, 3)
    best = search._classified(sums)
    found = search._estimated(sums)
    for factor in (0.99, 1.01):
        search._estimated = lambda _, f=factor: found._replace(variances=found.variances * f)
        assert search._classified(sums) < best


@pytest.mark.parametrize("seed", range(3))
def test_uneven_clusters_of_few_rows_each_are_found_by_a_default_fit(seed):
    rows, labels = uneven(1000, 100, 12, seed)
    model = GaussianMixture(12, covariance_type="diag", random_state=seed).fit(rows)
    # 0.71 to 0.87 without exchanges
    assert adjusted_rand_score(labels, model.predict(rows)) > 0.98
    assert model.n_iter_ < 20
