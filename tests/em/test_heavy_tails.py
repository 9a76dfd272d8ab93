"""The M-step of t-distributions, beside plain EM in extended precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import digamma, gammaln
from scipy.stats import norm

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.mixture.heavy_tails import Tailed, covariances_of
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import open_source

EXTENDED = np.longdouble  # 64 bits of mantissa


def begin(rows, means, covariance_type="full"):
    """A start: these means, and the covariance of all rows."""
    known, covariance = family(covariance_type), np.cov(rows.T).reshape(2 * [rows.shape[1]])
    n_components = len(means)
    covariances = {
        "full": np.array([covariance] * n_components),
        "tied": covariance,
        "diag": np.array([np.diag(covariance)] * n_components),
        "spherical": np.full(n_components, np.trace(covariance) / rows.shape[1]),
    }[covariance_type]
    weights = np.full(n_components, 1.0 / n_components)
    return Parameters.from_covariances(known.structure, weights, means, covariances)


def climb(rows, start, degrees="each", covariance_type="full", tol=1e-7, most=1000):
    """Climb with our own passes."""
    rule = em.HeavyTails(em.Maximisation(family(covariance_type), 0.0), degrees)
    source = open_source(rows)
    (state,) = em.run(
        [em.State(rule, rule.begun(start))],
        lambda candidates: passes.statistics(source, candidates),
        em.Stopping(tol, most),
    )
    return state


def extended_step(rows, weights, means, scales, degrees):
    """A step of plain EM (Peel and McLachlan 2000): the next parameters, and the objective.

    Products and sums are of extended precision, factors of scales of NumPy's.
    """
    n, d = rows.shape
    logs, distances = [], []
    for k, scale in enumerate(scales):
        lower = np.linalg.cholesky(scale.astype(float))
        gaps, solved = (rows - means[k]).astype(EXTENDED), np.zeros((n, d), EXTENDED)
        for i in range(d):
            solved[:, i] = (gaps[:, i] - solved[:, :i] @ lower[i, :i]) / lower[i, i]
        distances.append((solved**2).sum(axis=1))
        v = float(degrees[k])
        height = gammaln((v + d) / 2) - gammaln(v / 2) - d / 2 * np.log(v * np.pi)
        height += np.log(float(weights[k])) - np.log(np.diag(lower)).sum()
        logs.append(height - (v + d) / 2 * np.log1p(distances[-1] / v))
    logs, distances = np.array(logs).T, np.array(distances).T
    highest = logs.max(axis=1, keepdims=True)
    mass = np.exp(logs - highest)
    total = mass.sum(axis=1, keepdims=True)
    shares = mass / total
    u = (degrees + d) / (degrees + distances)
    scaled, counted = shares * u, shares.sum(axis=0)
    new_means = (scaled.T @ rows) / scaled.sum(axis=0)[:, None]
    new_scales = []
    for k in range(len(means)):
        gaps = rows - new_means[k]
        new_scales.append((gaps.T * scaled[:, k]) @ gaps / counted[k])
    new_degrees = []
    for k, v in enumerate(degrees.astype(float)):
        mean = float((shares[:, k] * (np.log(u[:, k]) - u[:, k])).sum() / counted[k])
        constant = 1 + mean + digamma((v + d) / 2) - np.log((v + d) / 2)
        low, high = np.log(0.5), np.log(1e6)
        for _ in range(60):
            middle = 0.5 * (low + high)
            half = 0.5 * np.exp(middle)
            is_below = np.log(half) - digamma(half) + constant > 0
            low, high = (middle, high) if is_below else (low, middle)
        new_degrees.append(np.exp(low))
    objective = float((highest[:, 0] + np.log(total[:, 0])).mean())
    moved = counted / n, new_means, np.array(new_scales), np.array(new_degrees, EXTENDED)
    return moved, objective


def extended_em(rows, start, degrees, tol, most=3000):
    """Plain EM to its end; the parameters, the objective, and the passes."""
    now = start.weights, start.means, start.covariances, np.full(len(start.means), degrees)
    now, objectives = tuple(each.astype(EXTENDED) for each in now), [-np.inf]
    while len(objectives) <= most:
        now, objective = extended_step(rows.astype(EXTENDED), *now)
        objectives.append(objective)
        if abs(objective - objectives[-2]) < tol:
            break
    return now, objectives[-1], len(objectives) - 1


@pytest.fixture
def heavy(rng):
    """Rows of one t-distribution with 3 degrees of freedom."""
    tall = rng.normal(size=(4, 4)) + 2.0 * np.eye(4)
    stretched = np.sqrt(rng.chisquare(3.0, 2000) / 3.0)
    return (rng.normal(size=(2000, 4)) / stretched[:, None]) @ tall


@pytest.fixture
def two(rng):
    """Rows of two t-distributions, with 2.5 and 12 degrees of freedom."""
    parts = [
        rng.normal(size=(400, 2)) / np.sqrt(rng.chisquare(v, (400, 1)) / v) for v in (2.5, 12.0)
    ]
    return np.vstack([parts[0], parts[1] * [1.0, 2.0] + 5.0])


def test_it_ends_where_plain_em_does(two):
    start = begin(two, np.array([[0.0, 0.0], [5.0, 5.0]]))
    ours = climb(two, start, tol=1e-13)
    (weights, means, scales, degrees), objective, _ = extended_em(two, start, 10.0, 1e-14)
    assert ours.trace[-1] == pytest.approx(objective, abs=1e-10)
    # an objective known to 1e-13 is flat to its root
    for found, expected in (
        (ours.parameters.weights, weights),
        (ours.parameters.means, means),
        (ours.parameters.covariances, scales),
        (ours.parameters.degrees_of_freedom, degrees),
    ):
        assert_allclose(found, expected.astype(float), rtol=1e-4, atol=1e-5)


def test_a_pass_has_the_objective_of_extended_precision(two):
    start = begin(two, np.array([[0.0, 0.0], [5.0, 5.0]]))
    tailed = Tailed.of(start, 4.0)
    (found,) = passes.statistics(open_source(two), [tailed])
    arrays = start.weights, start.means, start.covariances, np.full(2, 4.0)
    _, objective = extended_step(two.astype(EXTENDED), *(each.astype(EXTENDED) for each in arrays))
    assert found.mean_log_likelihood == pytest.approx(objective, rel=1e-14)


def test_it_takes_under_half_of_the_passes_of_plain_em(heavy):
    start = begin(heavy, heavy.mean(axis=0)[None])
    _, objective, n_passes = extended_em(heavy, start, 10.0, 1e-7)
    ours = climb(heavy, start)
    assert len(ours.trace) <= 14
    assert n_passes >= 2 * len(ours.trace)
    assert ours.trace[-1] >= objective - 1e-7
    assert ours.parameters.degrees_of_freedom[0] == pytest.approx(3.0, abs=0.5)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("degrees", ["each", "shared", 4.0])
def test_the_objective_never_falls(degrees, covariance_type):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        n, d, k = int(rng.integers(40, 400)), int(rng.integers(1, 6)), int(rng.integers(1, 5))
        centres = rng.normal(scale=3.0, size=(k, d))
        rows = centres[rng.integers(k, size=n)] + rng.standard_t(rng.choice([1.5, 4, 50]), (n, d))
        start = begin(rows, rows[:k], covariance_type)
        state = climb(rows, start, degrees, covariance_type, most=300)
        # without reg_covar, a component may fall upon a single row
        assert state.failure is None or covariance_type != "tied"
        # what has fallen by more than tol is made again by EM alone
        assert np.diff(state.trace).min(initial=0.0) >= -1e-7
        found = state.parameters.degrees_of_freedom
        assert np.all(found >= 1.0)
        if degrees == "shared":
            assert np.all(found == found[0])


def test_normal_rows_have_infinite_degrees_of_freedom():
    # of the normal quantiles, whose tails are no heavier than normal ones
    rows = norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]
    state = climb(rows, begin(rows, np.zeros((1, 1))), most=100)
    assert state.outcome is em.Outcome.CONVERGED
    assert np.isinf(state.parameters.degrees_of_freedom[0])
    assert len(state.trace) < 20


def test_infinity_is_left_where_tails_are_heavy(heavy):
    rule = em.HeavyTails(em.Maximisation(family("full"), 0.0), "each")
    normal = Tailed.of(begin(heavy, heavy.mean(axis=0)[None]), np.inf)
    (found,) = passes.statistics(open_source(heavy), [normal])
    assert np.isfinite(rule.estimate(found, normal).degrees_of_freedom[0])


def test_an_update_that_lowers_the_objective_is_made_again_by_em_alone(heavy):
    start = begin(heavy, heavy.mean(axis=0)[None])
    rule = em.HeavyTails(em.Maximisation(family("full"), 0.0), "each")
    source, seen = open_source(heavy), []

    class Reckless(em.HeavyTails):
        def estimate(self, statistics, previous):
            found = super().estimate(statistics, previous)
            if len(seen) != 3:
                return found
            worse = Tailed.of(found, 500.0)
            return Tailed(
                *[getattr(worse, n) for n in FIELDS], degrees_of_freedom=[500.0], safer=found
            )

    def data_pass(candidates):
        seen.append(candidates[0].degrees_of_freedom[0])
        return passes.statistics(source, candidates)

    reckless = Reckless(rule.normal, "each")
    (state,) = em.run([em.State(reckless, rule.begun(start))], data_pass, em.Stopping(1e-7, 100))
    assert seen[3] == 500.0
    assert state.trace[3] == state.trace[2]  # rejected
    assert np.diff(state.trace).min() >= -1e-7
    assert state.parameters.degrees_of_freedom[0] == pytest.approx(3.0, abs=0.5)


FIELDS = ("structure", "weights", "means", "covariances", "precisions_cholesky")


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_what_is_remembered_of_a_mixture_is_the_mixture(covariance_type, two):
    start = begin(two, np.array([[0.0, 0.0], [5.0, 5.0]]), covariance_type)
    rule = em.HeavyTails(em.Maximisation(family(covariance_type), 0.0), "each")
    tailed = Tailed.of(start, [3.0, np.inf])
    again = rule.estimate(rule.remembered(tailed, 500.0), tailed)
    for name in ("weights", "means", "covariances", "degrees_of_freedom"):
        assert_allclose(getattr(again, name), getattr(tailed, name), rtol=1e-9)


def test_covariances_are_those_of_drawn_rows_and_none_below_two_degrees():
    mixture = Parameters.from_covariances("full", [0.5, 0.5], np.zeros((2, 2)), [np.eye(2)] * 2)
    found = covariances_of(mixture, np.array([6.0, np.inf]))
    assert_allclose(found, [1.5 * np.eye(2), np.eye(2)])
    found = covariances_of(mixture, np.array([2.0, 3.0]))
    assert_array_equal(found[0], [[np.inf, 0.0], [0.0, np.inf]])
    tied = Parameters.from_covariances("tied", [0.5, 0.5], np.zeros((2, 2)), np.eye(2))
    assert covariances_of(tied, np.array([6.0, 6.0])).shape == (2, 2)
    assert covariances_of(tied, np.array([6.0, 4.0])).shape == (2, 2, 2)
