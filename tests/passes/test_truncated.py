"""Passes that leave out what hardly counts: what they keep, their sums, and what they say."""

from __future__ import annotations

import pickle

import numba
import numpy as np
import pytest
import twins
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import open_source, passes
from fastgmm.kernels.audit import AUDIT, STRIDE
from fastgmm.kernels.bounds import TruncatedFactors
from fastgmm.kernels.pruned import choose
from fastgmm.kernels.screened import AUDITED, KEPT, LOSS, TOLD, screened_serial
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.truncated import Truncated
from fastgmm.passes import model as model_module
from fastgmm.passes import truncated
from fastgmm.passes.model import UNWEIGHTED
from fastgmm.passes.truncated import Bounded, Screened, is_cheaper, nothing
from fastgmm.sources import Block
from fastgmm.sources.weighted import with_weights

# Features about registers of eight, and components about panels of four
CASES = [(1, 65, 3.0), (7, 66, 2.0), (8, 100, 4.0), (9, 64, 1.0), (35, 131, 2.0)]
BOUND = 1e-3


def mixture(rng, case, structure="diagonal", offset=0.0):
    """Components whose deviations differ tenfold."""
    n_features, n_components, spread = case
    shape = n_components if structure == "spherical" else (n_components, n_features)
    means = offset + spread * rng.normal(size=(n_components, n_features))
    variances = rng.uniform(0.1, 1.0, size=shape) ** 2
    return Parameters.from_covariances(
        structure, rng.dirichlet(np.ones(n_components)), means, variances
    )


def drawn(rng, parameters, n_rows, dtype=np.float64):
    labels = rng.integers(parameters.n_components, size=n_rows)
    deviations = np.sqrt(parameters.variances)[labels]
    rows = parameters.means[labels] + deviations * rng.normal(size=deviations.shape)
    return np.ascontiguousarray(rows.astype(dtype))


def log_densities(rows, parameters):
    """The naive twin: every pair of row and component, (n, K)."""
    inverse = 1.0 / np.sqrt(parameters.variances)
    z = (rows[:, None].astype(float) - parameters.means) * inverse
    scale = np.log(parameters.weights) + np.log(inverse).sum(axis=1)
    return scale - 0.5 * (rows.shape[1] * np.log(2 * np.pi) + (z * z).sum(axis=-1))


def likelihoods(densities):
    return np.logaddexp.reduce(densities, axis=1)


def pass_over(rows, parameters, weights=None, bound=BOUND, **keywords):
    """A truncated pass."""
    source = open_source(rows)
    source = source if weights is None else with_weights(source, weights)
    return passes.statistics(source, [Truncated.of(parameters, bound)], **keywords)[0]


@pytest.fixture
def always(monkeypatch):
    """Screen whatever it costs."""
    monkeypatch.setattr(truncated, "FEWEST_ROWS", 1)
    monkeypatch.setattr(truncated, "is_cheaper", lambda *_: True)


@pytest.mark.parametrize("structure", ["diagonal", "spherical"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_keeps_what_lies_near_its_best_and_nothing_else(rng, case, structure):
    parameters = mixture(rng, case, structure)
    rows, margin = drawn(rng, parameters, 500), np.log(case[1] / np.expm1(BOUND))
    found = passes.responsibilities(open_source(rows), Truncated.of(parameters, BOUND))
    gaps = log_densities(rows, parameters)
    gaps -= gaps.max(axis=1, keepdims=True)
    kept = found > 0.0
    assert kept[gaps >= -margin].all()
    assert not kept[gaps < -margin - 0.1].any()  # rounding of float32 is allowed for
    expected = np.where(kept, np.exp(gaps), 0.0)
    assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bound", [1e-300, 1e-6, 1e-3, 1.0])
def test_no_row_loses_more_than_the_bound(rng, bound, dtype):
    parameters = mixture(rng, (8, 100, 0.5))
    rows = drawn(rng, parameters, 2000, dtype)
    source, seen = open_source(rows), Truncated.of(parameters, bound)
    exact = log_densities(rows, parameters)
    lost = likelihoods(exact) - passes.log_likelihoods(source, seen)
    rounding = 20 * np.finfo(dtype).eps * np.abs(exact).max()
    assert lost.min() > -rounding
    assert lost.max() < bound + rounding
    assert bound < 1.0 or lost.max() > 1e-3
    assert_array_equal(passes.labels(source, seen), exact.argmax(axis=1))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("structure", ["diagonal", "spherical"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_sums_are_those_of_what_is_kept(rng, case, structure):
    parameters = mixture(rng, case, structure)
    rows = drawn(rng, parameters, 5000)
    weights = rng.choice([0.0, 0.5, 3.0], size=len(rows))
    rows[weights == 0.0] = 1e200  # where they are does not matter
    found = pass_over(rows, parameters, weights)
    held = weights > 0.0
    rows, weights = rows[held], weights[held]
    shares = passes.responsibilities(open_source(rows), Truncated.of(parameters, BOUND))
    shares = shares * weights[:, None]
    gaps = rows[:, None] - parameters.means
    second = np.einsum("nk,nkj->kj", shares, gaps * gaps)
    second = second.sum(axis=1) if structure == "spherical" else second
    assert_allclose(found.weight, shares.sum(axis=0), rtol=1e-12)
    assert_allclose(found.first, np.einsum("nk,nkj->kj", shares, gaps), rtol=0, atol=1e-9)
    assert_allclose(found.second, second, rtol=1e-11)
    exact = weights @ likelihoods(log_densities(rows, parameters))
    assert 0.0 <= exact - found.log_likelihood < BOUND * weights.sum()


def test_what_is_left_out_is_measured_on_every_256th_row(rng):
    parameters = mixture(rng, (8, 100, 0.5))
    rows, bound = drawn(rng, parameters, 3000), 1.0
    model = Screened(Truncated.of(parameters, bound), rows.dtype)
    told, sums = np.empty((2, TOLD)), np.empty((2, model._n_sums))
    screened_serial(rows, UNWEIGHTED, model.screen, 1536, sums, told, nothing(rows))
    turns = np.arange(len(rows) // AUDIT + 1)
    audited = AUDIT * turns + STRIDE * turns % AUDIT
    audited = audited[audited < len(rows)]
    kept = np.empty(len(rows))
    model.score(Block(rows, None, 0), kept)
    lost = likelihoods(log_densities(rows, parameters)) - kept
    assert told[:, AUDITED].sum() == len(audited)
    assert told[:, LOSS].sum() == pytest.approx(lost[audited].sum(), rel=1e-9)


@pytest.mark.usefixtures("always")
def test_the_estimate_of_what_is_left_out_is_right(rng):
    parameters = mixture(rng, (8, 100, 0.5))
    rows, bound = drawn(rng, parameters, 60_000), 0.1
    kept = passes.log_likelihoods(open_source(rows), Truncated.of(parameters, bound))
    lost = likelihoods(log_densities(rows, parameters)) - kept
    error = lost.std() / np.sqrt(len(rows) / AUDIT)
    found = pass_over(rows, parameters, bound=bound)
    assert abs(found.left_out / len(rows) - lost.mean()) < 4 * error
    assert found.left_out > 0.0


def test_threads_and_chunks_do_not_change_a_bit(rng):
    parameters = mixture(rng, (16, 200, 1.5))
    rows = drawn(rng, parameters, 150_000)  # several blocks, and slices for every thread
    weights = rng.uniform(0.5, 2.0, len(rows))
    serial = pass_over(rows, parameters, weights)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    alone = pass_over(rows, parameters, weights)
    numba.set_num_threads(before)
    pieces = np.array_split(np.column_stack([rows, weights]), [5, 70_001, 70_002])
    chunks = open_source(pieces, weight=16)
    (cut,) = passes.statistics(chunks, [Truncated.of(parameters, BOUND)])
    assert serial.left_out > 0.0
    for each in (alone, cut):
        for name in ("weight", "first", "second", "log_likelihood", "left_out"):
            assert_array_equal(getattr(each, name), getattr(serial, name))


def test_where_all_components_count_the_pass_is_the_dense_one(rng):
    parameters = mixture(rng, (8, 100, 0.01))
    rows = drawn(rng, parameters, 4000)
    found = pass_over(rows, parameters)
    (dense,) = passes.statistics(open_source(rows), [parameters])
    assert_array_equal(found.second, dense.second)
    assert found.log_likelihood == dense.log_likelihood
    assert found.left_out == 0.0


def test_a_probe_counts_what_a_pass_keeps(rng):
    parameters = mixture(rng, (8, 100, 1.0))
    rows = drawn(rng, parameters, 384)
    model = Screened(Truncated.of(parameters, BOUND), rows.dtype)
    kept = (passes.responsibilities(open_source(rows), model.parameters) > 0.0).sum()
    for size in (0, model._n_sums):
        told, sums = np.empty((2, TOLD)), np.empty((2, size))
        screened_serial(rows, UNWEIGHTED, model.screen, 192, sums, told, nothing(rows))
        assert told[:, KEPT].sum() == kept


def test_few_components_are_all_computed(rng):
    parameters = mixture(rng, (8, 5, 50.0))
    rows = drawn(rng, parameters, 4000)
    assert_array_equal(
        pass_over(rows, parameters).second,
        passes.statistics(open_source(rows), [parameters])[0].second,
    )


def test_the_choice_follows_what_was_timed():
    assert is_cheaper(200, 64, 6, 8)
    assert is_cheaper(3200, 64, 400, 8)
    assert not is_cheaper(800, 64, 440, 8)
    assert is_cheaper(800, 64, 17, 4)
    assert not is_cheaper(200, 64, 60, 4)


@pytest.mark.parametrize("offset", [1e3, 1e8])
def test_components_too_narrow_for_float32_are_kept_by_every_row(rng, offset):
    whole = mixture(rng, (5, 70, 2.0), offset=offset)
    variances = whole.covariances.copy()
    variances[:3] *= 1e-12
    means = whole.means.copy()
    means[3] += 1e6  # so that the common origin is far from all others
    parameters = Parameters.from_covariances("diagonal", whole.weights, means, variances)
    seen, rows = Truncated.of(parameters, BOUND), drawn(rng, parameters, 1000)
    assert len(Screened(seen, np.float64).screen.exact) >= 3
    exact = log_densities(rows, parameters)
    lost = likelihoods(exact) - passes.log_likelihoods(open_source(rows), seen)
    assert np.all((lost < BOUND) & (lost > -1e-9))
    assert_array_equal(passes.labels(open_source(rows), seen), exact.argmax(axis=1))


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_units_do_not_matter(rng, scale):
    parameters = mixture(rng, (5, 70, 2.0))
    rows = drawn(rng, parameters, 1000)
    own = Parameters.from_covariances(
        "diagonal", parameters.weights, scale * parameters.means, scale**2 * parameters.covariances
    )
    found, expected = (
        passes.responsibilities(open_source(x), Truncated.of(y, BOUND))
        for x, y in ((scale * rows, own), (rows, parameters))
    )
    assert_array_equal(found > 0.0, expected > 0.0)
    assert_allclose(found, expected, rtol=1e-9)


def test_rows_far_from_all_components_are_scored_as_by_all(rng):
    parameters = mixture(rng, (5, 70, 2.0))
    rows = rng.normal(size=(12, 5)) * 10.0 ** np.arange(0, 36, 3)[:, None]
    source, seen = open_source(rows), Truncated.of(parameters, BOUND)
    for score in (passes.log_likelihoods, passes.labels, passes.responsibilities):
        assert_allclose(score(source, seen), score(source, parameters), rtol=BOUND, atol=BOUND)
    nowhere = open_source(np.full((1, 5), 1e144) * np.sign(rows[:1]))
    tight = Truncated(
        "diagonal",
        *(getattr(parameters, name) for name in ("weights", "means", "covariances")),
        1e20 * parameters.precisions_cholesky,
        BOUND,
    )
    assert passes.log_likelihoods(nowhere, tight)[0] == -np.inf
    assert_allclose(passes.responsibilities(nowhere, tight), 1 / 70)


def test_a_component_of_weight_zero_has_no_row(rng):
    whole = mixture(rng, (8, 100, 4.0))
    weights = np.array(whole.weights)
    weights[7] = 0.0
    parameters = Parameters.from_covariances("diagonal", weights, whole.means, whole.covariances)
    rows = drawn(rng, parameters, 4000)
    found = pass_over(rows, parameters)
    assert found.weight[7] == 0.0
    assert np.isfinite(found.second).all()


def test_a_row_is_scored_alone_as_among_others(rng):
    parameters = mixture(rng, (8, 100, 1.0))
    rows, seen = drawn(rng, parameters, 1000), Truncated.of(parameters, BOUND)
    together = passes.log_likelihoods(open_source(rows), seen)
    for some in (slice(3, 4), slice(100, 593)):
        assert_array_equal(passes.log_likelihoods(open_source(rows[some]), seen), together[some])


def test_it_travels_to_another_process(rng):
    parameters = mixture(rng, (8, 100, 4.0))
    rows = drawn(rng, parameters, 4000)
    model = Screened(Truncated.of(parameters, BOUND), rows.dtype).about_means()
    again = pickle.loads(pickle.dumps(model))
    block = Block(rows, None, 0)
    for one, other in zip(model.sums(block), again.sums(block), strict=True):
        assert_array_equal(one, other)
    assert not again.dense.factors.about_origin


def test_columns_are_the_responsibilities(rng):
    parameters = mixture(rng, (8, 100, 1.0))
    source, seen = open_source(drawn(rng, parameters, 1000)), Truncated.of(parameters, BOUND)
    ((_, found),) = passes.each_block_by_columns(source, seen)
    assert_array_equal(found.responsibilities.T, passes.responsibilities(source, seen))
    assert_array_equal(found.labels, passes.labels(source, seen))


def test_partitions_of_a_collection_add_up(rng):
    collections = pytest.importorskip("dask.array")
    parameters = mixture(rng, (8, 100, 1.5))
    rows = drawn(rng, parameters, 9000)
    seen = Truncated.of(parameters, BOUND)
    (found,) = passes.statistics(
        open_source(collections.from_array(rows, chunks=(4500, 8))), [seen]
    )
    (expected,) = passes.statistics(open_source(rows), [seen])
    assert_allclose(found.second, expected.second, rtol=1e-12)
    assert 0.0 < found.left_out / len(rows) < BOUND


@pytest.fixture
def full(rng, monkeypatch):
    """Components with correlations, some of which come near any row, and rows."""
    monkeypatch.setattr(model_module, "twin", lambda *given: given[-1])  # serial: less to compile
    parameters = twins.random_parameters(rng, "full", 40, 24, spread=2.0)
    return parameters, twins.random_rows(rng, parameters, 6000, np.float64)


def test_full_covariances_leave_out_no_more_than_the_bound(full):
    parameters, rows = full
    (dense,) = passes.statistics(open_source(rows), [parameters], prune=False)
    for bound in (1e-6, 1e-3, 0.5):
        found = pass_over(rows, parameters, bound=bound)
        lost = dense.log_likelihood - found.log_likelihood
        assert -1e-9 < lost / len(rows) < bound
        assert found.weight.sum() == pytest.approx(len(rows), rel=1e-12)
        assert_allclose(found.weight, dense.weight, rtol=0, atol=2 * bound * len(rows))
        size = np.abs(dense.second).max()
        assert_allclose(found.second, dense.second, rtol=0, atol=4 * bound * size)
    assert lost > 0.0
    assert found.left_out > 0.0


def test_what_full_covariances_leave_out_is_measured(full):
    parameters, rows = full
    bound = 0.5
    factors = choose(rows, Bounded(Truncated.of(parameters, bound), rows.dtype).dense.factors, 4.0)
    assert isinstance(factors, TruncatedFactors)
    exact = passes.log_likelihoods(open_source(rows), parameters)
    turns = np.arange(len(rows) // AUDIT + 1)
    audited = AUDIT * turns + STRIDE * turns % AUDIT
    audited = audited[audited < len(rows)]
    model = Bounded(Truncated.of(parameters, bound), rows.dtype).dense
    sums, _ = model.sums_by(factors, Block(rows, None, 0), model.n_sums + 2)
    kept = np.empty(len(audited))
    for i, row in enumerate(audited):  # a pass over one row says what it keeps
        kept[i] = model.sums_by(factors, Block(rows[row : row + 1], None, 0), model.n_sums + 2)[1]
    assert sums[-1] == len(audited)
    assert sums[-2] == pytest.approx((exact[audited] - kept).sum(), rel=1e-9)
    assert sums[-2] > 0.0


def test_full_covariances_weigh_rows(full, rng):
    parameters, rows = full
    weights = rng.choice([0.0, 0.5, 3.0], size=len(rows))
    far = np.where(weights[:, None] == 0.0, 1e200, rows)
    model = Bounded(Truncated.of(parameters, BOUND), rows.dtype).dense
    factors = choose(rows, model.factors, 11.0)
    found, expected = (
        model.sums_by(factors, Block(each, weights, 0), model.n_sums + 2)[0] for each in (far, rows)
    )
    assert_array_equal(found, expected)
    assert model.unpack(found[:-2], 24)[0].sum() == pytest.approx(weights.sum(), rel=1e-12)


def test_full_covariances_travel_to_another_process(full):
    parameters, rows = full
    model = Bounded(Truncated.of(parameters, BOUND), rows.dtype)
    block = Block(rows, None, 0)
    for one, other in zip(
        model.sums(block), pickle.loads(pickle.dumps(model)).sums(block), strict=True
    ):
        assert_array_equal(one, other)
