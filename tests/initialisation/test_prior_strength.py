"""The strength of a prior is what predicts rows that are left out, in closed terms."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris, make_blobs

from fastgmm import GaussianMixture
from fastgmm.covariance import family
from fastgmm.em import Maximisation
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.initialisation.auto import auto_start
from fastgmm.initialisation.prior_strength import STRENGTHS, leave_one_out
from fastgmm.mixture.structure import STRUCTURES
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source, with_weights


def drawn(rows, weights=None):
    source = open_source(rows)
    if weights is not None:
        source = with_weights(source, weights)
    return draw_sample(source, np.random.default_rng(0))


def of_one(sample, structure):
    """Return the likeliest mixture of one component, about the sample's origin."""
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), 0.0)
    found = auto_start(sample._replace(origin=0.0 * sample.origin), 1, rule, None)
    assert_allclose(found.means, 0.0, atol=1e-12)
    return found


def means(parameters, sample, strength):
    """Return the mean log densities, of rows that are kept and of rows that are left out."""
    found = leave_one_out(parameters, sample, strength, sample.own_weight)
    return [float(sample.weights @ of_rows) for of_rows in found]


def refitted(rows, structure):
    """Mean log density of each row under the likeliest normal distribution of the others."""
    total = 0.0
    for i, row in enumerate(rows):
        others = np.delete(rows, i, axis=0)
        start = naive.m_step(others, np.ones((len(others), 1)), structure, 0.0)
        total += float(naive.log_likelihoods(row[None], start)[0])
    return total / len(rows)


def correlated(n_rows, n_features):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n_rows, n_features)) @ rng.standard_normal((n_features,) * 2)


@pytest.mark.parametrize("n_features", [1, 3])
def test_one_component_without_a_row_is_one_of_the_others(structure, n_features):
    rows = correlated(40, n_features)
    sample = drawn(rows)
    kept, left_out = means(of_one(sample, structure), sample, 0.0)
    whole = naive.m_step(rows, np.ones((40, 1)), structure, 0.0)
    assert_allclose(kept, float(naive.log_likelihoods(rows, whole).mean()), rtol=1e-12)
    assert_allclose(left_out, refitted(rows, structure), rtol=1e-12)
    assert left_out < kept


def test_a_prior_of_one_component_is_drawn_towards_itself(structure):
    # its rows' covariance is the prior's, which loses the row as well: no strength changes much
    sample = drawn(correlated(40, 1))
    parameters = of_one(sample, structure)
    for strength in STRENGTHS[1:]:
        _, left_out = means(parameters, sample, strength)
        _, without = means(parameters, sample, 0.0)
        assert_allclose(left_out, without, atol=1.0 / 40)


def test_weights_are_repetitions(structure):
    rows, counts = correlated(30, 2), np.arange(30) % 3 + 1
    weighted = drawn(rows, counts.astype(float))
    repeated = drawn(np.repeat(rows, counts, axis=0))
    found = [means(of_one(each, structure), each, 2.0) for each in (weighted, repeated)]
    assert_allclose(found[0], found[1], rtol=1e-12)


def test_a_row_that_only_its_own_component_explains_has_a_bound(structure):
    rows = np.r_[np.zeros((20, 2)), [[1e3, 0.0]]] + 1e-3 * correlated(21, 2)
    model = GaussianMixture(
        2,
        covariance_type=naive.COVARIANCE_TYPES[structure],
        prior=None,
        means_init=[[0.0, 0.0], [1e3, 0.0]],
        weights_init=[20 / 21, 1 / 21],
        precisions_init=1e6 * naive.in_shape_of(structure, np.stack([np.eye(2)] * 2)),
        max_iter=0,
    ).fit(rows)
    sample = drawn(rows)
    there = model._parameters()
    about = there.__class__(
        STRUCTURES[structure],
        there.weights,
        there.means - sample.origin,
        there.covariances,
        there.precisions_cholesky,
    )
    _, left_out = means(about, sample, 0.0)
    assert np.isfinite(left_out)
    assert left_out < -30.0  # -1000 for one of 21 rows, 12 at most for the others


def strength(rows, n_components, **settings):
    return GaussianMixture(n_components, random_state=0, **settings).fit(rows).prior_strength_


def test_too_many_components_call_for_a_strong_prior():
    rows, _ = make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)
    assert strength(rows, 15) >= 30.0


def test_clusters_of_other_shapes_call_for_none():
    rng = np.random.default_rng(0)
    bars = rng.standard_normal((600, 2)) * [10.0, 0.1]
    bars[:300] = bars[:300, ::-1]
    assert strength(bars, 2) == 0.0
    tight = rng.standard_normal((1000, 2))
    tight[:10] = tight[:10] / 60.0 + 3.0
    assert strength(tight, 2) <= 0.03


def test_many_rows_call_for_none():
    rows, _ = make_blobs(n_samples=1200, centers=2, random_state=0)
    few, many = strength(rows[:1000], 2), strength(rows, 2)  # of 11 parameters
    assert few > 0.0
    assert many == 0.0


def test_a_component_on_two_rows_calls_for_one_however_many_rows_there_are():
    rows = np.r_[np.random.default_rng(0).standard_normal((3000, 2)), [[8.0, 8.0]] * 2]
    with pytest.warns(DegenerateComponentWarning, match="about 2 rows"):
        plain = GaussianMixture(2, prior=None, random_state=0).fit(rows)
    found = GaussianMixture(2, random_state=0).fit(rows)
    assert_allclose(np.linalg.eigvalsh(plain.covariances_).min(), plain.reg_covar, rtol=1e-9)
    assert found.prior_strength_ > 0.0
    assert np.linalg.eigvalsh(found.covariances_).min() > 1e-4  # of the variances of the noise


def test_a_shared_covariance_is_drawn_towards_that_of_all_rows():
    rows = load_iris().data
    found = GaussianMixture(3, covariance_type="tied", random_state=0).fit(rows)
    assert found.prior_strength_ > 0.0
    assert_allclose(found.prior_covariance_, np.cov(rows.T, bias=True), rtol=0.0, atol=1e-5)
    assert found.log_prior_ < 0.0


def of_two(rows, labels, strength, n_rows):
    """Two clusters of one covariance, drawn to that of all rows: their products over a number."""
    of_each = [rows[labels == k] for k in range(2)]
    means = np.array([each.mean(axis=0) for each in of_each])
    within = (rows - means[labels]).T @ (rows - means[labels])
    total = np.cov(rows.T, bias=True) * len(rows) / n_rows
    weights = np.array([len(each) for each in of_each]) / len(rows)
    return weights, means, (within + strength * total) / (len(rows) + strength)


@pytest.mark.parametrize("strength", [0.0, 0.1, 3.0])
def test_a_shared_covariance_without_a_row_is_that_of_the_others(strength):
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [25, 15])
    rows = rng.standard_normal((40, 3)) + 20.0 * labels[:, None]
    sample = drawn(rows)
    sample = sample._replace(origin=0.0 * sample.origin)
    labels = (sample.rows[:, 0] > sample.rows[:, 0].mean()).astype(int)
    parameters = family("tied").parameters(*of_two(sample.rows, labels, strength, 40))
    _, found = leave_one_out(parameters, sample, strength, sample.own_weight)
    for i, row in enumerate(sample.rows):
        others = np.delete(sample.rows, i, axis=0), np.delete(labels, i)
        mixture = naive.Mixture("tied", *of_two(*others, strength, 40))
        assert_allclose(found[i], float(naive.log_likelihoods(row[None], mixture)[0]), rtol=1e-9)
