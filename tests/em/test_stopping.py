"""Stopping rules: where objectives lead, and when that is near."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm.em.outcome import Outcome
from fastgmm.em.stopping import STOPPING_RULES, Stopping, aitken, wanders


@pytest.mark.parametrize(
    ("trace", "previous", "expected"),
    [
        ((), -math.inf, Outcome.RUNNING),
        ((-3.0,), -math.inf, Outcome.RUNNING),
        ((-3.0,), -3.05, Outcome.CONVERGED),
        ((-3.0, -2.95), -math.inf, Outcome.CONVERGED),
        ((-2.95, -3.0), -math.inf, Outcome.CONVERGED),
        ((-3.0, -2.875), -math.inf, Outcome.RUNNING),
        ((-3.0, -2.0, -1.0), -math.inf, Outcome.OUT_OF_PASSES),
        ((-3.0, -2.0, -1.95), -math.inf, Outcome.CONVERGED),
    ],
)
def test_stopping_judges_the_last_change(trace, previous, expected):
    assert Stopping(tolerance=0.1, max_passes=3).judge(trace, previous) is expected


def test_a_change_equal_to_the_tolerance_is_not_below_it():
    assert Stopping(0.125, 9).judge((-3.0, -2.875)) is Outcome.RUNNING
    assert Stopping(0.0, 9).judge((-3.0, -3.0)) is Outcome.RUNNING


def geometric(ratio, n_objectives, limit=-2.0):
    """Objectives whose distance to the limit shrinks by one ratio."""
    return tuple(limit - ratio**i for i in range(n_objectives))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 0.999])
def test_aitken_tells_the_distance_that_a_geometric_series_has_left(ratio):
    found = aitken(geometric(ratio, 6))
    # increments of ratio**5 * (1 - ratio) hold 4 eps of error, and 1 - ratio divides it twice
    assert_allclose(found, ratio**5, atol=20 * 2e-16 / (1 - ratio) ** 2)


@pytest.mark.parametrize(
    "objectives",
    [
        (-math.inf, -3.0, -2.5, -2.4),  # the first is of no pass
        (-4.0, -3.9, -3.7, -3.3),  # increments grow: a plateau is being left
        (-4.0, -3.0, -2.9, -2.7),  # the last one grew
        (-4.0, -3.0, -3.5, -3.25),  # they change sign
        (-3.0, -3.0, -2.9, -2.89),  # the first is no increment
    ],
)
def test_aitken_goes_on_where_increments_are_not_geometric(objectives):
    assert aitken(objectives) == math.inf
    assert Stopping(1e3, 99, "aitken").judge(objectives[1:], objectives[0]) is Outcome.RUNNING


def test_aitken_waits_while_increments_shrink_less_and_less():
    """Near a saddle they come to rest, and grow again: a ratio tells of none of that."""
    increments = np.cumprod(1.0 - 0.15 * 0.9 ** np.arange(12))
    objectives = [-3.0, *(-3.0 + np.cumsum(increments))]
    assert all(aitken(objectives[:end]) == math.inf for end in range(4, 13))


def test_aitken_takes_rounding_for_the_end():
    assert aitken((-5.1, -5.1, -5.1 + 9e-16, -5.1)) == 0.0
    assert aitken((-5.1, -5.1 + 1e-12, -5.1, -5.1 + 1e-12)) == math.inf


def test_a_fall_within_a_tolerance_is_rounding():
    stopping = Stopping(1e-3, 99, "aitken")
    resting = (-3.0, -3.00001, -2.99999, -3.0)
    assert aitken(resting) == math.inf
    assert stopping.judge(resting) is Outcome.CONVERGED
    assert Stopping(1e-4, 99, "aitken").judge(resting) is Outcome.RUNNING  # it may be rounding
    assert stopping.judge(resting[:3]) is Outcome.RUNNING
    rising = (-3.0, -2.99999, -2.99997, -2.99994)  # EM is slow, and does not fall
    assert stopping.judge(rising) is Outcome.RUNNING


def test_after_a_leap_aitken_waits_for_another_try():
    """What fell fast after an extrapolation that has gained much says nothing of what is left."""
    steps = geometric(0.1, 4)
    stopping = Stopping(0.1, 99, "aitken")
    assert aitken(steps) < stopping.tolerance
    for gained, outcome in ((0.5, Outcome.RUNNING), (0.05, Outcome.CONVERGED)):
        assert stopping.judge((steps[0] - gained, *steps), start=2) is outcome
    assert Stopping(0.1, 99).judge((steps[0] - 0.5, *steps), start=2) is Outcome.CONVERGED


def test_aitken_stops_where_nothing_changes():
    assert aitken((-3.0, -3.0, -3.0, -3.0)) == 0.0
    assert Stopping(1e-9, 99, "aitken").judge((-3.0,) * 4) is Outcome.CONVERGED


WANDERING = (-3.0, -2.0, -2.3, -2.1, -2.2, -2.0, -2.3, -2.0, -2.2, -2.1, -2.3, -2.1)


@pytest.mark.parametrize("rule", STOPPING_RULES)
def test_a_climb_that_only_wanders_has_arrived_under_every_rule(rule):
    stopping = Stopping(0.05, 99, rule)
    assert stopping.judge(WANDERING[1:]) is Outcome.CONVERGED
    assert stopping.judge(WANDERING[1:-1]) is Outcome.RUNNING  # too few passes to tell
    assert stopping.judge((*WANDERING[1:-1], -1.7)) is Outcome.RUNNING  # the highest by 0.3
    assert Stopping(0.0, 99, rule).judge(WANDERING[1:]) is Outcome.RUNNING
    circle = (-2.3, -2.0, -2.1) * 4
    assert stopping.judge(circle) is Outcome.CONVERGED


def test_a_climb_that_rises_or_falls_does_not_wander():
    rising = tuple(0.01 * i for i in range(20))
    assert not wanders(rising, 0.1)
    assert not wanders(rising[::-1], 0.1)  # as where reg_covar holds a variance up
    assert not wanders((*rising, 0.1, *rising), 0.1)


def test_aitken_stops_within_tol_of_the_limit_where_the_change_stops_far_from_it():
    objectives = geometric(0.99, 2000)
    left = {}
    for rule in ("change", "aitken"):
        stopping = Stopping(1e-3, 2001, rule)
        n = next(n for n in range(2001) if stopping.judge(objectives[:n]) is Outcome.CONVERGED)
        left[rule] = -2.0 - objectives[n - 1]
    assert left["change"] > 50e-3
    assert 0.97e-3 < left["aitken"] < 1e-3


def test_steps_before_an_extrapolation_do_not_stop_em():
    stopping = Stopping(0.1, 99)
    assert stopping.judge((-3.0, -2.95), start=2) is Outcome.RUNNING
    assert stopping.judge((-3.0, -2.5, -2.45), start=2) is Outcome.CONVERGED
    assert stopping.is_near((-3.0, -2.95), start=2)
    assert not stopping.is_near((-3.0, -2.95), start=1)
