"""EM with one covariance, in white rows, is EM with one covariance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from fastgmm.initialisation.tied_runs import TiedRuns


def naive_passes(rows, weights, labels, n_components, n_passes):
    """Yield responsibilities and log-likelihood of each pass, with the covariance that is drawn."""
    n_rows, d = rows.shape
    rows = rows - weights @ rows
    seen = n_rows / (n_rows + d)
    shares = np.eye(n_components)[labels]
    for _ in range(n_passes):
        mass = weights @ shares
        means = (shares * weights[:, None]).T @ rows / mass[:, None]
        within = (1.0 - seen) * np.eye(d)
        for k in range(n_components):
            apart = rows - means[k]
            within += seen * (apart * (weights * shares[:, k])[:, None]).T @ apart
        joint = np.stack(
            [
                np.log(mass[k]) + multivariate_normal.logpdf(rows, means[k], within)
                for k in range(n_components)
            ],
            axis=1,
        )
        densities = np.logaddexp.reduce(joint, axis=1)
        shares = np.exp(joint - densities[:, None])
        yield shares, float(weights @ densities)


@pytest.mark.parametrize(("n_features", "n_components"), [(4, 3), (3, 6), (2, 2)])
def test_passes_are_those_of_the_definition(rng, n_features, n_components):
    centres = 3.0 * rng.standard_normal((n_components, n_features))
    rows = centres[rng.integers(n_components, size=203)] + rng.standard_normal((203, n_features))
    rows @= rng.standard_normal((n_features, n_features))
    rows /= rows.std(axis=0)
    weights = rng.random(203)
    weights /= weights.sum()
    labels = rng.integers(n_components, size=203)
    runs = TiedRuns(rows, weights)
    run = runs.begun(labels, n_components)
    volume = np.linalg.slogdet(runs.whitener)[1] - 0.5 * n_features * np.log(2.0 * np.pi)
    for shares, log_likelihood in naive_passes(rows, weights, labels, n_components, 4):
        assert_array_equal(runs.labels(run, rows), shares.argmax(axis=1))
        run = runs.advance(run, 1)
        # the sums have 200 terms of size 10; what they lose is below 1e-12 of them
        assert_allclose(run.log_likelihood + volume, log_likelihood, rtol=1e-10)
        assert_allclose(run.weights, weights @ shares, rtol=1e-10)


def test_a_component_without_rows_stays_without(rng):
    rows = rng.standard_normal((64, 3))
    runs = TiedRuns(rows, np.full(64, 1 / 64))
    run = runs.advance(runs.begun(np.repeat([0, 2], 32), 3), 5)
    assert run.weights[1] == 0.0
    assert np.isfinite(run.log_likelihood)
    assert set(runs.labels(run, rows)) <= {0, 2}


def test_parallel_clusters_are_told_apart_along_the_short_direction(rng):
    labels = rng.integers(2, size=1000)
    rows = rng.standard_normal((1000, 20)) * np.geomspace(1.0, 20.0, 20)
    rows[:, 0] += 6.0 * labels
    rows @= np.linalg.qr(rng.standard_normal((20, 20)))[0]
    runs = TiedRuns(rows, np.full(1000, 1e-3))
    wrong = np.where(rng.random(1000) < 0.3, 1 - labels, labels)
    found = runs.labels(runs.advance(runs.begun(wrong, 2), 30), rows)
    assert max(np.mean(found == labels), np.mean(found != labels)) > 0.98


def correlated(rng, n_rows, n_features, n_components, apart):
    """Draw clusters of one covariance, so many deviations apart, and standardise them."""
    centres = apart / np.sqrt(2 * n_features) * rng.standard_normal((n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    rows = centres[labels] + rng.standard_normal((n_rows, n_features))
    rows @= rng.standard_normal((n_features, n_features))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0), labels


@pytest.mark.parametrize("shape", [(1000, 20, 6), (600, 4, 5)])
def test_an_exchange_parts_what_two_components_share(rng, shape):
    rows, labels = correlated(rng, *shape, apart=8.0)
    runs = TiedRuns(rows, np.full(len(rows), 1 / len(rows)))
    wrong = np.where(labels == 1, 0, labels)  # one component for two clusters, two for one
    wrong[(labels == 2) & (rng.random(len(rows)) < 0.5)] = 1
    stuck = runs.advance(runs.begun(wrong, shape[2]), 30)
    right = runs.advance(runs.begun(labels, shape[2]), 30)
    assert stuck.log_likelihood < right.log_likelihood - 0.1
    found = runs.advance(runs.exchanged(stuck, 3), 60)
    assert_allclose(found.log_likelihood, right.log_likelihood, atol=5e-3)


def test_nothing_is_exchanged_where_every_component_has_its_cluster(rng):
    rows, labels = correlated(rng, 800, 15, 5, apart=8.0)
    runs = TiedRuns(rows, np.full(800, 1 / 800))
    right = runs.advance(runs.begun(labels, 5), 30)
    assert runs.exchanged(right, 3) is right


def test_pairs_rank_by_what_one_mean_for_both_loses(rng):
    rows, labels = correlated(rng, 900, 6, 4, apart=6.0)
    runs = TiedRuns(rows, np.full(900, 1 / 900))
    run = runs.advance(runs.begun(labels, 4), 10)
    within = np.eye(6) - runs.seen * (run.means.T * run.weights) @ run.means
    for loss, (i, j) in runs._merges(run):
        apart, both = run.means[i] - run.means[j], run.weights[i] + run.weights[j]
        part = run.weights[i] / both
        entropy = part * np.log(part) + (1.0 - part) * np.log(1.0 - part)
        distance = apart @ np.linalg.solve(within, apart)
        assert_allclose(loss, both * (0.5 * part * (1.0 - part) * distance + entropy), rtol=1e-9)


def test_components_without_rows_and_equal_rows_can_be_exchanged(rng):
    rows = rng.standard_normal((64, 3))
    runs = TiedRuns(rows, np.full(64, 1 / 64))
    run = runs.exchanged(runs.advance(runs.begun(np.repeat([0, 2], 32), 4), 5), 3)
    assert np.isfinite(run.log_likelihood)
    same = TiedRuns(np.zeros((32, 3)), np.full(32, 1 / 32))
    run = same.advance(same.begun(np.arange(32) % 3, 3), 2)
    assert np.isfinite(same.exchanged(run, 3).means).all()
