"""Which candidates of a selection climb on, counted in the unit of the criterion."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from selection.contests import contest_of
from sklearn.exceptions import ConvergenceWarning

import fastgmm
from fastgmm import GaussianMixture, em
from fastgmm.covariance import family
from fastgmm.estimators.criteria import aic, icl
from fastgmm.mixture.parameters import Parameters
from fastgmm.selection.contest import SAFETY

FULL, SPHERICAL = family("full"), family("spherical")


def state_of(n_components, trace, **changes):
    """A sound mixture whose objectives were these."""
    spread = np.arange(float(n_components))[:, None] * [5.0, 0.0]
    identity = np.broadcast_to(np.eye(2), (n_components, 2, 2))
    weights = np.full(n_components, 1.0 / n_components)
    parameters = Parameters.from_covariances("full", weights, spread, identity)
    rule = em.Maximisation(FULL, 1e-6)
    return em.State(rule, parameters, trace=tuple(trace), **changes)


def climbing_to(limit, distance, ratio=0.5, n_passes=5):
    """Objectives of a geometric series, the last of which is a distance below the limit."""
    return [limit - distance / ratio**at for at in reversed(range(n_passes))]


# What the tolerance is


@pytest.mark.parametrize("n_rows", [300, 300_000])
def test_a_candidate_has_arrived_within_a_share_of_what_a_component_is_charged(n_rows):
    charge = 6 * math.log(n_rows) / 2  # of a component of two features: weight, mean, covariance
    assert_allclose(contest_of(n_rows).charge, charge, rtol=1e-12)
    assert_allclose(contest_of(n_rows).stopping.tolerance, 0.01 * charge / n_rows, rtol=1e-12)


def test_the_cheapest_neighbours_count():
    cheapest = contest_of(families=[FULL, SPHERICAL])
    assert_allclose(cheapest.charge, 4 * math.log(1000) / 2, rtol=1e-12)
    over_gaps = contest_of(counts=[2, 4, 8])
    assert_allclose(over_gaps.charge, 2 * 6 * math.log(1000) / 2, rtol=1e-12)
    one = contest_of(counts=[4])  # to the next
    assert_allclose(one.charge, 6 * math.log(1000) / 2, rtol=1e-12)


def test_aic_charges_the_same_of_any_number_of_rows():
    for n_rows in (300, 300_000):
        assert_allclose(contest_of(n_rows, criterion=aic).charge, 6.0, rtol=1e-12)


def test_weights_that_sum_to_one_leave_a_tolerance():
    relative = contest_of(row_weight=1.0)  # log(1) is 0, and BIC charges nothing
    assert_allclose(relative.stopping.tolerance, contest_of().stopping.tolerance, rtol=1e-12)
    assert contest_of(n_rows=1, row_weight=1.0).stopping.tolerance > 0.0


# Who goes on


def test_whoever_may_still_come_below_the_best_goes_on():
    contest = contest_of()
    charge = contest.charge / 1000  # a row
    least = charge / (SAFETY - 1.0)  # of distances that the candidate may be from its limit
    best = state_of(1, climbing_to(-3.0, 1e-9))
    for distance, is_out in ((1.01 * least, False), (0.99 * least, True)):
        other = state_of(2, climbing_to(-3.0, distance))
        reached = other.trace[-1] + SAFETY * distance
        assert (reached < best.trace[-1] + charge) == is_out
        assert contest.outdone([best, other]) == ([1] if is_out else [])


def test_nobody_is_left_behind_before_the_distance_is_known():
    best = state_of(1, climbing_to(-3.0, 1e-9))
    contest = contest_of()
    assert contest.outdone([best, state_of(2, [-9.0, -8.0, -7.9])]) == []  # too few passes
    rising = [-9.0, -8.0, -7.9, -7.86, -7.835]  # increments shrink less and less
    assert contest.outdone([best, state_of(2, rising)]) == []
    assert contest.outdone([best, state_of(2, climbing_to(-9.0, 1e-3))]) == [1]


def test_whoever_would_need_more_passes_than_there_are_is_left_behind():
    """At a saddle no distance is known; ten times as fast, it would take 90 passes to the best."""
    charge = contest_of().charge / 1000
    per_pass = charge / (SAFETY * 90)
    steps = [-3.0 + per_pass * at for at in range(5)]  # no ratio
    best = state_of(1, climbing_to(steps[-1], 1e-9))
    for max_passes, is_out in ((5 + 91, False), (5 + 89, True)):
        contest = contest_of(max_passes=max_passes)
        assert contest.outdone([best, state_of(2, steps)]) == ([1] if is_out else [])
    over = state_of(2, steps, outcome=em.Outcome.OUT_OF_PASSES)
    # what ran out of passes is asked whether as many again may help
    for max_passes, may_win in ((91, True), (89, False)):
        assert contest_of(max_passes=max_passes).can_win(over, contest.reached([best])) == may_win


def test_whoever_is_a_hundred_passes_late_is_left_behind_if_its_steps_shrink():
    """Ratios that still rise tell no distance, and a thousand passes would always do."""
    best = state_of(1, climbing_to(-3.0, 1e-9))
    charge = contest_of().charge / 1000
    shrinking = np.cumsum([1.0, 1.0, 0.9, 0.85])  # and less and less
    for per_pass, is_out in ((1.01e-3 * charge, False), (0.99e-3 * charge, True)):
        steps = -3.0 + per_pass * (shrinking - shrinking[-1])
        assert contest_of().outdone([best, state_of(2, steps)]) == ([1] if is_out else [])
        growing = [-3.0 - per_pass * (4 - 1.1 * at) for at in (0, 1, 2.1, 3.3)]
        assert contest_of().outdone([best, state_of(2, growing)]) == []


def test_objectives_of_the_start_tell_after_one_pass_who_has_lost():
    best = state_of(1, climbing_to(-3.0, 1e-9))
    *earlier, last = climbing_to(-9.0, 1e-3, n_passes=4)
    assert contest_of().outdone([best, state_of(2, [last])]) == []
    assert contest_of().outdone([best, state_of(2, [last], earlier=tuple(earlier))]) == [1]
    *earlier, last = climbing_to(-3.0, 0.0, n_passes=4)
    assert contest_of().outdone([state_of(1, [last], earlier=tuple(earlier))]) == []


@pytest.mark.slow
@pytest.mark.parametrize("stopping", ["aitken", "change"])
def test_the_doubt_of_the_chosen_is_finite_in_float32_too(stopping, rng):
    rows = rng.normal(size=(20_000, 2))
    rows[:7000, 0] += 4.0
    found = fastgmm.select(
        rows.astype(np.float32), range(1, 4), "diag", random_state=0, stopping=stopping
    )
    table = found.table
    arrived = table["converged"]
    assert found.best_estimator_.n_components == 2
    assert arrived[1]
    assert np.isfinite(table["doubt"][arrived]).all()
    assert table["doubt"][1] < 2.0 * 0.01 * 5 * math.log(20_000)
    assert table["n_passes"].max() < 11  # rounding is seen before it is seen to wander


def test_nobody_is_left_behind_where_passes_are_asked_for():
    states = [state_of(1, climbing_to(-3.0, 1e-9)), state_of(2, climbing_to(-9.0, 1e-9))]
    assert contest_of(share=0.0).outdone(states) == []


def test_a_collapsed_candidate_leaves_nobody_behind():
    collapsed = state_of(2, climbing_to(-1.0, 1e-9))
    flat = np.stack([np.eye(2), np.diag([1.0, 1e-6])])
    means, weights = collapsed.parameters.means, collapsed.parameters.weights
    parameters = Parameters.from_covariances("full", weights, means, flat)
    collapsed = replace(collapsed, parameters=parameters)
    sound = state_of(1, climbing_to(-3.0, 1e-9))
    assert contest_of().outdone([collapsed, sound]) == []
    assert contest_of().reached([collapsed, sound]) == contest_of().reached([sound])
    assert contest_of().outdone([state_of(2, collapsed.trace), sound]) == [1]
    assert contest_of().outdone([state_of(2, collapsed.trace), sound], passed_over=[0]) == []


def test_icl_allows_for_rows_in_doubt():
    """Two components may be charged log 2 a row more than BIC charges, one nothing."""
    contest = contest_of(criterion=icl)
    two, one = state_of(2, climbing_to(-3.0, 1e-9)), state_of(1, climbing_to(-3.5, 1e-9))
    assert contest.outdone([two, one]) == []
    assert contest_of().outdone([two, one]) == [1]
    assert contest.outdone([two, state_of(1, climbing_to(-3.8, 1e-9))]) == [1]


# Whole selections


def two_clusters(n_rows, seed):
    """Two clusters, 99 to 1, 3.5 deviations apart."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, 2))
    rows[: n_rows // 100, 0] += 3.5
    rng.shuffle(rows)
    return rows


def three_in_a_row(n_rows, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, 1)) + 1.8 * rng.integers(3, size=(n_rows, 1))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("drawn", "true"), [(two_clusters, 2), (three_in_a_row, 3)])
def test_long_data_has_no_component_too_many(drawn, true, seed):
    """With 1e-4 a row, 3, 3 and 4 were chosen of both."""
    rows = drawn(300_000, 100 + seed)
    found = fastgmm.select(rows, range(1, 6), "full", random_state=seed)
    assert found.best_estimator_.n_components == true


def test_the_doubt_is_about_what_is_left():
    rows = two_clusters(20_000, 3)
    found = fastgmm.select(rows, range(1, 5), "full", random_state=0)
    best, table = found.best_estimator_, found.table
    (at,) = np.flatnonzero(table["n_components"] == best.n_components)
    assert table["converged"][at]
    on = GaussianMixture(
        best.n_components,
        weights_init=best.weights_,
        means_init=best.means_,
        precisions_init=best.precisions_,
        tol=1e-12,
        max_iter=2000,
    ).fit(rows)
    left = best.bic(rows) - on.bic(rows)
    assert 0.0 <= left < 2.0 * table["doubt"][at] + 1e-6
    charge = 2.0 * contest_of(20_000, counts=[1, 2, 3, 4]).charge
    assert left < 0.05 * charge
    assert (table["doubt"] >= 0.0).all()


def test_what_cannot_win_is_not_climbed_to_its_end():
    rows = two_clusters(20_000, 3)
    table = fastgmm.select(rows, range(1, 6), "full", random_state=0).table
    with pytest.warns(ConvergenceWarning, match="did not converge"):  # nobody stops early
        to_the_end = fastgmm.select(
            rows, range(1, 6), "full", random_state=0, tol=0.0, max_iter=100
        ).table
    assert not table["converged"].all()
    assert table["n_passes"].sum() < to_the_end["n_passes"].sum()
    # and it had lost: by more than it gained on its way to the end
    assert table["bic"].argmin() == to_the_end["bic"].argmin() == 1


def test_passes_that_run_out_are_told_where_another_may_be_better():
    rows = three_in_a_row(20_000, 100)
    with pytest.warns(ConvergenceWarning, match=r"did not converge"):
        fastgmm.select(rows, range(1, 5), "full", random_state=0, max_iter=3)
