"""Pruned passes: the sums of the dense one, wherever components are live, and the same bits."""

from __future__ import annotations

import warnings
from functools import partial

import numba
import numpy as np
import pytest
import twins
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastgmm import DegenerateComponentWarning, GaussianMixture, open_source, passes
from fastgmm.kernels import pruned
from fastgmm.kernels.bounds import MARGIN, BoundFactors, bound_factors, upper_bounds
from fastgmm.kernels.expectation import expectation_serial, new_workspaces
from fastgmm.mixture.parameters import Parameters

# Features about groups of four and eight; components one, few, and more than a segment of a tile
# holds of the first lists; rows about tiles; how far means are apart, in deviations.
CASES = [
    (1, 1, 1, 0.0),
    (1, 4, 193, 30.0),
    (2, 9, 1000, 3.0),
    (4, 5, 191, 0.0),
    (5, 17, 1000, 20.0),
    (8, 2, 192, 100.0),
    (13, 6, 1537, 8.0),
    (32, 8, 400, 2.0),
    (33, 3, 777, 50.0),
]


def bounded(rows, row_weights, factors, *rest, rank=4):
    """Run the pass by bounds, with directions that some of the rows have shown."""
    seen = rows[row_weights > 0.0] if len(row_weights) else rows
    bounds = bound_factors(factors, seen[:: 1 + len(seen) // pruned.SEEN], rank)
    expectation_serial(rows, row_weights, bounds, *rest)


def gathered(rows, row_weights, factors, *rest):
    """Run the pass that gathers live pairs."""
    expectation_serial(rows, row_weights, pruned.Gathered(*factors), *rest)


# Compiling the two pruned kernels takes 17 s for each type of rows, and 11 s more for threads.
DTYPES = [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)]
WAYS = {
    "gathered": gathered,
    "bounded": bounded,
    "bounded by all directions": partial(bounded, rank=64),
}


@pytest.fixture(params=WAYS)
def run(request):
    """A pruned pass."""
    return WAYS[request.param]


def random_case(rng, case, dtype, offset=0.0):
    n_features, n_components, n_rows, spread = case
    parameters = twins.random_parameters(rng, "full", n_components, n_features, offset, spread)
    return parameters, twins.random_rows(rng, parameters, n_rows, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_pruned_pass_agrees_with_its_twin(rng, run, case, dtype):
    parameters, rows = random_case(rng, case, dtype)
    found = twins.sums_of(run, rows, None, parameters)
    exact, bounds = twins.sums(rows, None, parameters)
    assert twins.worst(found, exact, bounds) < 0.1


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_rows_count_by_their_weights_whatever_their_scale(rng, scale):
    parameters, rows = random_case(rng, (13, 6, 1537, 8.0), np.float64)
    weights = scale * rng.choice([0.0, 0.5, 3.0], size=len(rows))
    dense = twins.moments_of(expectation_serial, rows, weights, parameters)
    for run in WAYS.values():
        moments, log_likelihoods = twins.moments_of(run, rows, weights, parameters)
        for found, expected in zip((moments, log_likelihoods), dense, strict=True):
            assert_allclose(found, expected, rtol=0, atol=1e-14 * np.abs(expected).max())


def test_rows_of_weight_zero_may_lie_anywhere(rng):
    parameters, rows = random_case(rng, (8, 4, 400, 8.0), np.float64)
    weights = rng.choice([0.0, 1.0], size=len(rows))
    far = np.where(weights[:, None] == 0.0, 1e200, rows)
    for run in WAYS.values():
        found = twins.moments_of(run, twins.read_only(far), weights, parameters)
        expected = twins.moments_of(run, rows, weights, parameters)
        for one, other in zip(found, expected, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("offset", [1e3, 1e8])
def test_bounds_lose_no_live_pair_of_rows_with_an_offset(rng, offset):
    parameters, rows = random_case(rng, (13, 6, 1537, 8.0), np.float64, offset)
    found = twins.sums_of(bounded, rows, None, parameters)
    exact, bounds = twins.sums(rows, None, parameters)
    assert twins.worst(found, exact, bounds) < 0.1


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_bounds_lose_no_live_pair_of_flat_components(rng, condition):
    # the flatter, the less float32 can tell: pairs are let through, not lost
    axes = np.linalg.qr(rng.normal(size=(4, 10, 10)))[0]
    covariances = (axes * np.geomspace(1.0 / condition, 1.0, 10)) @ axes.swapaxes(1, 2)
    means = rng.normal(scale=3.0, size=(4, 10))
    parameters = Parameters.from_covariances("full", np.full(4, 0.25), means, covariances)
    labels = rng.integers(4, size=2000)
    noise = rng.normal(size=(2000, 10, 1))
    rows = means[labels] + (np.linalg.cholesky(covariances)[labels] @ noise)[:, :, 0]
    rows = twins.read_only(rows)
    dense = twins.moments_of(expectation_serial, rows, None, parameters)
    found = twins.moments_of(bounded, rows, None, parameters)
    for one, other in zip(found, dense, strict=True):
        assert_allclose(one, other, rtol=0, atol=1e-13 * np.abs(other).max())


def test_a_component_of_weight_zero_stays_without_a_row(rng):
    parameters, rows = random_case(rng, (8, 4, 400, 8.0), np.float64)
    dead = Parameters(
        "full",
        np.array([0.5, 0.0, 0.3, 0.2]),
        parameters.means,
        parameters.covariances,
        parameters.precisions_cholesky,
    )
    for run in WAYS.values():
        sums = twins.sums_of(run, rows, None, dead)
        assert sums.weight[1] == 0.0
        assert np.isfinite(sums.log_likelihood)
        assert np.isfinite(sums.second).all()


def with_one_far_away(rng, nats, n_rows, d=24, n_components=20):
    """Make components of which the last is so many nats out of its nearest row's best."""
    means = 8.0 * rng.normal(size=(n_components, d))
    labels = np.arange(n_rows) % (n_components - 1)  # nobody is of the last component
    rows = means[labels] + rng.normal(size=(n_rows, d))
    away = rows[0] - means[0]
    # |x - m|^2 / 2 is the density's logarithm, but for what all components share
    away *= np.sqrt(2.0 * nats + away @ away) / np.linalg.norm(away)
    means[-1] = rows[0] + away
    unit = np.broadcast_to(np.eye(d), (n_components, d, d))
    weights = np.full(n_components, 1.0 / n_components)
    return Parameters.from_covariances("full", weights, means, unit), rows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nats", [30.0, 49.9, 50.1, 55.0, 60.0, 68.0, 70.0, 100.0])
def test_a_far_component_is_alive_in_every_pass_or_in_none(rng, nats, dtype):
    parameters, rows = with_one_far_away(rng, nats, 400)
    rows = twins.read_only(rows.astype(dtype))
    weights = rng.uniform(0.5, 2.0, len(rows))
    for row_weights in (None, weights):
        dense = twins.sums_of(expectation_serial, rows, row_weights, parameters)
        assert (dense.weight[-1] > 0.0) == (nats < 50.0)
        for run in WAYS.values():
            found = twins.sums_of(run, rows, row_weights, parameters)
            tolerance = 1e-13 if dtype == np.float64 else 2e-5
            assert_allclose(found.weight, dense.weight, rtol=tolerance)
            assert_allclose(found.first[-1], dense.first[-1], rtol=10 * tolerance)
            assert_allclose(found.second[-1], dense.second[-1], rtol=10 * tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_rows", [pruned.FEWEST_ROWS - 1, pruned.FEWEST_ROWS + 1])
@pytest.mark.parametrize("nats", [45.0, 60.0])
def test_a_fit_ends_where_the_dense_one_does_with_a_component_far_away(
    rng, monkeypatch, nats, n_rows, dtype
):
    start, rows = with_one_far_away(rng, nats, n_rows)
    rows = rows.astype(dtype)
    model = GaussianMixture(
        20,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.covariances,
        reg_covar=1e-2,
        max_iter=8,
        tol=0.0,
    )
    factors = twins.factors_of(start, rows.dtype)
    is_long = n_rows >= pruned.FEWEST_ROWS
    assert (pruned.choose(twins.read_only(rows), factors) is not factors) == is_long
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, DegenerateComponentWarning))
        found = clone(model).fit(rows)
        monkeypatch.setattr(pruned, "FEWEST_ROWS", np.inf)
        dense = clone(model).fit(rows)
    assert (found.weights_[-1] > 0.0) == (nats < 50.0)
    tolerance = 1e-11 if dtype == np.float64 else 1e-4
    for name in ("lower_bound_", "weights_", "means_"):
        one, other = getattr(found, name), getattr(dense, name)
        assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_more_pairs_than_a_segment_holds_are_taken_in_turn(rng):
    n_components = pruned.SEGMENT_PAIRS // twins.SLICE_ROWS + 1  # so that a slice has two segments
    parameters, rows = random_case(rng, (2, n_components, 2 * twins.SLICE_ROWS, 50.0), np.float64)
    dense = twins.moments_of(expectation_serial, rows, None, parameters)
    for run in WAYS.values():
        for one, other in zip(twins.moments_of(run, rows, None, parameters), dense, strict=True):
            assert_allclose(one, other, rtol=0, atol=1e-13 * np.abs(other).max())


def far_apart(rng, dtype=np.float64):
    parameters = twins.random_parameters(rng, "full", 16, 16, spread=30.0)
    return parameters, twins.random_rows(rng, parameters, 20_000, dtype)


def test_pairs_that_are_nothing_choose_the_pruned_pass(rng):
    parameters, rows = far_apart(rng)
    factors = twins.factors_of(parameters, rows.dtype)
    assert isinstance(pruned.choose(rows, factors), BoundFactors)
    assert pruned.choose(rows[:100], factors) is factors
    close = twins.random_parameters(rng, "full", 16, 16, spread=0.1)
    near = twins.random_rows(rng, close, 20_000, np.float64)
    factors = twins.factors_of(close, near.dtype)
    assert pruned.choose(near, factors) is factors


def test_one_probe_says_of_a_whole_block_whether_pairs_are_left_out(rng, monkeypatch):
    parameters = twins.random_parameters(rng, "full", 620, 64, spread=30.0)
    rows = twins.random_rows(rng, parameters, 4000, np.float64)
    many, chosen = passes.model.model(parameters, rows.dtype), []

    def choose(*given):
        chosen.append(pruned.choose(*given))
        return chosen[-1]

    monkeypatch.setattr(passes.model, "choose_factors", choose)
    monkeypatch.setattr(passes.model, "twin", lambda *given: given[-1])  # nothing more to compile
    assert many.plan.call_rows < pruned.FEWEST_ROWS  # a call alone would be too short
    moments, log_likelihood = many.sums(passes.model.Block(rows, None, 0))
    assert [type(each) for each in chosen] == [BoundFactors]
    weight = many.unpack(moments, 64)[0]
    assert weight.sum() == pytest.approx(len(rows), rel=1e-12)
    scores = np.empty(len(rows))
    many.score(passes.model.Block(rows, None, 0), scores)
    assert log_likelihood == pytest.approx(scores.sum(), rel=1e-12)


def test_bounds_that_float32_blinds_are_not_used(rng):
    parameters, rows = far_apart(rng)
    means, rows = parameters.means.copy(), rows.copy()
    own = np.argmin(((rows[:, None] - means) ** 2).sum(axis=-1), axis=1) == 0
    means[0] += 1e8  # beside which the others are all at one place
    rows[own] += 1e8
    distant = Parameters(
        "full",
        parameters.weights,
        means,
        parameters.covariances,
        parameters.precisions_cholesky,
    )
    rows = twins.read_only(rows)
    way = pruned.choose(rows, twins.factors_of(distant, rows.dtype))
    assert isinstance(way, pruned.Gathered)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rank", [1, 4, 7, 33])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bounds_are_above_the_densities(rng, case, rank, dtype):
    parameters, rows = random_case(rng, case, dtype, offset=100.0)
    bounds = upper_bounds(
        rows, bound_factors(twins.factors_of(parameters, rows.dtype), rows[:192], rank)
    )
    centred = rows.astype(float) - parameters.means[:, None]
    lengths = ((centred @ parameters.precisions_cholesky) ** 2).sum(axis=-1)
    log_scale = np.log(parameters.weights) + np.log(
        np.einsum("kii->ki", parameters.precisions_cholesky)
    ).sum(axis=1)
    exact = log_scale[:, None] - 0.5 * (case[0] * np.log(2 * np.pi) + lengths)
    # float32 rounds the log scale, and a sum of three terms
    assert np.all(bounds > exact - 2.0**-21 * (1.0 + np.abs(exact)))


def test_all_directions_bound_tightly(rng):
    parameters, rows = random_case(rng, (13, 6, 1537, 8.0), np.float64)
    factors = twins.factors_of(parameters, rows.dtype)
    all_of_them, few = (upper_bounds(rows, bound_factors(factors, rows, rank)) for rank in (13, 4))
    densities = np.empty((6, len(rows)))
    workspace = new_workspaces(1, rows, factors)[0]
    probe = np.arange(100, dtype=np.int32)
    pruned.write_probe(rows[:100], probe, factors, workspace, densities[:, :100])
    gap = all_of_them[:, :100] - densities[:, :100]
    assert np.all(gap <= 1.1 * MARGIN * np.abs(densities[:, :100]) + 0.1)
    assert np.mean(few >= all_of_them - 1.0) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_number_of_threads_gives_the_same_bits(rng, dtype):
    parameters, rows = far_apart(rng, dtype)
    source = open_source(rows)
    before = numba.get_num_threads()
    found = []
    for n_threads in range(1, before + 1):
        numba.set_num_threads(n_threads)
        found.append(passes.statistics(source, [parameters])[0])
    numba.set_num_threads(before)
    serial = found[0]
    for each in found[1:]:
        assert_array_equal(each.second, serial.second)
        assert each.log_likelihood == serial.log_likelihood


@pytest.mark.slow
def test_fifty_passes_end_where_dense_ones_do(rng, monkeypatch):
    parameters, rows = far_apart(rng)
    start = {
        "n_components": 16,
        "weights_init": np.full(16, 1 / 16),
        "means_init": parameters.means + rng.normal(size=(16, 16)),
        "precisions_init": np.tile(np.eye(16), (16, 1, 1)),
        "tol": 0.0,
        "max_iter": 50,
    }
    with pytest.warns(match="did not converge"):
        found = GaussianMixture(**start).fit(rows)
    monkeypatch.setattr(pruned, "FEWEST_ROWS", np.inf)
    with pytest.warns(match="did not converge"):
        dense = GaussianMixture(**start).fit(rows)
    for name in ("weights_", "means_", "covariances_"):
        one, other = getattr(found, name), getattr(dense, name)
        assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())
