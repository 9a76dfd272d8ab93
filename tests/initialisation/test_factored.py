"""The first loadings of factor analysers, and which start they are put on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.initialisation import factored
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source


@pytest.fixture
def rows(rng):
    shared = rng.normal(size=(2000, 2)) @ np.diag([3.0, 2.0]) @ rng.normal(size=(2, 12))
    return 100.0 + shared + rng.normal(size=(2000, 12))


def sample_of(rows):
    return draw_sample(open_source(rows), np.random.default_rng(0))


def test_loadings_are_those_of_the_correlations(rows, rng):
    sample, known = sample_of(rows), family("factors", 2)
    variances = rows.var(axis=0)
    start = Parameters.from_covariances("diagonal", [1.0], rows.mean(axis=0)[None], variances[None])
    found = factored.with_loadings(start, sample, known, 1e-6, rng)
    values, axes = np.linalg.eigh(np.corrcoef(rows.T))
    own = values[:-2].mean()
    loadings = axes[:, -2:] * np.sqrt(values[-2:] - own) * np.sqrt(variances)[:, None]
    expected = loadings @ loadings.T
    found_loadings = found.covariances[0, :, :-1]
    assert_allclose(found_loadings @ found_loadings.T, expected, rtol=1e-3, atol=1e-3)
    assert_allclose(found.variances[0], variances, rtol=0.15)
    assert_array_equal(found.means, start.means)


def test_components_of_few_rows_have_variances_alone(rows, rng):
    sample, known = sample_of(rows), family("factors", 2)
    means = np.stack([rows.mean(axis=0), rows[0] + 1e3])
    variances = np.stack([rows.var(axis=0)] * 2)
    start = Parameters.from_covariances("diagonal", [0.5, 0.5], means, variances)
    found = factored.with_loadings(start, sample, known, 1e-6, rng)
    assert not found.covariances[1, :, :-1].any()
    assert_array_equal(found.covariances[1, :, -1], variances[1])


def test_the_start_is_taken_that_predicts_rows_left_out(rows, rng, monkeypatch):
    rule, sample = em.Maximisation(family("factors", 2), 1e-6), sample_of(rows)
    seen = []

    def started(sample, method, n_components, rule, rng):
        away = 0.0 if method == "random_from_data" else 500.0
        means = sample.origin + away + rng.normal(size=(n_components, 12))
        variances = np.ones((n_components, 12))
        start = Parameters.from_covariances("diagonal", np.full(3, 1 / 3), means, variances)
        seen.append(factored.with_loadings(start, sample, rule.family, 1e-6, rng))
        return seen[-1]

    monkeypatch.setattr(factored, "started", started)
    monkeypatch.setattr(factored, "PASSES", 1)
    assert factored.auto_start(sample, 3, rule, rng) is seen[1]


def test_the_default_start_leads_to_the_likelihood_of_the_rows(rows, rng):
    rule, source = em.Maximisation(family("factors", 2), 1e-6), open_source(rows)
    start = factored.auto_start(sample_of(rows), 2, rule, rng)
    (found,) = passes.statistics(source, [start])
    centred = rows - rows.mean(axis=0)
    one = -0.5 * (np.linalg.slogdet(2 * np.pi * np.cov(centred.T))[1] + 12)
    assert found.mean_log_likelihood > one - 0.5
