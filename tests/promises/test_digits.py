"""Densities, posteriors and an EM step have the digits that 50-digit arithmetic says are there."""

from __future__ import annotations

import itertools

import pytest

from bench.tables import digits as bench

DOUBLE = 11.5  # digits that are enough, however many a careful computation has
SINGLE = 7.0  # of the 7.2 that float32 has
ROUNDED_TWICE = 6.9  # of float32: 2 * 2**-24 of a number is 6.92 digits
SLACK = 1.5  # digits that we may have less than a careful computation


def assert_digits(case, enough, with_step=True):
    exact = bench.truth(case, with_step)
    ours = bench.digits(bench.ours(case, with_step), exact)
    careful = bench.digits(bench.careful(case), exact)
    for name, count in ours.items():
        assert count >= min(enough, careful[name] - SLACK), (name, count, careful[name])


@pytest.mark.parametrize("kind", bench.COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [1, 2, 5, 16])
def test_double_precision_keeps_its_digits(kind, d):
    for condition, offset in itertools.product(*bench.RANGES["float64"]):
        if d > 1 or condition == 1.0:
            assert_digits(bench.make(kind, d, condition, offset, "float64"), DOUBLE)


# Fewer rows and combinations, the easiest and the hardest among them: 50 digits take their time.
@pytest.mark.slow
@pytest.mark.parametrize("dtype", bench.DTYPES)
@pytest.mark.parametrize("kind", bench.COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [33, 64])
def test_many_features_cost_no_digits(kind, d, dtype):
    enough = {"float64": DOUBLE, "float32": ROUNDED_TWICE}[dtype]
    for condition, offset in zip(*bench.RANGES[dtype], strict=False):
        assert_digits(bench.make(kind, d, condition, offset, dtype, n_rows=12), enough)


@pytest.mark.slow
@pytest.mark.parametrize("kind", bench.COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [1, 2, 5, 16])
def test_single_precision_has_the_digits_of_careful_single_precision(kind, d):
    for condition, offset in itertools.product(*bench.RANGES["float32"]):
        if d > 1 or condition == 1.0:
            assert_digits(bench.make(kind, d, condition, offset, "float32"), SINGLE)


@pytest.mark.parametrize("dtype", bench.DTYPES)
@pytest.mark.parametrize("kind", bench.COVARIANCE_TYPES)
def test_weights_of_1e_300_cost_no_digits(kind, dtype):
    enough = {"float64": DOUBLE, "float32": ROUNDED_TWICE}[dtype]
    for condition, offset in itertools.product(*bench.RANGES[dtype]):
        for tiny in ("components", "rows"):
            case = bench.make(kind, 3, condition, offset, dtype, tiny)
            assert_digits(case, enough, with_step=tiny == "rows")


@pytest.mark.parametrize("kind", bench.COVARIANCE_TYPES)
def test_scikit_learn_loses_at_an_offset_what_is_kept_here(kind):
    # what the table in docs/reliability.md says, in one line of it
    case = bench.make(kind, 4, 1.0, 1e8, "float64")
    exact = bench.truth(case)
    found = bench.theirs(case)
    theirs = 0.0 if found is None else min(bench.digits(found, exact).values())
    assert theirs < 9 < DOUBLE < min(bench.digits(bench.ours(case), exact).values())
