"""The plan of calls and slices: a function of shapes, within its bounds."""

from __future__ import annotations

import numpy as np
import pytest
import twins

from fastgmm.kernels import block_sizes as sizes
from fastgmm.kernels.block_sizes import block_rows, plan
from fastgmm.kernels.structures.dispatch import STRUCTURES
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.parameters import Parameters

FEATURES = [1, 2, 3, 8, 17, 64, 128, 300]
COMPONENTS = [1, 2, 9, 33]


def plan_of(structure, n_components, n_features):
    """The plan of a model, with the numbers it was made from."""
    covariances = {
        "spherical": lambda: np.ones(n_components),
        "diagonal": lambda: np.ones((n_components, n_features)),
        "tied": lambda: np.eye(n_features),
        "full": lambda: np.stack([np.eye(n_features)] * n_components),
    }[structure]()
    weights = np.full(n_components, 1 / n_components)
    means = np.zeros((n_components, n_features))
    parameters = Parameters.from_covariances(structure, weights, means, covariances)
    factors = twins.factors_of(parameters, np.float64)
    module = STRUCTURES[structure]
    operations, n_moments = module.row_operations(factors), module.n_moments(factors)
    return plan(operations, n_moments), operations, n_moments


def is_power_of_two(number):
    return number > 0 and number & (number - 1) == 0


@pytest.mark.parametrize("n_components", COMPONENTS)
def test_plans_keep_their_bounds(structure, n_components):
    for n_features in FEATURES:
        found, operations, n_moments = plan_of(structure, n_components, n_features)
        slice_rows = found.slice_rows(found.call_rows)
        n_slices, tiles = found.call_rows // slice_rows, slice_rows // TILE
        assert found.call_rows == n_slices * tiles * TILE
        assert n_slices == found.most_slices
        assert is_power_of_two(n_slices)
        assert is_power_of_two(tiles)
        assert n_slices >= 2  # two threads have always work
        assert tiles >= sizes.FEWEST_TILES
        assert n_slices * n_moments * 8 <= sizes.PARTIAL_BYTES or n_slices == 2
        shortest = tiles == sizes.FEWEST_TILES
        assert found.call_rows * operations <= sizes.CALL_OPERATIONS or shortest


@pytest.mark.parametrize("n_features", [*FEATURES, sizes.WIDE, sizes.WIDE + 1, 10_000, 100_000])
def test_calls_and_blocks_fit_into_one_another(n_features):
    rows = block_rows(n_features)
    assert is_power_of_two(rows // TILE)
    assert rows * n_features * 8 <= sizes.BLOCK_BYTES or rows == TILE
    for n_moments in (1, 10**5, 10**8):
        for operations in (1.0, 1e4, 1e8):
            call = plan(operations, n_moments).call_rows
            assert rows % call == 0 or call % rows == 0
            assert call % TILE == 0


def test_blocks_of_wide_rows_are_short_and_have_slices_for_threads():
    assert sizes.WIDE == 682
    assert block_rows(sizes.WIDE) == sizes.SLICES * TILE  # as it always was up to here
    assert [block_rows(d) for d in (683, 2000, 10_000, 20_000, 100_000)] == [
        3072,
        1536,
        384,
        192,
        192,
    ]
    assert plan(1e4, 100, sizes.WIDE).n_slices(block_rows(sizes.WIDE)) == 16
    for n_features, n_slices in ((683, 16), (2000, 8), (10_000, 2)):
        cut = plan(1e4, 100, n_features)
        assert cut.n_slices(block_rows(n_features)) == n_slices
        assert not cut.is_small(block_rows(n_features))


def test_the_slices_of_some_rows_hold_them_all_and_are_alike():
    cut = plan(100.0, 10)
    for n_rows in (1, TILE + 1, 2 * TILE, 5000, cut.call_rows - 1, cut.call_rows):
        slice_rows, n_slices = cut.slice_rows(n_rows), cut.n_slices(n_rows)
        assert (n_slices - 1) * slice_rows < n_rows <= n_slices * slice_rows
        assert n_slices <= cut.most_slices
        assert slice_rows % TILE == 0
        assert slice_rows < n_rows / cut.most_slices + 2 * TILE


def test_work_is_small_when_a_slice_holds_it_or_threads_would_cost_more():
    cut = plan(1e4)
    assert cut.is_small(sizes.SHORTEST_SLICE)
    assert not cut.is_small(sizes.SHORTEST_SLICE + 1)
    cheap = plan(1.0)
    assert cheap.is_small(int(sizes.PARALLEL_OPERATIONS) - 1)
    assert not cheap.is_small(int(sizes.PARALLEL_OPERATIONS))
