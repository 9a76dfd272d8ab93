"""Curves of log-likelihoods do not dip."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastgmm
from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.mixture import sampling
from fastgmm.mixture.parameters import Parameters
from fastgmm.selection import sweep
from fastgmm.selection.candidate import Candidate
from fastgmm.selection.contest import Contest
from fastgmm.selection.monotone import divided_gently, mended, restarted
from fastgmm.sources import open_source

TYPES = ["full", "tied", "diag", "spherical"]


@pytest.fixture
def rows(rng):
    """Three clusters, and enough rows that a small sample of them misleads."""
    middles = np.repeat([[0.0, 0.0], [5.0, 1.0], [-3.0, 6.0]], 4000, axis=0)
    return middles + rng.normal(size=(12_000, 2))


@pytest.fixture
def _small_sample(monkeypatch):
    """Starts that grow on few of the rows, and so are not the best of all rows."""
    monkeypatch.setattr("fastgmm.passes.subsample.SAMPLE_ROWS", 300)


def of_type(table, name):
    return table["log_likelihood"][table["covariance_type"] == name]


@pytest.mark.slow
@pytest.mark.usefixtures("_small_sample")
def test_a_candidate_is_never_below_a_smaller_one(rows, monkeypatch):
    arguments = {"n_components": range(1, 8), "random_state": 0}
    found = fastgmm.select(rows, **arguments).table
    monkeypatch.setattr(sweep, "mended", lambda candidates, *_: candidates)
    unmended = fastgmm.select(rows, **arguments).table
    dips = 0
    for name in TYPES:
        curve, before = of_type(found, name), of_type(unmended, name)
        # equal but for the order of sums, where a component stays twice in its place
        assert (np.diff(curve) >= -1e-12 * np.abs(curve[1:])).all()
        assert (curve >= before).all()
        dips += (np.diff(before) < 0.0).sum()
    assert dips > 0  # or this test would show nothing


@pytest.mark.usefixtures("_small_sample")
def test_a_mended_candidate_is_a_mixture_like_others(rows):
    chosen = fastgmm.select(rows, range(1, 8), "diag", "aic", random_state=0)
    table = chosen.table
    model = chosen.best_estimator_
    at = int(np.argmin(np.where(chosen.collapsed, np.inf, table["aic"])))
    assert model.n_components == len(model.weights_) == table["n_components"][at]
    assert_allclose(table["log_likelihood"][at], model.score(rows) * len(rows), rtol=1e-12)
    assert model.n_iter_ == table["n_passes"][at] == len(model.lower_bounds_)


@pytest.mark.usefixtures("_small_sample")
def test_what_is_mended_climbs_in_shared_passes(rows, monkeypatch):
    openings, first, longest = [], [], []
    mend, again = sweep.mended, sweep.Sweep.again

    def passes_of(states):
        return max((len(state.trace) for state in states), default=0)

    def mended_and_watched(candidates, *arguments):
        first.append(passes_of([each.state for each in candidates]))
        return mend(candidates, *arguments)

    def climbed_and_watched(self, *arguments):
        states = again(self, *arguments)
        longest.append(passes_of(states))
        return states

    def chunks():
        openings.append(1)
        return iter([rows])

    monkeypatch.setattr(sweep, "mended", mended_and_watched)
    monkeypatch.setattr(sweep.Sweep, "again", climbed_and_watched)
    # nobody stops early: who cannot win is not climbed again
    monkeypatch.setattr(Contest, "outdone", lambda *_, **__: [])
    fastgmm.select(chunks, range(1, 8), random_state=2)
    # besides: opening, a sample, the criteria of all, and of what was mended, twice
    assert len(openings) <= sum(first) + sum(longest) + 6
    assert sum(longest) > 0  # or this test would show nothing


@pytest.mark.parametrize("structure", ["full", "tied", "diagonal", "spherical"])
@pytest.mark.parametrize("gently", [0.0, 0.4])
def test_a_gentle_division_hardly_changes_the_density(structure, gently, rng):
    covariances = {
        "full": np.array([np.diag([1.0, 4.0, 2.0]), np.eye(3)]),
        "tied": np.eye(3),
        "diagonal": np.array([[1.0, 4.0, 2.0], [1.0, 1.0, 1.0]]),
        "spherical": np.array([2.0, 1.0]),
    }[structure]
    one = Parameters.from_covariances(structure, [0.6, 0.4], rng.normal(size=(2, 3)), covariances)
    rows = sampling.sample(one, 4000, np.random.RandomState(0))[0]
    two = divided_gently(one, family(naive.COVARIANCE_TYPES[structure]), gently)
    assert two.n_components == 3
    assert_allclose(two.weights.sum(), 1.0)
    assert_allclose(two.weights @ two.means, one.weights @ one.means)
    before, after = (passes.log_likelihoods(open_source(rows), each) for each in (one, two))
    if gently == 0.0 or structure == "tied":
        assert_allclose(after, before, rtol=1e-12)
    else:
        # two halves 0.4 deviations off the middle have an excess kurtosis of -2 * 0.4**4; a sphere
        # also trades a third of what it gains along the step for what it loses across
        within = {"spherical": 0.03}.get(structure, 1e-3)
        assert_allclose(after.mean(), before.mean(), atol=within)


def test_a_curve_without_dips_is_left_as_it_is(rows, monkeypatch):
    found = []

    def nothing(*_):
        pytest.fail("no pass is needed")

    def watched(candidates, source, contest, climbing):
        monkeypatch.setattr(passes, "totals", nothing)
        found.append(mended(candidates, source, contest, nothing))
        monkeypatch.undo()
        assert found[-1] == candidates
        return candidates

    monkeypatch.setattr(sweep, "mended", watched)
    fastgmm.select(rows, range(1, 4), "full", random_state=0)
    assert len(found) == 1


def test_what_is_mended_begins_without_an_extrapolation_of_the_smaller_one():
    """One that was stopped may have an extrapolation on trial: of its own components."""
    full = family("full")
    identity = np.repeat(np.eye(2)[None], 2, axis=0)
    two = Parameters.from_covariances("full", [0.5, 0.5], [[0.0, 0.0], [5.0, 0.0]], identity)
    rule = em.Maximisation(full, 1e-6)
    trace = (-4.0, -3.5, -3.4)
    stopped = em.State(rule, two, trace=trace, outcome=em.Outcome.OUTDONE, trial=two, start=2)
    smaller = Candidate(2, full, stopped, None, None, 2)
    larger = Candidate(3, full, em.State(rule, two), None, None, 2)
    again = restarted(larger, smaller, 0.4)
    assert again.state.next.n_components == again.state.parameters.n_components == 3
