"""Digamma, and log Gamma above its tangent, in up to 700 digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from fastgmm.kernels.log_gamma import LARGE, above_tangent, digamma

EPS = 2.0**-52
TINY = 0.05 * EPS  # of parts of Stirling's series, whose largest is 1 / 120


def exact(at, touching):
    # log Gamma of 1e300 has 303 digits before its point
    with mpmath.workdps(60 if max(at, touching) < 1e20 else 700):
        x, y = mpmath.mpf(at), mpmath.mpf(touching)
        return float(mpmath.loggamma(x) - mpmath.loggamma(y) - mpmath.digamma(y) * (x - y))


@pytest.mark.parametrize("more", [0.0, 1e-9, 0.3, 1.0, 30.0, 1e6, 1e9])
def test_its_error_is_a_rounding_of_the_difference_whatever_the_numbers(more):
    for at in (1e-300, 1e-12, 0.5, 1.0, 5.0, 31.0, LARGE, 33.0, 1e2, 1e4, 1e8, 1e12, 1e30, 1e300):
        expected = exact(at, at + more)
        found = float(above_tangent(at, at + more))
        assert abs(found - expected) <= 4.0 * EPS * (expected + more) + TINY


def test_it_has_all_digits_of_any_two_numbers(rng):
    for most in (300.0, 4.0):
        x, y = 10.0 ** rng.uniform(-most, most, size=(2, 100))
        expected = np.array([exact(*each) for each in zip(x, y, strict=True)])
        found = above_tangent(x, y)
        finite = np.isfinite(expected)
        assert finite.sum() > 40
        np.testing.assert_array_equal(found[~finite], np.inf)
        x, y, expected, found = (each[finite] for each in (x, y, expected, found))
        scale = expected + np.abs(x - y) / np.minimum(y, 1.0)
        assert np.all(np.abs(found - expected) <= 2.0 * EPS * scale + TINY)


def test_of_numbers_side_by_side_it_is_their_square(rng):
    y = 10.0 ** rng.uniform(-3.0, 4.0, size=100)
    x = y * (1.0 + 10.0 ** rng.uniform(-16.0, 0.0, size=100))
    expected = np.array([exact(*each) for each in zip(x, y, strict=True)])
    found = above_tangent(x, y)
    assert np.all(np.abs(found - expected) <= 2.0 * EPS * (expected + np.abs(x - y)) + TINY)
    assert np.all(found >= -TINY)


def test_digamma_has_all_digits_of_itself_or_of_one(rng):
    near_its_zero = 1.461632144968362 + rng.uniform(-1e-3, 1e-3, size=50)
    at = np.concatenate([10.0 ** np.linspace(-300, 300, 601), np.arange(1, 60) / 2, near_its_zero])
    at = np.concatenate([at, 10.0 ** rng.uniform(-3.0, 3.0, size=400)])
    with mpmath.workdps(40):
        expected = np.array([float(mpmath.digamma(mpmath.mpf(each))) for each in at])
    found = np.array([digamma(each) for each in at])
    assert np.all(np.abs(found - expected) <= 5.0 * EPS * np.maximum(np.abs(expected), 1.0))


def test_numbers_and_arrays_are_broadcast():
    found = above_tangent(2.0, np.array([[2.0], [50.0]]))
    assert found.shape == (2, 1)
    assert found[0, 0] == 0.0
    assert found[1, 0] == pytest.approx(exact(2.0, 50.0), rel=1e-14)
    assert above_tangent(2.0, 2.0).shape == ()
