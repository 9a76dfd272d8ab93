"""Rows with classes: the sums of their definition, the same bits however they are read."""

from __future__ import annotations

import naive
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import DataError, passes
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.labelled import LabelledRows, some_of
from fastgmm.sources import open_source, with_weights

PARTS = ("weight", "first", "second")


def naive_statistics(rows, row_weights, labels, per_class, parameters):
    """The sums from the definition: a labelled row is shared among its class's components."""
    densities = naive.log_densities(
        rows, parameters.weights, parameters.means, parameters.covariances, parameters.structure
    )
    for i, label in enumerate(labels):
        if label >= 0:
            others = np.ones(len(parameters.weights), bool)
            others[label * per_class : (label + 1) * per_class] = False
            densities[i, others] = -np.inf
    top = densities.max(axis=1)
    totals = top + np.log(np.exp(densities - top[:, None]).sum(axis=1))
    shares = np.exp(densities - totals[:, None]) * row_weights[:, None]
    away = rows[:, None] - parameters.means
    second = np.einsum("ik,ika,ikb->kab", shares, away, away)
    return (
        shares.sum(axis=0),
        np.einsum("ik,ikj->kj", shares, away),
        naive.in_shape_of(parameters.structure, second),
        float(row_weights @ totals),
    )


@pytest.mark.parametrize(
    ("n_classes", "per_class"), [(1, 1), (3, 1), (4, 1), (2, 2), (1, 4), (1, 3)]
)
def test_sums_agree_with_their_definition(make_case, structure, n_classes, per_class):
    rows, row_weights, parameters = make_case(structure, 300, 3, 4)
    labels = np.random.default_rng(1).integers(-1, n_classes, len(rows))
    source = with_weights(open_source(rows), row_weights)
    labelled = LabelledRows(source, labels, n_classes, per_class, parameters.structure)
    (found,) = labelled.statistics([parameters])
    *expected, log_likelihood = naive_statistics(rows, row_weights, labels, per_class, parameters)
    for name, value in zip(PARTS, expected, strict=True):
        assert_allclose(getattr(found, name), np.float64(value), rtol=1e-9, atol=1e-9)
    assert found.log_likelihood == pytest.approx(log_likelihood, rel=1e-12)
    assert found.row_weight == pytest.approx(row_weights.sum())
    assert found.n_rows == np.count_nonzero(row_weights)


@pytest.mark.parametrize("per_class", [1, 2])
def test_no_label_is_the_plain_pass(make_case, structure, per_class):
    rows, row_weights, parameters = make_case(structure, 300, 2, 4)
    source = with_weights(open_source(rows), row_weights)
    labels = np.where(np.arange(len(rows)) == 0, 0, -1)  # of a row without weight
    source = with_weights(open_source(rows), np.where(labels == 0, 0.0, row_weights))
    labelled = LabelledRows(source, labels, 1, per_class, parameters.structure)
    (found,), (plain,) = labelled.statistics([parameters]), passes.statistics(source, [parameters])
    for name in PARTS:
        assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-12, atol=1e-12)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-14)


@pytest.fixture(scope="module")
def long_rows():
    """Rows of several blocks, half of them labelled."""
    rng = np.random.default_rng(0)
    n = 2 * block_rows(2) + 777
    return rng.normal(size=(n, 2)), rng.integers(-2, 2, n).clip(-1)


@pytest.mark.parametrize("per_class", [1, 2])
def test_threads_and_chunks_do_not_change_a_bit(make_case, structure, per_class, long_rows):
    rows, labels = long_rows
    parameters = make_case(structure, 300, 2, 4).parameters

    def found(source, n_threads=2):
        before = numba.get_num_threads()
        numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
        try:
            labelled = LabelledRows(source, labels, 2, per_class, parameters.structure)
            return labelled.statistics([parameters, some_of(parameters, np.arange(4)[::-1])])
        finally:
            numba.set_num_threads(before)

    expected = found(open_source(rows))
    cut = open_source([rows[:5], rows[5:100_000], rows[100_000:]])
    for others in (found(open_source(rows), 1), found(open_source(rows), 3), found(cut)):
        for one, other in zip(expected, others, strict=True):
            for name in (*PARTS, "log_likelihood"):
                assert_array_equal(getattr(one, name), getattr(other, name))


def test_rows_that_all_have_a_class_of_one_component_are_read_once(make_case):
    rows, _, parameters = make_case("full", 300, 2, 4)
    walks = []

    def chunks():
        walks.append(1)
        return iter([rows])

    source = open_source(chunks)
    labels = np.arange(len(rows)) % 3
    labelled = LabelledRows(source, labels, 3, 1, parameters.structure)
    before = len(walks)
    for _ in range(5):
        labelled.statistics([parameters])
    assert len(walks) == before


@pytest.mark.parametrize("n_labels", [299, 301])
@pytest.mark.parametrize("kind", [np.asarray, lambda rows: open_source(lambda: iter([rows]))])
def test_labels_that_are_not_one_for_each_row_are_refused(make_case, n_labels, kind):
    rows, _, parameters = make_case("full", 300, 2, 4)
    labels = np.arange(n_labels) % 2
    with pytest.raises(DataError, match=f"{n_labels} labels were given for .*300 rows"):
        LabelledRows(open_source(kind(rows)), labels, 2, 1, parameters.structure)


def test_rows_of_a_class_are_a_source(make_case):
    rows, row_weights, parameters = make_case("full", 300, 2, 4)
    labels = np.arange(300) % 3
    source = with_weights(open_source(rows), row_weights)
    labelled = LabelledRows(source, labels, 3, 1, parameters.structure)
    block = labelled.of_class(1).first_rows(1000)
    assert_array_equal(block.rows, rows[1::3])
    assert_array_equal(block.weights, row_weights[1::3])


def test_what_components_hold_of_each_class(make_case, structure):
    rows, row_weights, parameters = make_case(structure, 300, 2, 4)
    labels = np.random.default_rng(1).integers(-1, 3, len(rows))
    source = with_weights(open_source(rows), row_weights)
    found = LabelledRows(source, labels, 3, 1, parameters.structure).held(parameters)
    shares = naive.responsibilities(rows, parameters) * row_weights[:, None]
    expected = [np.float64(shares[labels == label].sum(axis=0)) for label in range(3)]
    assert_allclose(found, expected, rtol=1e-10)


def test_some_components_keep_their_weights(make_case, structure):
    parameters = make_case(structure, 50, 2, 4).parameters
    found = some_of(parameters, np.array([2, 0]))
    assert isinstance(found, Parameters)
    assert_array_equal(found.weights, parameters.weights[[2, 0]])
    assert_array_equal(found.matrices, parameters.matrices[[2, 0]])
