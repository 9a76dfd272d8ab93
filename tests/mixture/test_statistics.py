"""SufficientStatistics: a value that adds and moves."""

from __future__ import annotations

import pickle
from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.errors import DataError
from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT, SufficientStatistics

ARRAYS = ("weight", "first", "second")
FIELDS = (*ARRAYS, "log_likelihood", "n_rows", "row_weight")


def whole_number_statistics(structure, rng, origin):
    """Statistics of small whole numbers, whose sums are exact in any grouping."""
    zeros = SufficientStatistics.zeros(structure, origin)
    drawn = {name: rng.integers(0, 1000, getattr(zeros, name).shape) for name in ARRAYS}
    return replace(zeros, **drawn, log_likelihood=-float(rng.integers(1000)), n_rows=7)


@pytest.mark.parametrize("structure", naive.STRUCTURES)
@given(seed=st.integers(0, 2**32), n_components=st.integers(1, 4), n_features=st.integers(1, 4))
def test_addition_is_associative_and_has_a_zero(structure, seed, n_components, n_features):
    rng = np.random.default_rng(seed)
    origin = rng.normal(size=(n_components, n_features))
    a, b, c = (whole_number_statistics(structure, rng, origin) for _ in range(3))
    zero = SufficientStatistics.zeros(structure, origin)
    for field in FIELDS:
        assert_array_equal(getattr((a + b) + c, field), getattr(a + (b + c), field))
        assert_array_equal(getattr(a + b, field), getattr(b + a, field))
        assert_array_equal(getattr(a + zero, field), getattr(a, field))


def test_statistics_of_parts_add_up_to_those_of_all_rows(case):
    rows, row_weights, parameters = case
    whole = naive.statistics(rows, row_weights, parameters)
    parts = [naive.statistics(rows[i::3], row_weights[i::3], parameters) for i in range(3)]
    total = parts[0] + parts[1] + parts[2]
    for field in FIELDS:
        expected = getattr(whole, field)
        # sums of some hundred terms in another order; atol for entries that cancel to nearly 0
        assert_allclose(getattr(total, field), expected, rtol=1e-13, atol=1e-12)


def test_addition_demands_one_origin_and_one_structure():
    a = SufficientStatistics.zeros("full", [[0.0, 0.0]])
    with pytest.raises(ValueError, match=r"different origins; .* a \+ b\.rebased\(a\.origin\)"):
        a + SufficientStatistics.zeros("full", [[0.0, 1.0]])
    with pytest.raises(ValueError, match="cannot add tied statistics to full ones"):
        a + SufficientStatistics.zeros("tied", [[0.0, 0.0]])
    with pytest.raises(TypeError):
        a + 1


def test_rebased_moments_are_those_taken_about_the_new_origin(case, rng):
    rows, row_weights, parameters = case
    origin = parameters.means + rng.normal(size=parameters.means.shape)
    found = naive.statistics(rows, row_weights, parameters).rebased(origin)

    weighted = naive.responsibilities(rows, parameters) * row_weights[:, None]
    centred = naive.exact(rows)[:, None, :] - origin
    matrices = np.einsum("nk,nki,nkj->kij", weighted, centred, centred)
    second = naive.in_shape_of(parameters.structure, matrices)
    assert_array_equal(found.origin, origin)
    assert_allclose(found.first, np.einsum("nk,nki->ki", weighted, centred), atol=1e-11)
    assert_allclose(found.second, second, rtol=1e-12, atol=1e-11)


def test_joined_components_have_the_moments_of_both(case):
    parameters = case.parameters
    found = naive.statistics(case.rows, case.row_weights, parameters)
    statistics = SufficientStatistics(
        *(np.asarray(getattr(found, name), float) for name in ARRAYS),
        log_likelihood=float(found.log_likelihood),
        n_rows=int(found.n_rows),
        row_weight=float(found.row_weight),
        origin=parameters.means,
        structure=parameters.structure,
    )
    if parameters.n_components < 2:
        return
    joined = statistics.joined(0, 1)
    kept = np.arange(parameters.n_components) != 1
    shares = np.asarray(naive.responsibilities(case.rows, parameters), float)
    shares[:, 0] += shares[:, 1]
    shares *= case.row_weights[:, None]
    assert joined.weight[1] == 0.0
    assert_allclose(joined.weight[kept], shares[:, kept].sum(axis=0), rtol=1e-12)
    about = joined.rebased(np.zeros_like(joined.origin))
    assert_allclose(about.first[kept], shares[:, kept].T @ case.rows, rtol=1e-10, atol=1e-9)
    whole = statistics.rebased(np.zeros_like(joined.origin)).second
    both = about.second
    if not parameters.structure.is_shared:
        whole, both = whole.sum(axis=0), both.sum(axis=0)
    assert_allclose(both, whole, rtol=1e-10, atol=1e-9 * np.abs(whole).max())


def test_rebasing_there_and_back_changes_nothing_but_rounding(case, rng):
    statistics = naive.statistics(*case)
    origin = statistics.origin + rng.normal(size=statistics.origin.shape)
    found = statistics.rebased(origin).rebased(statistics.origin)
    for field in FIELDS:
        assert_allclose(getattr(found, field), getattr(statistics, field), rtol=1e-12, atol=1e-11)


def test_rebasing_keeps_matrices_symmetric_to_the_last_bit(make_case, rng):
    for structure in ("tied", "full"):
        statistics = naive.statistics(*make_case(structure, 200, 5, 3))
        symmetric = 0.5 * (statistics.second + statistics.second.swapaxes(-1, -2))
        statistics = replace(statistics, second=symmetric)
        second = statistics.rebased(rng.normal(size=(3, 5))).second
        assert_array_equal(second, second.swapaxes(-1, -2))


def test_arrays_are_read_only_float64_even_after_pickling():
    statistics = whole_number_statistics("full", np.random.default_rng(0), np.zeros((2, 3)))
    for found in (statistics, pickle.loads(pickle.dumps(statistics))):
        for name in (*ARRAYS, "origin"):
            array = getattr(found, name)
            assert array.dtype == np.float64
            assert_array_equal(array, getattr(statistics, name))
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0


def test_making_statistics_leaves_the_caller_s_array_writable():
    origin = np.zeros((1, 1))
    SufficientStatistics.zeros("full", origin)
    origin[0, 0] = 1.0
    assert origin[0, 0] == 1.0


def test_a_component_of_negligible_weight_is_not_occupied_and_stays_at_its_origin():
    statistics = SufficientStatistics(
        weight=[2.0, 0.0, NEGLIGIBLE_WEIGHT, 5e-324],
        first=[[4.0], [0.0], [1e-292], [5e-324]],
        second=[1.0, 0.0, 0.0, 0.0],
        log_likelihood=-1.0,
        n_rows=2,
        row_weight=2.0,
        origin=[[10.0], [20.0], [30.0], [40.0]],
        structure="spherical",
    )
    assert_array_equal(statistics.occupied, [True, False, False, False])
    assert_array_equal(statistics.means, [[12.0], [20.0], [30.0], [40.0]])


def test_mean_log_likelihood_is_per_weight_and_needs_some():
    statistics = SufficientStatistics.zeros("full", np.zeros((2, 1)))
    assert replace(statistics, log_likelihood=-6.0, row_weight=4.0).mean_log_likelihood == -1.5
    with pytest.raises(DataError, match="sum to 0, too little to divide by; give at least one"):
        statistics.mean_log_likelihood  # noqa: B018
