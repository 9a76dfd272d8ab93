"""Passes: what one visit to every block finds, whatever the chunks the rows came in."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import naive
import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import passes
from fastgmm.errors import DataError
from fastgmm.passes import accumulate, scores
from fastgmm.passes import model as models
from fastgmm.sources import open_source, with_weights

KINDS = ("labels", "responsibilities", "log_likelihoods")


def bits(found):
    """Everything in some statistics that a chunk could change."""
    sums = found.weight, found.first, found.second, np.array(found.log_likelihood)
    counts = np.array([found.n_rows, found.row_weight])
    return b"".join(np.ascontiguousarray(each).tobytes() for each in (*sums, counts))


def chunked(rows, cuts):
    """Return a source of the rows in chunks that end at the cuts."""
    return open_source(lambda: iter(np.split(rows, cuts)))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 384 rows, so that small data have many."""
    for each in (accumulate, models, scores):
        monkeypatch.setattr(each, "block_rows", lambda n_features: 384)


def test_statistics_agree_with_the_naive_twin(case):
    source = with_weights(open_source(case.rows), case.row_weights)
    (found,) = passes.statistics(source, [case.parameters])
    expected = naive.statistics(case.rows, case.row_weights, case.parameters)
    # float64, up to 500 rows and 5 features: the bounds of test_structures are below 1e-12
    for name in ("weight", "first", "second", "log_likelihood"):
        exact = getattr(expected, name)
        scale = np.max(np.abs(exact))
        assert_allclose(getattr(found, name), exact, rtol=1e-11, atol=1e-13 * scale)
    assert found.n_rows == expected.n_rows
    assert found.row_weight == pytest.approx(expected.row_weight, rel=1e-15)
    assert found.structure == case.parameters.structure
    assert_array_equal(found.origin, case.parameters.means)


def test_scores_agree_with_the_naive_twin(case):
    source = open_source(case.rows)
    log_likelihoods = naive.log_likelihoods(case.rows, case.parameters).astype(float)
    responsibilities = naive.responsibilities(case.rows, case.parameters).astype(float)
    assert_allclose(passes.log_likelihoods(source, case.parameters), log_likelihoods, rtol=1e-12)
    found = passes.responsibilities(source, case.parameters)
    assert_allclose(found, responsibilities, atol=1e-12)
    labels = passes.labels(source, case.parameters)
    assert labels.dtype == np.int64
    assert_array_equal(labels, found.argmax(axis=1))


def test_totals_are_the_weighted_sums_of_the_scores(case):
    source = with_weights(open_source(case.rows), case.row_weights)
    total, row_weight, n_rows = passes.total_log_likelihood(source, case.parameters)
    exact = naive.log_likelihoods(case.rows, case.parameters) @ naive.exact(case.row_weights)
    assert_allclose(total, float(exact), rtol=1e-12)
    assert row_weight == case.row_weights.sum()
    assert n_rows == np.count_nonzero(case.row_weights)


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, 1000), max_size=12).map(sorted))
def test_chunks_do_not_change_a_bit(cuts):
    rows, parameters, expected = chunked_case()
    source = chunked(rows, cuts)
    (statistics,) = passes.statistics(source, [parameters])
    assert bits(statistics) == expected
    for kind in KINDS:
        found = [each for _, each in passes.each_block(source, parameters, kind)]
        whole = getattr(passes, kind)(open_source(rows), parameters)
        assert_array_equal(np.concatenate(found), whole)
    columns = [each for _, each in passes.each_block_by_columns(source, parameters)]
    labels = np.concatenate([each.labels for each in columns])
    assert_array_equal(labels, passes.labels(open_source(rows), parameters))
    found = np.concatenate([each.responsibilities for each in columns], axis=1)
    assert_array_equal(found.T, passes.responsibilities(open_source(rows), parameters))


@cache
def chunked_case():
    rng = np.random.default_rng(5)
    parameters = twins.random_parameters(rng, "diagonal", 3, 4)
    rows = twins.random_rows(rng, parameters, 1000, np.float64)
    (statistics,) = passes.statistics(open_source(rows), [parameters])
    return rows, parameters, bits(statistics)


@pytest.mark.parametrize("cuts", [[1], [383, 384, 385], [500], list(range(0, 1000, 7))], ids=str)
def test_chunks_across_many_blocks_do_not_change_a_bit(rng, structure, small_blocks, cuts):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = twins.random_rows(rng, parameters, 1000, np.float64)
    weights = rng.choice([0.0, 0.5, 2.0], size=1000)
    whole = with_weights(open_source(rows), weights)
    table = np.column_stack([rows, weights])
    pieces = open_source(lambda: iter(np.split(table, cuts)), weight=4)
    (expected,) = passes.statistics(whole, [parameters])
    (found,) = passes.statistics(pieces, [parameters])
    assert bits(found) == bits(expected)
    for kind in KINDS:
        assert_array_equal(
            getattr(passes, kind)(pieces, parameters), getattr(passes, kind)(whole, parameters)
        )


@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided", "broadcast"])
def test_the_layout_of_an_array_does_not_change_a_bit(rng, layout):
    parameters = twins.random_parameters(rng, "diagonal", 3, 4)
    rows = np.array(twins.random_rows(rng, parameters, 500, np.float64))
    if layout == "broadcast":
        rows[:] = rows[0]
    view = {
        "fortran": lambda: np.asfortranarray(rows),
        "reversed": lambda: rows[::-1].copy()[::-1],
        "strided": lambda: np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3],
        "broadcast": lambda: np.broadcast_to(rows[0], rows.shape),
    }[layout]()
    (expected,) = passes.statistics(open_source(rows), [parameters])
    (found,) = passes.statistics(open_source(view), [parameters])
    assert bits(found) == bits(expected)


def test_candidates_share_a_pass_and_do_not_meet(rng):
    rows = rng.normal(size=(500, 4))
    candidates = [
        twins.random_parameters(rng, structure, n_components, 4)
        for structure, n_components in [("full", 3), ("diagonal", 1), ("tied", 2), ("full", 2)]
    ]
    opened = []

    def chunks():
        opened.append(True)
        return iter([rows])

    together = passes.statistics(open_source(chunks), candidates)
    assert len(opened) <= 2  # one pass, and a look at the first chunk when opening
    for parameters, found in zip(candidates, together, strict=True):
        (alone,) = passes.statistics(open_source(rows), [parameters])
        assert bits(found) == bits(alone)


def test_statistics_of_parts_add_up_to_those_of_the_whole(rng, structure):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = twins.random_rows(rng, parameters, 1000, np.float64)
    (whole,) = passes.statistics(open_source(rows), [parameters])
    (first,) = passes.statistics(open_source(rows[:300]), [parameters])
    (rest,) = passes.statistics(open_source(rows[300:]), [parameters])
    both = first + rest
    for name in ("weight", "first", "second", "log_likelihood"):
        exact = getattr(whole, name)
        scale = np.max(np.abs(exact))
        assert_allclose(getattr(both, name), exact, rtol=1e-12, atol=1e-13 * scale)
    assert both.n_rows == whole.n_rows == 1000


def test_scores_have_the_dtype_of_the_rows(rng):
    parameters = twins.random_parameters(rng, "diagonal", 3, 4)
    rows = twins.random_rows(rng, parameters, 100, np.float32)
    source = open_source(rows)
    assert passes.log_likelihoods(source, parameters).dtype == np.float32
    assert passes.responsibilities(source, parameters).dtype == np.float32
    assert passes.labels(source, parameters).dtype == np.int64
    (found,) = passes.statistics(source, [parameters])
    assert found.second.dtype == np.float64


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_rows_out_of_reach_are_minus_infinity_unless_they_weigh_nothing(rng, structure, weight):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = np.array(twins.random_rows(rng, parameters, 100, np.float64))
    rows[[3, 50]] = 1e200
    weights = np.ones(100)
    weights[[3, 50]] = weight
    source = with_weights(open_source(rows), weights)
    total, row_weight, n_rows = passes.total_log_likelihood(source, parameters)
    assert (row_weight, n_rows) == (98 + 2 * weight, 98 + 2 * weight)
    near = open_source(np.delete(rows, [3, 50], axis=0))
    if weight:
        assert total == -np.inf
    else:
        assert total == pytest.approx(passes.total_log_likelihood(near, parameters)[0], rel=1e-13)
    (found,) = passes.statistics(source, [parameters])
    (expected,) = passes.statistics(near, [parameters])
    if weight:  # what EM refuses, in step()
        assert not np.isfinite(found.log_likelihood)
    else:
        assert_allclose(found.second, expected.second, rtol=1e-12, atol=1e-12)
        assert found.n_rows == 98


def test_no_rows_have_no_statistics_and_no_scores(rng):
    parameters = twins.random_parameters(rng, "diagonal", 3, 4)
    empty = open_source(lambda: iter([np.empty((0, 4))]))
    with pytest.raises(DataError, match="no rows"):
        passes.statistics(empty, [parameters])
    for kind, shape in zip(KINDS, [(0,), (0, 3), (0,)], strict=True):
        assert getattr(passes, kind)(empty, parameters).shape == shape


def test_many_calls_a_block_are_summed_alike(rng, structure, monkeypatch):
    parameters = twins.random_parameters(rng, structure, 3, 4)
    rows = twins.random_rows(rng, parameters, 3000, np.float64)
    whole = passes.responsibilities(open_source(rows), parameters)
    (expected,) = passes.statistics(open_source(rows), [parameters])
    short = models.Plan(most_slices=1, call_rows=384, row_operations=1.0)
    monkeypatch.setattr(models, "plan", lambda *numbers: short)
    assert_array_equal(passes.responsibilities(open_source(rows), parameters), whole)
    (found,) = passes.statistics(open_source(rows), [parameters])
    assert_allclose(found.second, expected.second, rtol=1e-12, atol=1e-11)
    assert_allclose(found.weight, expected.weight, rtol=1e-13)


def test_candidates_of_equal_parameters_share_their_sums(make_case, structure, monkeypatch):
    rows, _, parameters = make_case(structure, 400, 3, 2)
    other = replace(parameters, means=parameters.means + 1.0)
    again = replace(parameters, means=parameters.means.copy())
    expected = [accumulate.statistics(open_source(rows), [each])[0] for each in (parameters, other)]
    summed = []
    summarise = accumulate.summarise

    def counting(models, block, **options):
        summed.append(len(models))
        return summarise(models, block, **options)

    monkeypatch.setattr(accumulate, "summarise", counting)
    found = accumulate.statistics(open_source(rows), [parameters, other, again, other])
    assert set(summed) == {2}
    for each, place in zip(found, [0, 1, 0, 1], strict=True):
        assert_array_equal(each.second, expected[place].second)
        assert each.log_likelihood == expected[place].log_likelihood
