"""Exponential and logarithm: as close as they claim, and exact where they must be."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal

from fastgmm.kernels.simd import vecmath
from fastgmm.kernels.simd.vectors import load, splat, store

# Units in the last place, as vecmath's docstring has them. Half a unit is rounding; exp adds the
# rounding of its reduced argument's polynomial, log those of a difference, a sum and a quotient.
EXP_ULP, LOG_ULP = 1.0, 2.0
UNDERFLOW = {np.float64: -708.0, np.float32: -87.0}


@pytest.fixture(params=[np.float64, np.float32])
def dtype(request):
    return request.param


@njit
def exp_of(x, out):
    for r in range(0, x.size, splat(x, 0.0).width):
        store(out, (r,), vecmath.exp(load(x, (r,))))


@njit
def log_of(x, out):
    for r in range(0, x.size, splat(x, 0.0).width):
        store(out, (r,), vecmath.log(load(x, (r,))))


def evaluate(function, values, dtype):
    """Return the function of any number of values, which are padded with 1 to whole registers."""
    values = np.atleast_1d(np.asarray(values, dtype))
    padded = np.append(values, np.ones(-values.size % 16, dtype))
    out = np.empty_like(padded)
    function(padded, out)
    return out[: values.size]


def largest_error(found, exact):
    """In units of the last place."""
    return np.max(np.abs(found - exact) / np.spacing(np.abs(exact.astype(found.dtype))))


def test_exp_is_right_to_the_last_digit(rng, dtype):
    dense = np.linspace(UNDERFLOW[dtype], 0.0, 400_001)
    near_zero = -np.geomspace(1e-20, 1.0, 100_000)
    half_steps = -np.log(2) * (np.arange(1, 120) - 0.5)  # where the reduced argument is longest
    x = np.concatenate([dense, near_zero, half_steps, rng.uniform(-5, 0, 300_000)]).astype(dtype)
    x = np.maximum(x, dtype(UNDERFLOW[dtype]))
    found = evaluate(exp_of, x, dtype)
    assert largest_error(found, np.exp(x.astype(np.longdouble))) < EXP_ULP


def test_exp_at_its_edges(dtype):
    last = dtype(UNDERFLOW[dtype])
    below = np.nextafter(last, dtype(-np.inf))
    x = [0.0, -0.0, below, last - 1, -np.inf, np.finfo(dtype).min, np.nan]
    assert_array_equal(evaluate(exp_of, x, dtype), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, np.nan])
    assert evaluate(exp_of, last, dtype)[0] >= np.finfo(dtype).tiny


def test_log_is_right_to_the_last_digit(rng, dtype):
    info = np.finfo(dtype)
    scales = np.exp(np.linspace(np.log(float(info.tiny)) + 1, np.log(float(info.max)) - 1, 300_001))
    near_one = np.concatenate([1 + s * np.geomspace(1e-16, 0.4, 100_000) for s in (1.0, -1.0)])
    sums = rng.uniform(1.0, 100.0, 300_000)  # the mass of a row
    folds = np.sqrt(2) * (1 + np.linspace(-1e-6, 1e-6, 2001))
    x = np.concatenate([scales, near_one, sums, folds]).astype(dtype)
    x = x[x != 1]
    found = evaluate(log_of, x, dtype)
    assert largest_error(found, np.log(x.astype(np.longdouble))) < LOG_ULP


def test_log_at_its_edges(dtype):
    info = np.finfo(dtype)
    root = dtype(np.sqrt(2))
    x = np.array([info.tiny, info.max, 2.0, 0.5, root, np.nextafter(root, dtype(2))], dtype)
    exact = np.log(x.astype(np.longdouble))
    assert largest_error(evaluate(log_of, x, dtype), exact) < LOG_ULP
    assert evaluate(log_of, 1.0, dtype)[0] == 0.0
