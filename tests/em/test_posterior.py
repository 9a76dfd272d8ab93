"""EM under a prior climbs, is bounded, and knows what a component without rows is like."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm import ConjugatePrior, passes
from fastgmm.covariance import family
from fastgmm.em import Maximisation, Outcome, State, Stopping, run
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source, with_weights


def conjugate(prior, kind, n_components, rows, row_weights):
    source = with_weights(open_source(rows), row_weights)
    sample = draw_sample(source, np.random.default_rng(0))
    return prior.prior(kind, n_components, sample, 0.0)


def some_prior(name, kind, parameters, rows, row_weights):
    if name == "covariances":
        within = parameters.structure.mean(parameters.covariances, parameters.weights)
        return Prior(4.0, 0.5 * np.array(within))
    if name == "Fraley and Raftery":
        prior = ConjugatePrior.fraley_raftery()
    else:
        prior = ConjugatePrior(9.0, mean_precision=5.0, weight_concentration=3.0)
    return conjugate(prior, kind, parameters.n_components, rows, row_weights)


def climbed(rows, row_weights, parameters, rule, n_passes=40):
    source = with_weights(open_source(rows), row_weights)
    stopping = Stopping(0.0, n_passes)
    (state,) = run(
        [State(rule, parameters)], lambda each: passes.statistics(source, each), stopping
    )
    return state


@pytest.mark.parametrize("name", ["covariances", "Fraley and Raftery", "all parameters"])
def test_the_objective_never_falls(make_case, structure, name):
    kind = family(naive.COVARIANCE_TYPES[structure])
    for seed in range(3):
        rows, row_weights, parameters = make_case(structure, 60, 2, 4, seed=seed)
        prior = some_prior(name, kind, parameters, rows, row_weights)
        state = climbed(rows, row_weights, parameters, Maximisation(kind, 0.0, prior))
        assert len(state.trace) == 40
        assert np.min(np.diff(state.trace)) > -1e-13
        assert state.trace[-1] > state.trace[0]


def test_a_component_without_rows_is_the_prior_s_mode(make_case, structure):
    rows, row_weights, parameters = make_case(structure, 60, 2, 3)
    means = np.vstack([parameters.means[:2], [[1e6, 1e6]]])
    away = Parameters.from_covariances(structure, parameters.weights, means, parameters.covariances)
    kind = family(naive.COVARIANCE_TYPES[structure])
    statistics = naive.statistics(rows, row_weights, away)
    assert statistics.weight[2] == 0.0
    drawn = conjugate(ConjugatePrior(mean_precision=2.0), kind, 3, rows, row_weights)
    mean = np.average(rows, axis=0, weights=row_weights)
    scatter = np.cov(rows.T, aweights=row_weights, ddof=0) / 3.0  # K ** (2 / d)
    variance = scatter.trace() / 2.0
    modes = {  # nu = 4, d = 2, a mean that counts as one
        "spherical": variance / (4 + 2 + 2),
        "diagonal": np.full(2, variance / (4 + 3)),
        "full": scatter / (4 + 2 + 2),
    }
    found = Maximisation(kind, 0.0, drawn).estimate(statistics, away)
    assert found.weights[2] == 0.0
    assert_allclose(found.means[2], mean, rtol=1e-12)
    of_covariances = Prior(4.0, drawn.covariance)
    alone = Maximisation(kind, 0.0, of_covariances).estimate(statistics, away)
    assert_allclose(alone.means[2], means[2])
    if structure != "tied":
        assert_allclose(found.covariances[2], modes[structure], rtol=1e-12, atol=1e-14)
        assert_allclose(alone.covariances[2], drawn.covariance, rtol=1e-14)


def test_one_component_is_there_in_one_step(make_case, structure):
    rows, row_weights, parameters = make_case(structure, 50, 3, 1)
    kind = family(naive.COVARIANCE_TYPES[structure])
    prior = conjugate(ConjugatePrior(10.0, mean_precision=4.0), kind, 1, rows, row_weights)
    state = climbed(rows, row_weights, parameters, Maximisation(kind, 0.0, prior), 3)
    n, mean = row_weights.sum(), np.average(rows, axis=0, weights=row_weights)
    total = np.cov(rows.T, aweights=row_weights, ddof=0)
    variance = total.trace() / 3.0
    covariances = {  # the prior's mean is that of the rows, and its scale their covariance
        "spherical": (variance + n * total.trace()) / (10 + 2 + 3 * (n + 1)),
        "diagonal": (variance + n * np.diag(total)) / (10 + 3 + n),
        "tied": (1 + n) * total / (10 + 5 + n),
        "full": (1 + n) * total / (10 + 5 + n),
    }
    found = state.parameters
    assert_allclose(found.means[0], mean, rtol=1e-12, atol=1e-13)
    own = found.covariances if structure == "tied" else found.covariances[0]
    assert_allclose(own, covariances[structure], rtol=1e-11)
    assert_allclose(state.trace[1:], state.trace[-1], rtol=1e-14)


@pytest.mark.parametrize("place", ["equal", "collinear", "duplicated"])
def test_rows_without_a_likeliest_mixture_have_a_likeliest_under_a_prior(structure, place):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(40, 2))
    if place == "equal":
        rows[:20] = rows[0]
    elif place == "collinear":
        rows[:20, 1] = 2.0 * rows[:20, 0]
    else:
        rows[20:] = rows[:20]
    unit = naive.in_shape_of(structure, np.stack([np.eye(2)] * 4))
    parameters = Parameters.from_covariances(
        structure, np.full(4, 0.25), rows[[0, 5, 10, 30]], 0.1 * unit
    )
    prior = Prior(1.0, 0.5 * (unit if structure == "tied" else unit[0]))
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), 0.0, prior)
    state = climbed(rows, np.ones(40), parameters, rule, 200)
    assert state.outcome is not Outcome.DEGENERATE
    assert np.min(np.diff(state.trace)) > -1e-13
    # no row's density is above that of a component all of whose rows are in one place
    smallest = np.linalg.eigvalsh(state.parameters.matrices)[:, 0]
    assert smallest.min() > 0.99 * 0.5 / (1.0 + 40.0)
