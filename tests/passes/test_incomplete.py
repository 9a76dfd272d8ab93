"""Passes over rows that lack values, beside definitions, row by row."""

from __future__ import annotations

import naive
import numba
import numpy as np
import pytest

from fastgmm import open_source, passes
from fastgmm.kernels.structures import completed
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import incomplete
from fastgmm.sources import with_weights

N_ROWS, N_COMPONENTS = 900, 3
N_FEATURES = 4, completed.WIDE + 1  # by observed parts of covariances, and by precisions too


def mixture(structure, n_features=N_FEATURES[0]):
    rng = np.random.default_rng(5)
    truth = naive.random_mixture(structure, N_COMPONENTS, n_features, rng)
    return Parameters.from_covariances(structure, truth.weights, truth.means, truth.covariances)


def lacking(dtype=np.float64, n_features=N_FEATURES[0]):
    """Rows of a few patterns that many have, and of others that few have; weights with zeros."""
    rng = np.random.default_rng(6)
    rows = rng.normal(scale=2.0, size=(N_ROWS, n_features))
    rows[: N_ROWS // 3, [1, 3]] = np.nan
    rows[N_ROWS // 3 : N_ROWS // 2, 0] = np.nan
    some = rng.random((N_ROWS // 4, n_features)) < rng.choice([0.3, 0.8], (N_ROWS // 4, 1))
    rows[-len(some) :][some] = np.nan
    rows[rng.permutation(N_ROWS)[:3]] = np.nan
    order = rng.permutation(N_ROWS)
    return rows[order].astype(dtype), rng.choice([0.0, 0.5, 1.0, 2.0], size=N_ROWS)


def expected(rows, weights, parameters):
    """Return the sums by definition, one row and component after the other."""
    shape = len(rows), parameters.n_components
    logs, matrices = np.zeros(shape), parameters.matrices
    apart = np.zeros((*shape, rows.shape[1]))
    left = np.zeros((*shape, rows.shape[1], rows.shape[1]))
    for i, row in enumerate(rows.astype(np.float64)):
        seen = ~np.isnan(row)
        for k, (mean, matrix) in enumerate(zip(parameters.means, matrices, strict=True)):
            between = matrix[np.ix_(~seen, seen)]
            inverse = np.linalg.inv(matrix[np.ix_(seen, seen)])
            z = row[seen] - mean[seen]
            volume = np.linalg.slogdet(2 * np.pi * matrix[np.ix_(seen, seen)])[1]
            logs[i, k] = np.log(parameters.weights[k]) - 0.5 * (z @ inverse @ z + volume)
            apart[i, k, seen], apart[i, k, ~seen] = z, between @ inverse @ z
            left[i, k][np.ix_(~seen, ~seen)] = (
                matrix[np.ix_(~seen, ~seen)] - between @ inverse @ between.T
            )
    totals = np.log(np.exp(logs).sum(axis=1))
    shares = np.exp(logs - totals[:, None])
    counted = shares * np.where(np.isnan(rows).all(axis=1), 0.0, weights)[:, None]
    first = np.einsum("ik,ikj->kj", counted, apart)
    second = np.einsum("ik,ikj,ikl->kjl", counted, apart, apart)
    second += np.einsum("ik,ikjl->kjl", counted, left)
    return totals, shares, counted.sum(axis=0), first, second


def narrowed(structure, second):
    """Return what a structure keeps of the second moments of each component."""
    if structure == "tied":
        return second.sum(axis=0)
    variances = np.einsum("kii->ki", second)
    return {"spherical": variances.sum(axis=1), "diagonal": variances, "full": second}[structure]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_sums_are_the_expected_ones(structure, dtype, n_features):
    rows, weights = lacking(dtype, n_features)
    parameters = mixture(structure, n_features)
    source = with_weights(open_source(rows, missing=True), weights)
    (found,) = passes.statistics(source, [parameters])
    totals, _, weight, first, second = expected(rows, weights, parameters)
    # sums of 900 terms of size 1 to 30, each with a few roundings
    exact = {"rtol": 1e-11, "atol": 1e-10} if dtype == np.float64 else {"rtol": 2e-5, "atol": 5e-3}
    counts = np.where(np.isnan(rows).all(axis=1), 0.0, weights)
    np.testing.assert_allclose(found.log_likelihood, totals @ counts, rtol=exact["rtol"])
    np.testing.assert_allclose(found.weight, weight, **exact)
    np.testing.assert_allclose(found.first, first, **exact)
    np.testing.assert_allclose(found.second, narrowed(structure, second), **exact)
    assert found.n_rows == np.count_nonzero(counts)
    assert found.row_weight == counts.sum()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", N_FEATURES)
def test_scores_are_those_of_what_is_observed(structure, dtype, n_features):
    rows, _ = lacking(dtype, n_features)
    parameters = mixture(structure, n_features)
    source = open_source(rows, missing=True)
    totals, shares, *_ = expected(rows, np.ones(len(rows)), parameters)
    exact = {"atol": 1e-12} if dtype == np.float64 else {"atol": 3e-5}
    np.testing.assert_allclose(passes.log_likelihoods(source, parameters), totals, **exact)
    np.testing.assert_allclose(passes.responsibilities(source, parameters), shares, **exact)
    apart = np.sort(shares, axis=1)
    sure = apart[:, -1] - apart[:, -2] > 1e-4
    labels = passes.labels(source, parameters)
    np.testing.assert_array_equal(labels[sure], shares.argmax(axis=1)[sure])
    for block, columns in passes.each_block_by_columns(source, parameters):
        its = slice(block.start, block.start + len(block.rows))
        np.testing.assert_allclose(columns.responsibilities.T, shares[its], **exact)
        np.testing.assert_array_equal(columns.labels, labels[its])


def test_complete_rows_have_the_bits_of_a_pass_that_knows_of_none(structure, make_case):
    case = make_case(structure, 700, 3, 2)
    plain = with_weights(open_source(case.rows), case.row_weights)
    may_lack = with_weights(open_source(case.rows, missing=True), case.row_weights)
    for one, other in zip(
        passes.statistics(plain, [case.parameters]),
        passes.statistics(may_lack, [case.parameters]),
        strict=True,
    ):
        for name in ("weight", "first", "second"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.log_likelihood == other.log_likelihood


def test_threads_and_chunks_do_not_change_a_bit(structure):
    (rows, _), parameters = lacking(), mixture(structure)
    found = []
    for n_threads, n_chunk in ((1, 900), (2, 900), (2, 100)):
        numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
        chunks = [rows[i : i + n_chunk] for i in range(0, len(rows), n_chunk)]
        (its,) = passes.statistics(open_source(chunks, missing=True), [parameters])
        found.append(its)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].first, other.first)
        np.testing.assert_array_equal(found[0].second, other.second)
        assert found[0].log_likelihood == other.log_likelihood


@pytest.mark.parametrize("kind", ["tied", "full"])
def test_sums_of_too_many_patterns_are_completed_on_the_way(kind, monkeypatch):
    (rows, _), parameters = lacking(), mixture(kind)
    monkeypatch.setattr("fastgmm.passes.accumulate.block_rows", lambda _: 400)
    source = open_source(rows, missing=True)
    (held,) = passes.statistics(source, [parameters])
    monkeypatch.setattr(incomplete, "HELD_BYTES", 0)
    (done,) = passes.statistics(source, [parameters])
    np.testing.assert_allclose(done.second, held.second, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(done.first, held.first, rtol=1e-12, atol=1e-11)
