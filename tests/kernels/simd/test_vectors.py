"""Registers: every operation rounds as IEEE 754 says, lane by lane."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal

from fastgmm.kernels.simd import vectors
from fastgmm.kernels.simd.vectors import (
    REGISTER_BYTES,
    add_quick_totals,
    add_totals,
    append_where_not_less,
    exponent,
    fma,
    load,
    mantissa,
    power_of_two,
    splat,
    square_root,
    store,
    total,
    where_less,
)

BITS = {np.float64: np.uint64, np.float32: np.uint32}
MANTISSA_BITS = {np.float64: 52, np.float32: 23}


@pytest.fixture(params=[np.float64, np.float32])
def dtype(request):
    return request.param


@njit
def apply(a, b, c, out):
    """Write a result of every operation on registers into its row of ``out``."""
    for r in range(0, a.size, splat(a, 0.0).width):
        x, y, z = load(a, (r,)), load(b, (r,)), load(c, (r,))
        store(out, (0, r), x + y)
        store(out, (1, r), x - y)
        store(out, (2, r), x * y)
        store(out, (3, r), x / y)
        store(out, (4, r), fma(x, y, z))
        store(out, (5, r), where_less(x, y, x, z))
        store(out, (6, r), x)
        store(out, (7, r), 3.0 * x + 1)
        store(out, (8, r), where_less(0.0, x, 1.0, y))


@njit
def apply_to_positive(x, out):
    """Write the parts of positive normal numbers, and roots, into rows of ``out``."""
    for r in range(0, x.size, splat(x, 0.0).width):
        a = load(x, (r,))
        store(out, (0, r), exponent(a))
        store(out, (1, r), mantissa(a))
        store(out, (2, r), square_root(a))


@njit
def powers(shifted, out):
    for r in range(0, shifted.size, splat(shifted, 0.0).width):
        store(out, (r,), power_of_two(load(shifted, (r,))))


@njit
def totals(table, sums, added):
    """Sum eight rows of a table register by register, both ways."""
    for r in range(0, table.shape[1], splat(table, 0.0).width):
        a, b = load(table, (0, r)), load(table, (1, r))
        c, d = load(table, (2, r)), load(table, (3, r))
        e, f = load(table, (4, r)), load(table, (5, r))
        g, h = load(table, (6, r)), load(table, (7, r))
        add_totals(added, (2,), (a, b, c, d, e, f, g, h))
        for k in range(8):
            sums[k] += total(load(table, (k, r)))


@njit
def quick_totals(table, added):
    """Sum eight rows of a table register by register."""
    for r in range(0, table.shape[1], splat(table, 0.0).width):
        a, b = load(table, (0, r)), load(table, (1, r))
        c, d = load(table, (2, r)), load(table, (3, r))
        e, f = load(table, (4, r)), load(table, (5, r))
        g, h = load(table, (6, r)), load(table, (7, r))
        add_quick_totals(added, (2,), (a, b, c, d, e, f, g, h))


def random_bits(rng, dtype, size):
    """Floating-point numbers of every kind: normal, subnormal, infinite and not numbers."""
    return rng.integers(0, np.iinfo(BITS[dtype]).max, size, BITS[dtype], endpoint=True).view(dtype)


def moderate(rng, dtype, size):
    """Numbers of 120 binades whose products neither overflow nor underflow."""
    return np.ldexp(rng.uniform(-2, 2, size), rng.integers(-60, 60, size)).astype(dtype)


def with_special_values(values):
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0]
    values[: len(special) ** 2] = np.repeat(special, len(special))
    return values


def rounded(exact, dtype):
    """Round an mpmath number once."""
    with mpmath.workprec(MANTISSA_BITS[dtype] + 1):
        return dtype(float(+exact))


def test_a_register_has_as_many_numbers_as_it_has_bytes_for(dtype):
    @njit
    def width(array):
        return splat(array, 0.0).width

    assert width(np.zeros(1, dtype)) == REGISTER_BYTES // np.dtype(dtype).itemsize
    assert vectors.WIDTH in (4, 8)


def test_operators_are_numpys_to_the_bit(rng, dtype):
    a, b, c = (with_special_values(random_bits(rng, dtype, 4096)) for _ in range(3))
    b[:49] = np.tile(b[:49:7], 7)
    out = np.empty((9, a.size), dtype)
    apply(a, b, c, out)
    with np.errstate(all="ignore"):
        expected = [a + b, a - b, a * b, a / b]
        assert_array_equal(out[:4], expected)
        assert_array_equal(out[5], np.where(a < b, a, c))
        assert_array_equal(out[7], dtype(3) * a + dtype(1))
        assert_array_equal(out[8], np.where(a > 0, dtype(1), b))
    numbers = ~np.isnan(expected[1])
    signs = np.signbit(out[:4])[:, numbers]
    assert_array_equal(signs[1], np.signbit(expected[1])[numbers])  # -0.0 stays -0.0


def test_load_and_store_keep_every_bit(rng, dtype):
    a, b, c = (random_bits(rng, dtype, 1024) for _ in range(3))
    out = np.empty((9, a.size), dtype)
    apply(a, b, c, out)
    assert_array_equal(out[6].view(BITS[dtype]), a.view(BITS[dtype]))


def test_fma_rounds_once(rng, dtype):
    a, b, c = (moderate(rng, dtype, 512) for _ in range(3))
    c[:256] = -(a * b)[:256]  # what is left is the rounding error of the product
    out = np.empty((9, a.size), dtype)
    apply(a, b, c, out)
    with mpmath.workprec(600):
        terms = zip(*(map(float, each) for each in (a, b, c)), strict=True)
        exact = [mpmath.mpf(x) * y + z for x, y, z in terms]
    assert_array_equal(out[4], [rounded(value, dtype) for value in exact])


def test_a_positive_number_is_its_mantissa_times_a_power_of_two(rng, dtype):
    x = np.abs(random_bits(rng, dtype, 4096))
    info = np.finfo(dtype)
    x[~((x >= info.tiny) & (x <= info.max))] = 1.0
    x[:6] = [info.tiny, info.max, 1.0, np.nextafter(dtype(1), dtype(0)), 2.0, 1.5]
    out = np.empty((3, x.size), dtype)
    apply_to_positive(x, out)
    fraction, power = np.frexp(x)
    assert_array_equal(out[0], power - 1)
    assert_array_equal(out[1], 2 * fraction)
    assert_array_equal(out[2], np.sqrt(x))


def test_power_of_two_makes_every_normal_power(dtype):
    info = np.finfo(dtype)
    n = np.arange(info.minexp, info.maxexp)
    n = np.append(n, np.zeros(-n.size % 16, n.dtype))
    out = np.empty(n.size, dtype)
    powers((n + 1.5 * 2.0 ** MANTISSA_BITS[dtype]).astype(dtype), out)
    assert_array_equal(out, np.ldexp(dtype(1), n))


def test_totals_of_integers_are_exact_and_each_is_added_in_its_place(rng, dtype):
    table = rng.integers(-1000, 1000, (8, 64)).astype(dtype)
    sums, added = np.zeros(8), np.full(12, 0.5)
    totals(table, sums, added)
    assert_array_equal(sums, table.sum(axis=1))
    assert_array_equal(added, [0.5, 0.5, *(0.5 + table.sum(axis=1)), 0.5, 0.5])
    added = np.full(12, 0.5)
    quick_totals(table, added)
    assert_array_equal(added, [0.5, 0.5, *(0.5 + table.sum(axis=1)), 0.5, 0.5])


def test_totals_are_summed_in_float64(rng, dtype):
    table = rng.normal(size=(8, 64)).astype(dtype)
    sums, added = np.zeros(8), np.zeros(12)
    totals(table, sums, added)
    exact = table.astype(np.longdouble).sum(axis=1)
    # 64 numbers: six additions in a tree of 64, at most 16 more to the sums of registers
    bound = 22 * np.finfo(np.float64).eps * np.abs(table.astype(np.float64)).sum(axis=1)
    assert np.all(np.abs(sums - exact) <= bound)
    assert np.all(np.abs(added[2:10] - exact) <= bound)


def test_quick_totals_round_once_in_the_type_of_the_register(rng, dtype):
    table = rng.normal(size=(8, 64)).astype(dtype)
    added = np.zeros(12)
    quick_totals(table, added)
    exact = table.astype(np.longdouble).sum(axis=1)
    # one sum of two lanes in their own type, then at most 16 sums in float64
    roundings = np.finfo(dtype).eps / 2 + 16 * np.finfo(np.float64).eps
    bound = roundings * np.abs(table.astype(np.float64)).sum(axis=1)
    assert np.all(np.abs(added[2:10] - exact) <= bound)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lanes_that_are_not_less_are_listed_by_number_and_nan_among_them(rng, dtype):
    values, limits = rng.random(64).astype(dtype), np.full(64, 0.7, dtype)
    values[[5, 40]], limits[17] = np.nan, np.nan
    listed = np.full(80, -1, np.int32)

    @njit
    def list_all(values, limits, listed):
        count = 0
        for r in range(0, values.size, load(values, (0,)).width):
            a, b = load(values, (r,)), load(limits, (r,))
            count += append_where_not_less(a, b, listed, (count,), 100 + r)
        return count

    count = list_all(values, limits, listed)
    assert_array_equal(listed[:count], 100 + np.flatnonzero(~(values < limits)))
    assert (listed[count:] == -1).all()
