"""Extrapolations of EM: the same limits, never downhill, in fewer passes."""

from __future__ import annotations

import math
import pickle
from dataclasses import fields, replace
from functools import partial

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture, load, passes
from fastgmm.covariance import FAMILIES
from fastgmm.em.acceleration import (
    ACCELERATIONS,
    LARGEST_CHANGE,
    LONGEST_REST,
    Acceleration,
    coordinates,
    metric,
    moved,
)
from fastgmm.em.loop import State, run, step
from fastgmm.em.outcome import Outcome
from fastgmm.em.stopping import Stopping, is_slow
from fastgmm.em.update_rules import Maximisation
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import open_source

FAMILY_OF = {family.structure: family for family in FAMILIES.values()}


def problem(structure, seed, n_features=2, n_components=3, separation=2.0, n_rows=300):
    """Return a data pass and a start near the middle of overlapping clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_components, n_features)) * separation
    labels = rng.integers(n_components, size=n_rows)
    rows = centres[labels] + rng.normal(size=(n_rows, n_features))
    means = rows[rng.choice(n_rows, n_components, replace=False)]
    whole = np.stack([np.cov(rows.T).reshape(n_features, n_features)] * n_components)
    weights = np.full(n_components, 1.0 / n_components)
    start = Parameters.from_covariances(
        structure, weights, means, naive.in_shape_of(structure, whole)
    )
    return partial(passes.statistics, open_source(rows)), start


def climbed(name, data_pass, start, stopping, reg_covar=0.0):
    rule = Maximisation(FAMILY_OF[start.structure], reg_covar)
    acceleration = None if name is None else Acceleration(name)
    (found,) = run([State(rule, start, acceleration=acceleration)], data_pass, stopping)
    return found


@settings(max_examples=30)
@given(
    structure=st.sampled_from(sorted(FAMILY_OF)),
    seed=st.integers(0, 2**32 - 1),
    n_features=st.integers(1, 4),
    n_components=st.integers(1, 4),
    separation=st.floats(0.0, 5.0),
)
def test_the_bounds_never_fall_and_the_end_is_one_of_em_s_own(
    structure, seed, n_features, n_components, separation
):
    data_pass, start = problem(structure, seed, n_features, n_components, separation)
    found = climbed("squarem", data_pass, start, Stopping(1e-6, 60), reg_covar=1e-9)
    # rounding of a mean of 300 rows; reg_covar moves EM by its part of a variance
    assert np.min(np.diff(found.trace), initial=0.0) > -1e-8
    assert len(found.trace) <= 60
    if found.outcome is Outcome.CONVERGED:
        again = climbed(None, data_pass, found.parameters, Stopping(0.0, 2), reg_covar=1e-9)
        assert abs(again.trace[1] - again.trace[0]) < 1e-6


@pytest.mark.parametrize("seed", [1, 2])
def test_the_limit_is_em_s_and_is_reached_in_fewer_passes(seed, structure):
    data_pass, start = problem(structure, seed, n_rows=1000, separation=2.5)
    plain = climbed(None, data_pass, start, Stopping(1e-13, 20_000))
    found = climbed("squarem", data_pass, start, Stopping(1e-13, 20_000))
    assert found.outcome is Outcome.CONVERGED
    assert found.trace[-1] > plain.trace[-1] - 1e-7
    if found.trace[-1] < plain.trace[-1] + 1e-7:  # not a better mode
        # an objective 1e-13 below its summit, with a curvature above 1e-5, lies within 1e-4
        assert_allclose(found.parameters.weights, plain.parameters.weights, atol=1e-3)
        assert_allclose(found.parameters.means, plain.parameters.means, atol=1e-2)
    assert len(found.trace) < max(len(plain.trace), 40)


def test_a_fixed_point_of_em_stays_where_it_is(structure):
    data_pass, start = problem(structure, 3, separation=6.0)
    limit = climbed(None, data_pass, start, Stopping(1e-15, 5000)).parameters
    found = climbed("squarem", data_pass, limit, Stopping(0.0, 20))
    assert_allclose(found.parameters.means, limit.means, atol=1e-5)
    assert_allclose(found.parameters.weights, limit.weights, atol=1e-6)


def test_an_extrapolation_that_leads_astray_is_dropped_and_em_goes_on(monkeypatch):
    data_pass, start = problem("full", 4)
    plain = climbed(None, data_pass, start, Stopping(0.0, 40))

    def astray(acceleration, image):
        step = np.zeros(len(coordinates(image)))
        step[: image.n_components] = -0.5, 0.5, 0.5
        step[image.n_components : 2 * image.n_components] = 7.0
        return acceleration, moved(image, step)

    monkeypatch.setattr(Acceleration, "extrapolate", astray)
    found = climbed("squarem", data_pass, start, Stopping(0.0, 40))
    kept = [bound for i, bound in enumerate(found.trace) if bound not in found.trace[:i]]
    assert kept == list(plain.trace[: len(kept)])  # the same bits: EM did not notice
    # rests of 0, 1, 3, 7, 15 passes follow failures in a row: of passes 2, 4, 7, 12, 21 and 38
    assert len(found.trace) - len(kept) == 6
    assert found.acceleration.n_failed == 6


@pytest.mark.parametrize("objective", [math.nan, math.inf, -math.inf, -1e300])
def test_a_trial_without_a_sound_likelihood_fails_and_degenerates_nothing(objective):
    data_pass, start = problem("full", 5)
    state = climbed("squarem", data_pass, start, Stopping(0.0, 2))
    state = replace(state, outcome=Outcome.RUNNING, trial=start)
    (statistics,) = data_pass([start])
    bad = replace(statistics, log_likelihood=objective)
    found = step(state, bad, Stopping(0.0, 99))
    assert found.outcome is Outcome.RUNNING
    assert found.parameters is state.parameters
    assert found.trial is None
    assert found.trace == (*state.trace, state.trace[-1])
    out = step(state, bad, Stopping(0.0, 3))
    assert out.outcome is Outcome.OUT_OF_PASSES


def test_a_trial_whose_covariance_collapses_fails_and_degenerates_nothing():
    data_pass, start = problem("full", 5)
    state = replace(
        climbed("squarem", data_pass, start, Stopping(0.0, 2)), outcome=Outcome.RUNNING, trial=start
    )
    (statistics,) = data_pass([start])
    high = replace(statistics, second=0.0 * statistics.second, log_likelihood=1e9)
    found = step(state, high, Stopping(0.0, 99))
    assert found.outcome is Outcome.RUNNING
    assert found.parameters is state.parameters


def test_the_last_pass_leaves_parameters_that_em_made():
    data_pass, start = problem("full", 6)
    for n_passes in range(1, 12):
        found = climbed("squarem", data_pass, start, Stopping(0.0, n_passes))
        assert found.outcome is Outcome.OUT_OF_PASSES
        assert len(found.trace) == n_passes
        (statistics,) = data_pass([found.parameters])
        assert statistics.mean_log_likelihood > found.trace[-1]


def test_a_component_of_no_weight_stays_as_it_is(structure):
    data_pass, start = problem(structure, 7)
    weights = [*(0.5 * start.weights), 0.5]
    means = np.vstack([start.means, [1e6, 1e6]])
    covariances = start.covariances
    if structure != "tied":
        covariances = np.concatenate([covariances, covariances[:1]])
    lonely = Parameters.from_covariances(structure, weights, means, covariances)
    found = climbed("squarem", data_pass, lonely, Stopping(1e-8, 5000))  # EM alone takes 931
    assert found.outcome is Outcome.CONVERGED
    assert found.parameters.weights[3] == 0.0
    assert_array_equal(found.parameters.means[3], [1e6, 1e6])
    assert np.all(np.diff(found.trace) > -1e-12)


def test_a_component_held_up_by_reg_covar_alone_does_not_keep_it_from_converging(structure):
    rng = np.random.default_rng(8)
    rows = np.vstack([rng.normal(size=(300, 2)), np.full((20, 2), 4.0)])
    unit = naive.in_shape_of(structure, np.stack([np.eye(2)] * 2))
    start = Parameters.from_covariances(structure, [0.7, 0.3], [[0.0, 0.0], [3.0, 3.0]], unit)
    data_pass = partial(passes.statistics, open_source(rows))
    plain = climbed(None, data_pass, start, Stopping(1e-9, 2000), reg_covar=1e-3)
    found = climbed("squarem", data_pass, start, Stopping(1e-9, 2000), reg_covar=1e-3)
    assert found.outcome is Outcome.CONVERGED
    assert_allclose(found.trace[-1], plain.trace[-1], atol=1e-5)
    assert len(found.trace) <= 2 * len(plain.trace)


def test_aitken_finds_steps_of_em_to_judge_by():
    data_pass, start = problem("diagonal", 9, n_rows=1000, separation=1.5)
    limit = climbed(None, data_pass, start, Stopping(1e-12, 20_000)).trace[-1]
    found = climbed("squarem", data_pass, start, Stopping(1e-5, 5000, "aitken"))
    assert found.outcome is Outcome.CONVERGED
    assert found.trace[-1] > limit - 1e-3
    last = (found.previous_objective, *found.trace)[found.start :]
    assert len(last) >= 4


@pytest.mark.parametrize("seed", [1, 3])
def test_late_acceleration_is_em_s_to_the_bit_until_em_is_slow(seed, structure):
    data_pass, start = problem(structure, seed, n_rows=1000, separation=2.5)
    stop = Stopping(1e-10, 5000)
    plain, found = (climbed(name, data_pass, start, stop) for name in (None, "auto"))
    pairs = zip(plain.trace, found.trace, strict=False)
    n_same = next(i for i, (bound, other) in enumerate(pairs) if bound != other)
    assert plain.trace[n_same - 1] - plain.trace[n_same - 2] < 1e-6
    assert len(found.trace) < len(plain.trace)
    assert found.trace[-1] > plain.trace[-1] - 1e-9
    stop = Stopping(1e-6, 5000)  # where EM would stop before it is seen to be slow
    bounds = {climbed(name, data_pass, start, stop).trace for name in (None, "auto")}
    assert len(bounds) == 1


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((0.99, 0.99, 0.99, 0.99), True),
        ((0.99, 0.97, 0.95, 0.99), True),
        ((0.99, 0.9, 0.99, 0.99), False),  # not steady
        ((0.5, 0.5, 0.5, 0.5), False),  # soon done
        ((1.0, 1.01, 1.0, 1.0), False),  # a plateau is being left
        ((0.99, 0.99, 0.99), False),  # too few to tell
    ],
)
def test_em_is_slow_where_small_increments_shrink_steadily_and_little(factors, expected):
    increments = 1e-7 * np.cumprod([1.0, *factors])
    objectives = [0.0, *np.cumsum(increments)]
    assert is_slow(objectives, 1e-9) is expected
    assert not is_slow(objectives, 0.9e-7)
    assert not is_slow(objectives, 0.0)
    assert not is_slow([100.0 * value for value in objectives], 1e-9)
    assert not is_slow(objectives[::-1], 1e-9)


@pytest.mark.parametrize("name", ACCELERATIONS)
def test_company_and_repetition_change_no_bit(name):
    data_pass, start = problem("full", 10)
    rule, stopping = Maximisation(FAMILY_OF["full"], 1e-6), Stopping(1e-7, 200)
    alone = climbed(name, data_pass, start, stopping, 1e-6)
    states = [State(rule, start), State(rule, start, acceleration=Acceleration(name))]
    _, found = run(states, data_pass, stopping)
    assert found.trace == alone.trace
    assert_array_equal(found.parameters.covariances, alone.parameters.covariances)


def test_a_state_taken_up_again_goes_on_with_the_same_bits():
    data_pass, start = problem("full", 11)
    whole = climbed("squarem", data_pass, start, Stopping(0.0, 30))
    part = climbed("squarem", data_pass, start, Stopping(0.0, 14))
    part = pickle.loads(pickle.dumps(replace(part, outcome=Outcome.RUNNING)))
    (found,) = run([part], data_pass, Stopping(0.0, 30))
    assert found.trace == whole.trace
    assert_array_equal(found.parameters.covariances, whole.parameters.covariances)


@pytest.mark.parametrize("name", ACCELERATIONS)
def test_a_memory_holds_arrays_and_numbers_alone(name):
    data_pass, start = problem("full", 12)
    acceleration = climbed(name, data_pass, start, Stopping(0.0, 9)).acceleration
    for field in fields(acceleration):
        value = getattr(acceleration, field.name)
        assert isinstance(value, str | int | float | np.ndarray)
        if isinstance(value, np.ndarray):
            assert value.dtype == np.float64
            assert not value.flags.writeable
    assert acceleration.points.shape == acceleration.images.shape


def test_rests_grow_and_are_bounded():
    acceleration, rests = Acceleration("squarem"), []
    for _ in range(12):
        acceleration = acceleration.discouraged()
        rests.append(acceleration.rest)
    assert rests[:5] == [0, 1, 3, 7, 15]
    assert rests[-1] == LONGEST_REST
    assert acceleration.rested().rest == LONGEST_REST - 1


def test_a_step_of_coordinates_is_taken_whole_where_it_is_small(make_case, structure):
    _, _, parameters = make_case(structure, 50, 3, 3)
    here = coordinates(parameters)
    step = 0.01 * np.random.default_rng(0).normal(size=len(here))
    step[:3] -= np.log(np.sum(parameters.weights * np.exp(step[:3])))  # weights of sum 1
    assert_allclose(coordinates(moved(parameters, step)), here + step, atol=1e-12)
    assert len(metric(parameters)) == len(here)


def test_a_wild_step_is_shortened_or_refused(make_case, structure):
    _, _, parameters = make_case(structure, 50, 3, 3)
    size = len(coordinates(parameters))
    with np.errstate(all="raise"):
        near = moved(parameters, np.full(size, 1e9))
    change = np.log(near.weights / parameters.weights)
    assert np.max(np.abs(change)) <= LARGEST_CHANGE + 1e-9
    assert moved(parameters, np.full(size, np.nan)) is None


def test_norms_do_not_depend_on_units(structure):
    second = 1e3 if structure == "spherical" else 1e-3  # one variance knows one unit
    units = np.array([1e3, second])
    data_pass, start = problem(structure, 13)
    (statistics,) = data_pass([start])
    rule = Maximisation(FAMILY_OF[structure], 0.0)
    norms = []
    for unit in (np.ones(2), units):
        pair = []
        for each in (start, rule.estimate(statistics, start)):
            scale = {"spherical": unit[0] ** 2, "diagonal": unit**2}.get(
                structure, np.outer(unit, unit)
            )
            pair.append(
                Parameters.from_covariances(
                    structure, each.weights, each.means * unit, each.covariances * scale
                )
            )
        change = coordinates(pair[1]) - coordinates(pair[0])
        norms.append(np.linalg.norm(change * metric(pair[0])))
    assert_allclose(norms[1], norms[0], rtol=1e-9)


@pytest.mark.parametrize("name", ACCELERATIONS)
def test_the_estimator_climbs_with_it(name, tmp_path):
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(-1, 1, (400, 2)), rng.normal(1, 1, (400, 2))])
    settings = {"tol": 1e-8, "max_iter": 3000, "init_params": "k-means++", "random_state": 0}
    plain = GaussianMixture(2, n_init=2, acceleration=None, **settings).fit(rows)
    model = GaussianMixture(2, n_init=2, acceleration=name, **settings).fit(rows)
    assert model.converged_
    assert model.n_iter_ == len(model.lower_bounds_) < plain.n_iter_
    assert model.lower_bound_ > plain.lower_bound_ - 1e-5
    again = GaussianMixture(2, n_init=2, acceleration=name, **settings).fit(rows)
    assert_array_equal(model.covariances_, again.covariances_)
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").acceleration == name
    warm = model.set_params(warm_start=True).fit(rows)
    assert warm.converged_
    assert warm.n_iter_ < 5


def test_by_default_em_is_hastened_from_our_starts_alone():
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(-1, 1, (400, 2)), rng.normal(1, 1, (400, 2))])
    settings = {"tol": 1e-10, "max_iter": 3000, "init_params": "k-means++", "random_state": 0}
    plain = GaussianMixture(2, acceleration=None, **settings).fit(rows)
    model = GaussianMixture(2, **settings).fit(rows)
    assert model.n_iter_ < plain.n_iter_
    assert model.lower_bound_ > plain.lower_bound_ - 1e-8
    given = {"weights_init": [0.5, 0.5], "means_init": rows[:2], "precisions_init": [np.eye(2)] * 2}
    for start in (given, {"means_init": rows[:2]}):
        plain = GaussianMixture(2, acceleration=None, **settings, **start).fit(rows)
        model = GaussianMixture(2, **settings, **start).fit(rows)
        assert model.lower_bounds_ == plain.lower_bounds_
        assert model.n_iter_ > 100
        hastened = GaussianMixture(2, acceleration="squarem", **settings, **start).fit(rows)
        assert hastened.n_iter_ < plain.n_iter_
    once = GaussianMixture(2, **settings).set_params(max_iter=40, warm_start=True)
    with pytest.warns(ConvergenceWarning):
        once.fit(rows)
    again = clone(once).set_params(acceleration=None)
    again.__dict__ |= {name: value for name, value in vars(once).items() if name.endswith("_")}
    for each in (once, again):
        each.set_params(max_iter=3000).fit(rows)
    assert once.lower_bounds_ == again.lower_bounds_


def test_the_estimator_stops_by_aitken_s_rule(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(-1, 1, (400, 2)), rng.normal(1, 1, (400, 2))])
    settings = {"max_iter": 3000, "init_params": "k-means++", "random_state": 0}
    limit = GaussianMixture(2, tol=1e-10, **settings).fit(rows).lower_bound_
    change = GaussianMixture(2, tol=1e-4, **settings).fit(rows)
    model = GaussianMixture(2, tol=1e-4, stopping="aitken", **settings).fit(rows)
    assert model.converged_
    assert change.lower_bound_ <= model.lower_bound_
    assert limit - model.lower_bound_ < 1e-3
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").stopping == "aitken"


@pytest.mark.parametrize("setting", [{"stopping": "slope"}, {"acceleration": "nesterov"}])
def test_names_that_are_none_are_refused(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        GaussianMixture(2, **setting).fit(np.zeros((5, 1)))
