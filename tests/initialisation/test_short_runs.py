"""Short runs of many candidates agree with EM by passes, which is made for long data."""

from __future__ import annotations

from functools import partial

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.em.loop import State
from fastgmm.em.outcome import Outcome
from fastgmm.em.update_rules import Maximisation
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation import short_runs
from fastgmm.initialisation.short_runs import ShortRuns, source_of
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import Sample


def sample_of(rows, weights=None):
    weights = np.ones(len(rows)) if weights is None else weights
    weights = weights / weights.sum()
    return Sample(rows - weights @ rows, weights, np.zeros(rows.shape[1]))


def drawn(seed, n_rows=500, n_features=3):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, n_features)) @ rng.standard_normal((n_features, n_features))
    rows[: n_rows // 3] += 4.0
    return sample_of(rows, rng.uniform(0.1, 2.0, n_rows))


def started(sample, rule, n_components, rng):
    """Return a state at random rows, of the sample's variances."""
    structure = rule.family.structure
    n_features = sample.rows.shape[1]
    covariance = np.cov(sample.rows.T, aweights=sample.weights).reshape(n_features, n_features)
    shapes = {
        "spherical": np.full(n_components, covariance.trace() / n_features),
        "diagonal": np.tile(np.diag(covariance), (n_components, 1)),
        "tied": covariance,
        "full": np.tile(covariance, (n_components, 1, 1)),
    }
    means = sample.rows[rng.choice(len(sample.rows), n_components, replace=False)]
    weights = rng.dirichlet(np.full(n_components, 3.0))
    return State(rule, Parameters.from_covariances(structure, weights, means, shapes[structure]))


def by_passes(states, sample, n_passes):
    stopping = em.Stopping(short_runs.TOLERANCE, n_passes)
    return em.run(states, partial(passes.statistics, source_of(sample)), stopping)


@pytest.fixture
def no_passes(monkeypatch):
    """Let nothing climb by passes over a source."""
    monkeypatch.setattr(short_runs, "source_of", None)


@pytest.mark.parametrize("structure", naive.STRUCTURES)
@pytest.mark.parametrize("n_features", [1, 4])
@pytest.mark.parametrize("reg_covar", [1e-6, "each"])
def test_they_agree_with_passes(structure, n_features, reg_covar, no_passes):
    sample = drawn(0, n_features=n_features)
    added = np.linspace(1e-3, 1e-2, n_features) if reg_covar == "each" else reg_covar
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), added)
    rng = np.random.default_rng(1)
    states = [started(sample, rule, 3, rng) for _ in range(4)]
    for found, expected in zip(
        ShortRuns(sample, rule).advance(states, 7), by_passes(states, sample, 7), strict=True
    ):
        assert found.outcome == expected.outcome
        # means lie within ten deviations of zero: 100 eps, and seven passes
        assert_allclose(found.trace, expected.trace, rtol=1e-12)
        for name in ("weights", "means", "covariances", "precisions_cholesky"):
            ours, theirs = getattr(found.parameters, name), getattr(expected.parameters, name)
            assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10, err_msg=name)


def test_they_stop_one_by_one_and_go_on_later(no_passes):
    sample = drawn(2)
    rule = Maximisation(family("full"), 1e-6)
    rng = np.random.default_rng(3)
    states = [started(sample, rule, 2, rng) for _ in range(3)]
    there = ShortRuns(sample, rule).advance(states[:1], 200)[0]
    assert there.outcome is Outcome.CONVERGED
    mixed = ShortRuns(sample, rule).advance([there, *states[1:]], 2)
    assert mixed[0] is there
    for state in mixed[1:]:
        most = len(there.trace) + 2
        assert (len(state.trace) == most) != (state.outcome is Outcome.CONVERGED)
    again = ShortRuns(sample, rule).advance(mixed, 5)
    for before, after in zip(mixed, again, strict=True):
        assert after.trace[: len(before.trace)] == before.trace


@pytest.mark.parametrize("structure", ["spherical", "diagonal", "full"])
def test_a_component_without_rows_stays_where_it_is(structure, no_passes):
    sample = drawn(4)
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), 1e-6)
    start = started(sample, rule, 2, np.random.default_rng(0)).parameters
    means = np.vstack([start.means[0], np.full(3, 1e4)])
    lost = Parameters.from_covariances(structure, start.weights, means, start.covariances)
    (found,) = ShortRuns(sample, rule).advance([State(rule, lost)], 5)
    assert found.parameters.weights[1] == 0.0
    assert_allclose(found.parameters.means[1], 1e4)
    assert_allclose(found.parameters.covariances[1], start.covariances[1])


@pytest.mark.parametrize("structure", naive.STRUCTURES)
def test_singular_components_fail_alone(structure):
    rows = np.repeat([[0.0, 0.0], [1.0, 2.0], [9.0, 9.0]], 20, axis=0)
    rows[40:] += np.random.default_rng(0).standard_normal((20, 2))
    sample = sample_of(rows)
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), 0.0)
    narrow = started(sample, rule, 3, np.random.default_rng(0)).parameters
    means = sample.rows[[0, 20, 40]]
    matrices = narrow.covariances * 1e-3
    if structure == "tied":
        matrices, means = narrow.covariances, np.vstack([means, means, means])[:3]
    states = [
        State(rule, Parameters.from_covariances(structure, np.full(3, 1 / 3), each, matrices))
        for each in (means, sample.rows[[41, 45, 50]])
    ]
    found, expected = ShortRuns(sample, rule).advance(states, 30), by_passes(states, sample, 30)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.failure is None) == (theirs.failure is None)
    if structure != "tied":
        assert isinstance(found[0].failure, DegenerateCovarianceError)
        assert found[0].failure.component == expected[0].failure.component == 0


def test_narrow_components_far_away_climb_by_passes(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((200, 2)) * 1e-3
    rows[:100] += 1e4
    sample = sample_of(rows)
    rule = Maximisation(family("full"), 0.0)
    means = sample.rows[[0, 100]]
    matrices = np.array([1e-6 * np.eye(2)] * 2)
    start = State(rule, Parameters.from_covariances("full", [0.5, 0.5], means, matrices))
    asked = []
    monkeypatch.setattr(
        short_runs, "source_of", lambda *given: asked.append(given) or source_of(*given)
    )
    (found,) = ShortRuns(sample, rule).advance([start], 3)
    assert asked
    exact = np.cov(rows[100:].T, ddof=0)
    assert_allclose(found.parameters.covariances[1], exact, rtol=1e-6)
