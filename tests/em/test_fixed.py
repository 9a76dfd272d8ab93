"""Parameters that stay: the M-step of the others beside its definition, and never a moved bit."""

from __future__ import annotations

from functools import partial

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import passes
from fastgmm.covariance import FAMILIES
from fastgmm.em import Fixed, FreeMaximisation, Maximisation, Outcome, State, Stopping, run
from fastgmm.em.acceleration import Acceleration
from fastgmm.mixture.prior import Prior
from fastgmm.sources import open_source
from fastgmm.sources.weighted import with_weights

FAMILY_OF = {family.structure: family for family in FAMILIES.values() if not family.constraint}


def mask(*components):
    found = np.zeros(3, bool)
    found[list(components)] = True
    return found


SOME = Fixed(mask(1), mask(0, 2), mask())


def rule_of(structure, fixed, **settings):
    return FreeMaximisation(Maximisation(FAMILY_OF[structure], 0.0, **settings), fixed)


def pass_of(case):
    source = with_weights(open_source(case.rows), case.row_weights)
    return partial(passes.statistics, source)


def naive_step(rows, row_weights, parameters, fixed):
    """The M-step of full covariances from the definition, what is fixed left out."""
    shares = naive.responsibilities(rows, parameters) * row_weights[:, None]
    counts = shares.sum(axis=0)
    free = ~fixed.weights
    weights = np.array(parameters.weights, np.longdouble)
    weights[free] = (1 - weights[~free].sum()) * counts[free] / counts[free].sum()
    means = (shares.T @ rows) / counts[:, None]
    means[fixed.means] = parameters.means[fixed.means]
    covariances = np.array(parameters.covariances, np.longdouble)
    for k in np.flatnonzero(~fixed.covariances):
        away = rows - means[k]
        covariances[k] = (shares[:, k, None] * away).T @ away / counts[k]
    return weights, means, covariances


@pytest.mark.parametrize(
    "fixed",
    [SOME, Fixed(mask(0, 1), mask(), mask(1, 2)), Fixed(mask(0, 1, 2), mask(1), mask(0, 1, 2))],
)
def test_a_step_agrees_with_its_definition(make_case, fixed):
    case = make_case("full", 300, 2, 3)
    (statistics,) = pass_of(case)([case.parameters])
    found = rule_of("full", fixed).estimate(statistics, case.parameters)
    expected = naive_step(case.rows, case.row_weights, case.parameters, fixed)
    assert_allclose(found.weights, np.float64(expected[0]), rtol=1e-12)
    assert_allclose(found.means, np.float64(expected[1]), rtol=1e-11, atol=1e-13)
    assert_allclose(found.covariances, np.float64(expected[2]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fixed", [SOME, Fixed(mask(), mask(1), mask()), Fixed(*[mask()] * 3)])
def test_a_step_is_a_maximum_in_what_is_free(make_case, structure, fixed):
    """No mixture near it has a higher expected log-likelihood, whatever shares covariances."""
    case = make_case(structure, 300, 2, 3)
    (statistics,) = pass_of(case)([case.parameters])
    found = rule_of(structure, fixed).estimate(statistics, case.parameters)
    shares = naive.responsibilities(case.rows, case.parameters) * case.row_weights[:, None]

    def expected(parameters):
        return float((shares * naive.log_densities(case.rows, *parameters, structure)).sum())

    best = found.weights, found.means, found.covariances
    top, rng = expected(best), np.random.default_rng(0)
    for _ in range(20):
        free = ~fixed.weights
        weights = found.weights * np.where(free, np.exp(0.03 * rng.normal(size=3)), 1.0)
        weights[free] *= found.weights[free].sum() / weights[free].sum()
        means = found.means + 0.03 * np.where(fixed.means[:, None], 0.0, rng.normal(size=(3, 2)))
        covariances = found.covariances * np.exp(0.03 * rng.normal())
        assert expected((weights, means, covariances)) <= top + 1e-9


def test_nothing_fixed_is_the_whole_step(make_case, structure):
    case = make_case(structure, 300, 2, 3)
    (statistics,) = pass_of(case)([case.parameters])
    found = rule_of(structure, Fixed(*[mask()] * 3)).estimate(statistics, case.parameters)
    whole = Maximisation(FAMILY_OF[structure], 0.0).estimate(statistics, case.parameters)
    assert_allclose(found.weights, whole.weights, rtol=1e-15)
    assert_array_equal(found.means, whole.means)
    assert_array_equal(found.covariances, whole.covariances)


@pytest.mark.parametrize("mean_rows", [0.0, 40.0])
def test_the_objective_never_falls_under_a_prior(make_case, structure, mean_rows):
    """Also where the prior draws means, from which the fixed ones stay away."""
    case = make_case(structure, 300, 2, 3)
    covariance = naive.in_shape_of(structure, np.eye(2)[None] / 2)
    prior = Prior(30.0, covariance if structure == "tied" else covariance[0], mean_rows, 1.0, 2.0)
    state = State(rule_of(structure, SOME, prior=prior), case.parameters)
    (state,) = run([state], pass_of(case), Stopping(1e-12, 200))
    assert state.outcome is Outcome.CONVERGED
    assert np.diff(state.trace).min() > -1e-12


def test_extrapolations_do_not_move_what_is_fixed(make_case, structure):
    fixed = SOME if structure == "tied" else SOME._replace(covariances=mask(2))
    case, stopping = make_case(structure, 500, 2, 3), Stopping(0.0, 60)
    state = State(rule_of(structure, fixed), case.parameters, acceleration=Acceleration("squarem"))
    (state,) = run([state], pass_of(case), stopping)
    found, given = state.parameters, case.parameters
    assert_array_equal(found.weights[fixed.weights], given.weights[fixed.weights])
    assert_array_equal(found.means[fixed.means], given.means[fixed.means])
    if structure != "tied":
        for name in ("covariances", "precisions_cholesky"):
            assert_array_equal(getattr(found, name)[2], getattr(given, name)[2])
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_free_is_counted(name):
    family, d = FAMILIES[name], 4
    nothing, everything = np.zeros(3, bool), np.ones(3, bool)
    whole = family.n_parameters(3, d)
    assert Fixed(nothing, nothing, nothing).n_free(family, d) == whole
    assert Fixed(mask(0), mask(0, 2), nothing).n_free(family, d) == whole - 1 - 2 * d
    assert Fixed(mask(0, 1), nothing, nothing).n_free(family, d) == whole - 2
    assert Fixed(everything, everything, everything).n_free(family, d) == 0
    without_covariances = Fixed(nothing, nothing, everything).n_free(family, d)
    assert without_covariances == 2 + 3 * d
