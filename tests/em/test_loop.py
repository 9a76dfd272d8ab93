"""EM: the step and the loop."""

from __future__ import annotations

import math
from dataclasses import replace

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.mixture import GaussianMixture

from fastgmm.covariance import FAMILIES
from fastgmm.em.loop import State, run, step
from fastgmm.em.outcome import Outcome
from fastgmm.em.stopping import Stopping
from fastgmm.em.update_rules import Maximisation
from fastgmm.errors import DataError, DegenerateCovarianceError
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics

FAMILY_OF = {family.structure: family for family in FAMILIES.values()}


def rule_of(structure, reg_covar=1e-6):
    return Maximisation(FAMILY_OF[structure], reg_covar)


def naive_pass(rows, row_weights=None):
    """A data pass that computes every candidate's statistics by the naive twin."""
    return lambda candidates: [naive.statistics(rows, row_weights, each) for each in candidates]


@pytest.mark.parametrize("reg_covar", [0.0, 1e-3])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_a_step_is_an_iteration_of_the_naive_twin(make_case, structure, offset, reg_covar):
    rows, row_weights, parameters = make_case(structure, 300, 3, 3, offset=offset)
    state = State(rule_of(structure, reg_covar), parameters)
    found = step(state, naive.statistics(rows, row_weights, parameters), Stopping(1e-3, 10))
    objective, expected = naive.em_iteration(rows, row_weights, parameters, reg_covar)
    assert found.outcome is Outcome.RUNNING
    assert_allclose(found.trace, [float(objective)], rtol=1e-14)
    assert_allclose(found.parameters.weights, expected.weights, rtol=1e-14)
    assert_allclose(found.parameters.means, expected.means, rtol=2e-16, atol=1e-13)
    assert_allclose(found.parameters.covariances, expected.covariances, rtol=1e-13, atol=1e-14)
    assert state.trace == ()


def test_the_log_likelihood_never_falls(make_case, structure):
    for seed in range(3):
        rows, row_weights, parameters = make_case(structure, 150, 2, 3, seed=seed)
        state = State(rule_of(structure, reg_covar=0.0), parameters)
        (state,) = run([state], naive_pass(rows, row_weights), Stopping(1e-6, 40))
        # a tied mixture may converge early; rounding is 1e-15 of a log-likelihood near 4
        assert len(state.trace) > 2
        assert np.min(np.diff(state.trace)) > -1e-13


@pytest.mark.parametrize(("tolerance", "max_passes"), [(1e-3, 100), (1e-6, 100), (0.0, 7)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_whole_loop_is_scikit_learn_s(make_case, structure, tolerance, max_passes):
    rows, _, start = make_case(structure, 250, 3, 3)
    theirs = GaussianMixture(
        3,
        covariance_type=naive.COVARIANCE_TYPES[structure],
        tol=tolerance,
        max_iter=max_passes,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
    ).fit(rows)
    start = Parameters.from_precisions(structure, start.weights, start.means, start.precisions)
    (ours,) = run(
        [State(rule_of(structure), start)], naive_pass(rows), Stopping(tolerance, max_passes)
    )
    assert len(ours.trace) == theirs.n_iter_
    assert (ours.outcome is Outcome.CONVERGED) == theirs.converged_
    assert_allclose(ours.trace, theirs.lower_bounds_, rtol=1e-9)
    assert_allclose(ours.parameters.weights, theirs.weights_, rtol=1e-9)
    assert_allclose(ours.parameters.means, theirs.means_, rtol=1e-9, atol=1e-9)
    assert_allclose(ours.parameters.covariances, theirs.covariances_, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_warm_start_goes_on_as_scikit_learn_does(make_case):
    rows, _, start = make_case("full", 250, 3, 3)
    theirs = GaussianMixture(
        3,
        tol=1e-4,
        max_iter=3,
        warm_start=True,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
    )
    stopping, previous, parameters = Stopping(1e-4, 3), -math.inf, start
    for _ in range(20):
        state = State(rule_of("full"), parameters, previous_objective=previous)
        (state,) = run([state], naive_pass(rows), stopping)
        theirs.fit(rows)
        assert len(state.trace) == theirs.n_iter_
        assert (state.outcome is Outcome.CONVERGED) == theirs.converged_
        assert_allclose(state.trace, theirs.lower_bounds_, rtol=1e-9)
        previous, parameters = state.trace[-1], state.parameters
    assert state.outcome is Outcome.CONVERGED
    assert len(state.trace) == 1  # its only change is the one against the fit before


def test_a_candidate_that_has_stopped_costs_nothing_in_later_passes(make_case):
    rows, _, start = make_case("full", 200, 2, 3)
    stopping, rule = Stopping(1e-5, 100), rule_of("full")
    (fitted,) = run([State(rule, start)], naive_pass(rows), stopping)
    asked = []

    def counting_pass(candidates):
        asked.append(candidates)
        return naive_pass(rows)(candidates)

    done_before = replace(fitted, outcome=Outcome.CONVERGED)
    states = [State(rule, fitted.parameters), State(rule, start), done_before]
    found = run(states, counting_pass, stopping)
    assert [len(state.trace) for state in found[:2]] == [2, len(fitted.trace)]
    assert [len(candidates) for candidates in asked] == [2, 2] + [1] * (len(fitted.trace) - 2)
    assert found[2] is done_before
    assert found[1].trace == fitted.trace  # company changes nothing
    assert_array_equal(found[1].parameters.covariances, fitted.parameters.covariances)


def test_each_step_is_reported_with_the_candidate_s_index(make_case):
    rows, _, start = make_case("diagonal", 100, 2, 2)
    seen = []
    states = [State(rule_of("diagonal"), start)] * 2
    found = run(
        states, naive_pass(rows), Stopping(0.0, 3), lambda c, state: seen.append((c, state))
    )
    assert [(c, len(state.trace)) for c, state in seen] == [
        (c, passes) for passes in (1, 2, 3) for c in (0, 1)
    ]
    assert [state for _, state in seen[-2:]] == found
    assert all(state.outcome is Outcome.OUT_OF_PASSES for state in found)


def test_no_passes_allowed_means_no_pass(make_case):
    _, _, start = make_case("full", 50, 1, 1)
    (state,) = run([State(rule_of("full"), start)], pytest.fail, Stopping(1e-3, 0))
    assert state.outcome is Outcome.OUT_OF_PASSES
    assert state.trace == ()
    assert state.parameters is start


def test_no_candidates_need_no_pass():
    assert run([], pytest.fail, Stopping(1e-3, 10)) == []


def test_who_is_outdone_takes_part_in_no_more_passes(make_case):
    rows, _, start = make_case("full", 250, 3, 3)
    asked = []

    def watched(candidates):
        asked.append(len(candidates))
        return naive_pass(rows)(candidates)

    def after_two(states):
        return [c for c, state in enumerate(states) if c == 1 and len(state.trace) == 2]

    states = [State(rule_of("full"), start)] * 2
    found = run(states, watched, Stopping(0.0, 4), outdone=after_two)
    assert asked == [2, 2, 1, 1]
    assert [each.outcome for each in found] == [Outcome.OUT_OF_PASSES, Outcome.OUTDONE]
    assert found[1].trace == found[0].trace[:2]
    assert "it was stopped" in found[1].outcome.advice


def collapsing(structure):
    """Rows of which some are all equal, and a start whose component 1 sits on those."""
    rng = np.random.default_rng(3)
    rows = np.vstack([rng.normal(size=(60, 2)), np.full((20, 2), 50.0)])
    means = np.array([[0.0, 0.0], [50.0, 50.0]])
    unit = naive.in_shape_of(structure, np.stack([np.eye(2)] * 2))
    return rows, Parameters.from_covariances(structure, [0.7, 0.3], means, unit)


@pytest.mark.parametrize("structure", ["spherical", "diagonal", "full"])
def test_a_collapsed_covariance_ends_one_candidate_and_leaves_its_parameters(structure):
    rows, bad = collapsing(structure)
    rule = rule_of(structure, reg_covar=0.0)
    good = Parameters.from_covariances(structure, [1.0], bad.means[:1], 900 * bad.covariances[:1])
    found = run([State(rule, bad), State(rule, good)], naive_pass(rows), Stopping(1e-3, 50))
    assert found[0].outcome is Outcome.DEGENERATE
    assert isinstance(found[0].failure, DegenerateCovarianceError)
    assert found[0].failure.component == 1
    assert found[0].parameters is bad
    assert len(found[0].trace) == 1
    assert found[1].outcome is Outcome.CONVERGED
    assert found[1].failure is None


def test_reg_covar_saves_a_collapsing_candidate(structure):
    rows, start = collapsing(structure)
    state = State(rule_of(structure, reg_covar=1e-6), start)
    (state,) = run([state], naive_pass(rows), Stopping(1e-3, 50))
    assert state.outcome is Outcome.CONVERGED


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_objective_that_is_no_number_ends_as_degenerate(make_case, bad):
    rows, row_weights, start = make_case("full", 60, 2, 2)
    statistics = naive.statistics(rows, row_weights, start)
    state = State(rule_of("full"), start)
    found = step(state, replace(statistics, log_likelihood=bad), Stopping(1e-3, 10))
    assert found.outcome is Outcome.DEGENERATE
    assert isinstance(found.failure, DataError)
    assert f"became {bad} in pass 1" in str(found.failure)
    assert found.parameters is start
    assert found.trace == ()


@pytest.mark.parametrize("field", ["weight", "first", "second"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e308])
def test_sums_that_overflowed_end_as_degenerate_and_never_as_parameters(
    make_case, structure, field, bad
):
    rows, row_weights, start = make_case(structure, 60, 2, 2)
    statistics = naive.statistics(rows, row_weights, start)
    array = np.array(getattr(statistics, field))
    array.flat[0] = bad
    found = step(
        State(rule_of(structure), start),
        replace(statistics, **{field: array}),
        Stopping(1e-3, 10),
    )
    if found.outcome is Outcome.DEGENERATE:
        assert isinstance(found.failure, DegenerateCovarianceError)
        assert found.parameters is start
    else:
        assert bad == 1e308  # large, and a number
        for name in ("weights", "means", "covariances", "precisions_cholesky"):
            assert np.all(np.isfinite(getattr(found.parameters, name)))


def test_a_component_that_no_row_wants_keeps_its_place(structure):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(80, 2))
    means = np.array([[0.5, 0.0], [-0.5, 0.0], [1e6, 1e6]])
    unit = naive.in_shape_of(structure, np.stack([np.eye(2)] * 3))
    start = Parameters.from_covariances(structure, np.full(3, 1 / 3), means, unit)
    stopping = Stopping(0.0, 4)
    (state,) = run([State(rule_of(structure, 0.0), start)], naive_pass(rows), stopping)
    assert state.outcome is Outcome.OUT_OF_PASSES
    assert state.parameters.weights[2] == 0.0
    assert_allclose(state.parameters.weights.sum(), 1.0, rtol=1e-15)
    assert_array_equal(state.parameters.means[2], means[2])
    assert np.all(np.isfinite(state.parameters.means))
    if structure != "tied":
        assert_array_equal(state.parameters.covariances[2], start.covariances[2])
    two = Parameters.from_covariances(
        structure, [0.5, 0.5], means[:2], start.covariances if structure == "tied" else unit[:2]
    )
    (pair,) = run([State(rule_of(structure, 0.0), two)], naive_pass(rows), stopping)
    assert_allclose(state.trace[1:], pair.trace[1:], rtol=1e-13)
    assert_allclose(state.parameters.means[:2], pair.parameters.means, rtol=1e-11)


def test_a_first_estimate_from_labels_needs_no_previous_parameters(structure):
    rows = np.random.default_rng(1).normal(size=(80, 2))
    labels = np.arange(80) % 2
    hard = np.eye(3)[labels]  # the third component has no row
    second = np.einsum("nk,ni,nj->kij", hard, rows, rows)
    statistics = replace(
        SufficientStatistics.zeros(structure, np.zeros((3, 2))),
        weight=hard.sum(axis=0),
        first=hard.T @ rows,
        second=naive.in_shape_of(structure, second),
    )
    found = rule_of(structure, reg_covar=0.1).estimate(statistics, previous=None)
    expected = naive.m_step(rows, hard[:, :2], structure, 0.1)
    assert_allclose(found.means, [*expected.means, [0.0, 0.0]], rtol=1e-12)
    own = slice(None) if structure == "tied" else slice(2)
    assert_allclose(found.covariances[own], expected.covariances, rtol=1e-12, atol=1e-14)
    assert_array_equal(found.weights, [0.5, 0.5, 0.0])


@pytest.mark.parametrize("raised", [KeyboardInterrupt, OSError("disk gone")])
def test_what_a_pass_raises_propagates_and_changes_nothing(make_case, raised):
    rows, _, start = make_case("full", 60, 2, 2)
    state = State(rule_of("full"), start)
    states, n_passes = [state], 0

    def failing_pass(candidates):
        nonlocal n_passes
        n_passes += 1
        if n_passes == 3:
            raise raised
        return naive_pass(rows)(candidates)

    with pytest.raises(raised if isinstance(raised, type) else type(raised)):
        run(states, failing_pass, Stopping(0.0, 10))
    assert states == [state]
    assert state.parameters is start
    assert state.trace == ()


def test_rows_without_weight_are_an_error_of_the_data_not_of_a_candidate(make_case):
    rows, _, start = make_case("full", 60, 2, 2)
    state = State(rule_of("full"), start)
    with pytest.raises(DataError, match="too little to divide by"):
        run([state], naive_pass(rows, np.zeros(60)), Stopping(1e-3, 10))


def test_a_pass_that_answers_for_too_few_candidates_is_caught(make_case):
    rows, _, start = make_case("full", 60, 2, 2)
    states = [State(rule_of("full"), start)] * 2
    with pytest.raises(ValueError, match="shorter"):
        run(states, lambda asked: naive_pass(rows)(asked[:1]), Stopping(1e-3, 10))


def test_every_outcome_has_its_advice():
    advice = [outcome.advice for outcome in Outcome]
    assert len(set(advice)) == len(Outcome)
    assert all(sentence.endswith(".") for sentence in advice)
