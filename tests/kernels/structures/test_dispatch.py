"""Every structure against its twins, in both dtypes, at sizes on either side of each edge."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import twins
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.kernels.expectation import expectation, expectation_serial
from fastgmm.kernels.scoring import Columns, score, score_serial
from fastgmm.kernels.structures.dispatch import COMPLETE, STRUCTURES
from fastgmm.kernels.structures.tied import FAR
from fastgmm.mixture.parameters import Parameters

# Features about groups of four, components about groups of eight, rows about tiles of 192.
SHAPES = [
    (1, 1, 1),
    (1, 3, 1000),
    (2, 2, 2),
    (2, 9, 193),
    (3, 8, 192),
    (4, 3, 191),
    (5, 17, 193),
    (8, 2, 1000),
    (10, 9, 192),
    (13, 1, 191),
    (13, 3, 193),
    (32, 8, 193),
    (32, 17, 2),
]
WEIGHTINGS = ["none", "random", "some zeros", "integers"]
# The bounds add up every rounding as if all had one sign. A single row may come near them; sums
# over rows stay under a hundredth. A tenth leaves room, and a lost digit breaks it in small shapes.
WORST = 0.1


@pytest.fixture(params=[np.float64, np.float32])
def dtype(request):
    return request.param


def row_weights_of(kind, rng, n_rows):
    """Weights of each kind that a caller may give; None for none."""
    match kind:
        case "random":
            return rng.exponential(size=n_rows)
        case "some zeros":
            return rng.choice([0.0, 0.5, 3.0], size=n_rows)
        case "integers":
            return rng.integers(1, 5, n_rows).astype(np.float64)
    return None


def scores_of(run, rows, parameters):
    """Call the E step for log-likelihoods, responsibilities and labels."""
    factors = twins.factors_of(parameters, rows.dtype)
    log_likelihoods = np.empty(len(rows), rows.dtype)
    responsibilities = np.empty((len(rows), parameters.n_components), rows.dtype)
    labels = np.empty(len(rows), np.int64)
    for out in (log_likelihoods, responsibilities, labels):
        run(rows, factors, twins.SLICE_ROWS, out)
    columns = Columns(
        np.full(len(rows) + 1, 9),
        np.full((len(responsibilities.T), len(rows) + 1), 9, rows.dtype),
        first=1,
    )
    run(rows, factors, twins.SLICE_ROWS, columns)
    assert_array_equal(columns.labels, [9, *labels])
    assert_array_equal(columns.responsibilities[:, 1:], responsibilities.T)
    assert np.all(columns.responsibilities[:, 0] == 9)
    return log_likelihoods, responsibilities, labels


def assert_same_sums(rows, row_weights, parameters):
    found = twins.sums_of(expectation_serial, rows, row_weights, parameters)
    exact, bounds = twins.sums(rows, row_weights, parameters)
    assert twins.worst(found, exact, bounds) < WORST


@pytest.mark.parametrize(
    ("shape", "weighting"),
    [(shape, WEIGHTINGS[i % 4]) for i, shape in enumerate(SHAPES)],
    ids=str,
)
def test_a_pass_agrees_with_its_twin(rng, structure, dtype, shape, weighting):
    n_features, n_components, n_rows = shape
    parameters = twins.random_parameters(rng, structure, n_components, n_features)
    rows = twins.random_rows(rng, parameters, n_rows, dtype)
    assert_same_sums(rows, row_weights_of(weighting, rng, n_rows), parameters)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_e_step_agrees_with_its_twin(rng, structure, dtype, shape):
    n_features, n_components, n_rows = shape
    parameters = twins.random_parameters(rng, structure, n_components, n_features)
    rows = twins.random_rows(rng, parameters, n_rows, dtype)
    log_likelihoods, responsibilities, labels = scores_of(score_serial, rows, parameters)
    exact, bounds = twins.scores(rows, parameters)
    found = log_likelihoods, responsibilities
    assert twins.worst(found, exact[1:], bounds[1:]) < 1
    chosen = exact.log_densities[np.arange(n_rows), labels]
    best = exact.log_densities.max(axis=1)
    assert np.all(best - chosen <= 2 * bounds.log_densities.max(axis=1))
    assert_array_equal(labels, responsibilities.argmax(axis=1))


@pytest.mark.parametrize("n_rows", [191, 193])
def test_a_far_offset_costs_no_digits(rng, structure, dtype, n_rows):
    offset = {np.float64: 1e8, np.float32: 1e3}[dtype]
    parameters = twins.random_parameters(rng, structure, 3, 5, offset=offset)
    rows = twins.random_rows(rng, parameters, n_rows, dtype)
    assert_same_sums(rows, None, parameters)
    # the twin's bounds know nothing of the offset but for the means in two parts of float32
    found = twins.sums_of(expectation_serial, rows, None, parameters)
    exact, _ = twins.sums(rows, None, parameters)
    tolerance = {np.float64: 1e-13, np.float32: 2e-5}[dtype]
    assert_allclose(
        found.second.astype(float),
        exact.second.astype(float),
        atol=tolerance * float(np.max(np.abs(exact.second))),
    )


@pytest.mark.parametrize("spread", [1.0, 20.0, 1e3, 1e6])
@pytest.mark.parametrize(("n_features", "n_components"), [(2, 17), (5, 3)])
def test_tied_components_may_stand_anywhere(rng, dtype, spread, n_features, n_components):
    covariance = twins.random_parameters(rng, "tied", 1, n_features).covariances
    means = spread * rng.uniform(-1, 1, (n_components, n_features))
    means[1] = means[0] + 1.0  # some neighbours share rows, however far the rest are
    weights = rng.dirichlet(np.ones(n_components))
    parameters = Parameters.from_covariances("tied", weights, means, covariance)
    rows = twins.random_rows(rng, parameters, 200, dtype)
    assert_same_sums(rows, None, parameters)
    if spread in (1.0, 1e6):
        assert twins.factors_of(parameters, dtype).far == (spread == 1e6)


@pytest.mark.parametrize(("n_features", "n_components"), [(3, 8), (10, 9)])
def test_tied_ways_agree_where_they_meet(rng, dtype, n_features, n_components):
    parameters = twins.random_parameters(rng, "tied", n_components, n_features)
    factors = twins.factors_of(parameters, dtype)
    rows = twins.random_rows(rng, parameters, 200, dtype)
    assert not factors.far
    found = [np.empty((200, n_components), dtype) for _ in range(2)]
    for far, out in zip((False, True), found, strict=True):
        score_serial(rows, factors._replace(far=far), twins.SLICE_ROWS, out)
    _, bounds = twins.scores(rows, parameters)
    assert np.all(np.abs(found[0] - found[1]) <= bounds.responsibilities)
    assert np.max(np.abs(factors.whitened)) < FAR[np.dtype(dtype)]


def test_a_component_of_weight_zero_gets_nothing(rng, structure, dtype):
    made = twins.random_parameters(rng, structure, 3, 4)
    parameters = Parameters.from_covariances(
        structure, [0.0, 0.25, 0.75], made.means, made.covariances
    )
    rows = twins.random_rows(rng, parameters, 200, dtype)
    assert_same_sums(rows, None, parameters)
    _, responsibilities, labels = scores_of(score_serial, rows, parameters)
    assert_array_equal(responsibilities[:, 0], 0.0)
    assert labels.min() > 0


@pytest.mark.parametrize("far_away", [1e20, 1e160, 1e200, 1e308])
def test_no_row_is_too_far_to_be_scored(rng, structure, far_away):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = np.array(twins.random_rows(rng, parameters, 200, np.float64))
    ordinary = np.arange(200) % 7 != 0
    rows[~ordinary] *= far_away / 10
    log_likelihoods, responsibilities, labels = scores_of(
        score_serial, twins.read_only(rows), parameters
    )
    assert not np.isnan(log_likelihoods).any()
    assert np.all(log_likelihoods[~ordinary] < -1e37)
    assert_allclose(responsibilities.sum(axis=1), 1.0, atol=1e-15)
    assert np.all((responsibilities >= 0) & (responsibilities <= 1))
    assert np.all((labels >= 0) & (labels < 3))
    exact, bounds = twins.scores(rows[ordinary], parameters)
    found = log_likelihoods[ordinary], responsibilities[ordinary]
    assert twins.worst(found, exact[1:], bounds[1:]) < 1


@pytest.mark.parametrize("far_away", [1e3, 1e15, 1e19, 1e25, 1e150])
def test_a_far_row_has_the_log_density_of_its_distance(rng, structure, far_away):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = twins.read_only(far_away * rng.normal(size=(20, 4)))
    log_likelihoods, responsibilities, labels = scores_of(score_serial, rows, parameters)
    exact, _ = twins.scores(rows, parameters)
    # relative to the distance alone: which of nearly equal distances is least is left to chance
    assert_allclose(log_likelihoods, exact.log_likelihoods.astype(float), rtol=1e-14)
    assert_array_equal(labels, responsibilities.argmax(axis=1))


def test_a_row_at_the_end_of_float32_is_scored(rng, structure):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = np.zeros((200, 4), np.float32)
    rows[::3] = 3e38
    rows[1::3] = -1e25
    log_likelihoods, responsibilities, labels = scores_of(
        score_serial, twins.read_only(rows), parameters
    )
    assert not np.isnan(log_likelihoods).any()
    assert_allclose(responsibilities.sum(axis=1), 1.0, atol=3e-7)
    assert np.all((labels >= 0) & (labels < 3))


# compiling the kernels for threads takes 28 s for the other three
@pytest.mark.parametrize(
    "structure",
    [each if each == "full" else pytest.param(each, marks=pytest.mark.slow) for each in STRUCTURES],
    indirect=True,
)
def test_threads_do_not_change_a_bit(rng, structure):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = twins.random_rows(rng, parameters, 4000, np.float64)
    weights = rng.exponential(size=4000)
    expected = twins.moments_of(expectation_serial, rows, weights, parameters)
    expected_scores = scores_of(score_serial, rows, parameters)
    before = numba.get_num_threads()
    try:
        for n_threads in {1, 2, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
            found = twins.moments_of(expectation, rows, weights, parameters)
            for mine, serial in zip(found, expected, strict=True):
                assert_array_equal(mine, serial)
            factors = twins.factors_of(parameters, np.float64)
            out = np.empty((4000, 3))
            score(rows, factors, twins.SLICE_ROWS, out)
            assert_array_equal(out, expected_scores[1])
    finally:
        numba.set_num_threads(before)


def test_rows_are_summed_alike_wherever_they_lie_in_memory(rng, structure):
    parameters = twins.random_parameters(rng, structure, 3, 5)
    rows = twins.random_rows(rng, parameters, 400, np.float64)
    expected = twins.moments_of(expectation_serial, rows, None, parameters)
    memory = np.empty(400 * 5 + 8)
    for shift in (1, 3, 7):  # no view starts where a register would like it to
        view = memory[shift : shift + 2000].reshape(400, 5)
        view[:] = rows
        view.flags.writeable = False
        found = twins.moments_of(expectation_serial, view, None, parameters)
        for mine, other in zip(found, expected, strict=True):
            assert_array_equal(mine, other)


def test_factors_have_one_layout_whatever_the_parameters_have(rng, structure, dtype):
    """So that no second kernel is compiled for means in Fortran's order."""
    made = twins.random_parameters(rng, structure, 3, 5)
    arrays = made.means, made.covariances, made.precisions_cholesky
    parameters = Parameters(structure, made.weights, *map(np.asfortranarray, arrays))
    factors = twins.factors_of(parameters, dtype)
    for found, expected in zip(factors, twins.factors_of(made, dtype), strict=True):
        assert_array_equal(found, expected)
        assert not isinstance(found, np.ndarray) or found.flags.c_contiguous


def test_a_slice_is_summed_alike_whatever_lies_beside_it(rng, structure, dtype):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = twins.random_rows(rng, parameters, 1000, dtype)
    moments, log_likelihoods = twins.moments_of(expectation_serial, rows, None, parameters)
    for i in range(3):
        own = rows[i * 384 : (i + 1) * 384]
        alone = twins.moments_of(expectation_serial, own, None, parameters)
        assert_array_equal(alone[0][0], moments[i])
        assert_array_equal(alone[1], log_likelihoods[i])


def test_weight_zero_is_no_row_and_an_integer_weight_repeats(rng, structure, dtype):
    parameters = twins.random_parameters(rng, structure, 3, 5)
    rows = twins.random_rows(rng, parameters, 300, dtype)
    weights = rng.integers(0, 4, 300).astype(float)
    repeated = twins.read_only(np.repeat(rows, weights.astype(int), axis=0))
    weighted = twins.sums_of(expectation_serial, rows, weights, parameters)
    plain = twins.sums_of(expectation_serial, repeated, None, parameters)
    _, bounds = twins.sums(rows, weights, parameters)
    assert twins.worst(weighted, plain, bounds) < WORST


def test_a_row_of_weight_zero_may_be_anywhere(rng, structure, dtype):
    parameters = twins.random_parameters(rng, structure, 3, 5)
    rows = np.array(twins.random_rows(rng, parameters, 300, dtype))
    weights = rng.integers(0, 2, 300).astype(float)
    rows[weights == 0] = {np.float64: 1e200, np.float32: 1e30}[dtype]
    kept = twins.read_only(rows[weights == 1])
    found = twins.sums_of(expectation_serial, twins.read_only(rows), weights, parameters)
    expected = twins.sums_of(expectation_serial, kept, None, parameters)
    _, bounds = twins.sums(kept, None, parameters)
    assert twins.worst(found, expected, bounds) < WORST


def test_symmetric_moments_are_symmetric_to_the_bit(rng, dtype):
    for structure in ("tied", "full"):
        parameters = twins.random_parameters(rng, structure, 3, 5)
        rows = twins.random_rows(rng, parameters, 300, dtype)
        second = twins.sums_of(expectation_serial, rows, None, parameters).second
        assert_array_equal(second, np.swapaxes(second, -1, -2))


def test_every_structure_has_the_same_names():
    names = {"Factors", "factors", "log_densities", "add_moments", "row_operations"}
    names |= {"n_moments", "unpack"}
    for module in STRUCTURES.values():
        assert names <= set(vars(module))


def test_types_of_the_same_fields_differ_in_their_names():
    # else compiled code of one was called for the other: densities were 11 nats off
    found = [each.Factors for each in COMPLETE]
    assert len({(kind.__name__, kind._fields) for kind in found}) == len(found)
