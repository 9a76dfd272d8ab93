"""log Gamma above its tangent, in 60 digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from fastgmm.mixture.log_gamma import LARGE, above_tangent


def exact(at, touching):
    with mpmath.workdps(60):
        x, y = mpmath.mpf(at), mpmath.mpf(touching)
        return float(mpmath.loggamma(x) - mpmath.loggamma(y) - mpmath.digamma(y) * (x - y))


@pytest.mark.parametrize("more", [0.0, 1e-9, 0.3, 1.0, 30.0, 1e6, 1e9])
def test_its_error_is_a_rounding_of_the_difference_whatever_the_numbers(more):
    for at in (1e-300, 1e-12, 0.5, 1.0, 5.0, 31.0, LARGE, 33.0, 1e2, 1e4, 1e8, 1e12, 1e30, 1e300):
        expected = exact(at, at + more)
        found = float(above_tangent(at, at + more))
        # log Gamma below LARGE is at most 78, and that of the other y log y
        largest = (at + more) * np.log(at + more + 1.0) if at < LARGE else more
        assert abs(found - expected) <= 1e-15 * (expected + 100.0 + largest)


def test_numbers_and_arrays_are_broadcast():
    found = above_tangent(2.0, np.array([[2.0], [50.0]]))
    assert found.shape == (2, 1)
    assert found[0, 0] == 0.0
    assert found[1, 0] == pytest.approx(exact(2.0, 50.0), rel=1e-14)
