"""What a start tries is bounded by what passes over the rows cost, counted from shapes."""

from __future__ import annotations

import itertools

import pytest

from fastgmm.initialisation.wide import is_wide
from fastgmm.initialisation.work import MOST_PASSES, Shape, cost, planned
from fastgmm.mixture.structure import STRUCTURES
from fastgmm.passes.subsample import most_rows

ROWS = (500, 2000, 20_000, 200_000, 10_000_000)
FEATURES = (9, 12, 30, 80, 100, 300, 500, 900, 1200, 5000)
COMPONENTS = (2, 5, 20, 100, 1000)


def shapes(structure):
    """Walk the shapes of starts that are planned."""
    for n_rows, d, k in itertools.product(ROWS, FEATURES, COMPONENTS):
        if is_wide(k, d) and k <= n_rows // 3:
            yield Shape(n_rows, d, k, structure)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_no_plan_costs_more_than_five_passes(structure):
    for shape in shapes(structure):
        n_sampled = min(shape.n_rows, most_rows(shape.n_features))
        if n_sampled < shape.n_components:  # a fit that the sample cannot start
            continue
        plan = planned(shape, n_sampled)
        assert cost(plan, shape, n_sampled) <= max(MOST_PASSES * shape.dense_pass, 5e7), shape


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_plan_is_within_the_sample_and_gives_every_component_a_row(structure):
    for shape in shapes(structure):
        n_sampled = min(shape.n_rows, most_rows(shape.n_features))
        if n_sampled < shape.n_components:
            continue
        plan = planned(shape, n_sampled)
        assert shape.n_components <= plan.seeding_rows <= n_sampled
        assert shape.n_components <= plan.rows <= n_sampled
        assert plan.scored_rows <= n_sampled
        assert plan.passing_rows <= n_sampled


def test_more_rows_pay_for_more():
    few, many = (
        planned(Shape(n_rows, 100, 20, STRUCTURES["full"]), 20_000)
        for n_rows in (20_000, 2_000_000)
    )
    assert many.rows >= few.rows
    assert many.n_passes > few.n_passes


def test_what_is_small_is_not_wide():
    # such are the collections of bench/tables/right_starts.py
    assert not is_wide(3, 30)
    assert not is_wide(12, 12)
    assert not is_wide(300, 4)
    assert is_wide(10, 80)
