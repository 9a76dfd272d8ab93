"""A model as a person reads it."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm.cli import tables
from fastgmm.estimators.gaussian_mixture import GaussianMixture


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_spread_is_the_root_of_the_variances(covariance_type, frame):
    rows = frame[["a", "b"]].to_numpy()
    fitted = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
    matrices = naive.matrices(covariance_type, fitted.covariances_, *fitted.means_.shape)
    expected = np.sqrt(np.einsum("kii->ki", matrices))
    assert_allclose(tables.deviations(fitted), expected)


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        (0.0, 1.0, "0 ± 1"),
        (123.456, 10.0, "123.5 ± 10"),
        (1e8 + 0.25, 1.0, "100000000.25 ± 1"),
        (-0.001, 2.0, "-0.001 ± 2"),
        (1.5e-9, 2.5e-10, "1.5e-09 ± 2.5e-10"),
    ],
)
def test_means_are_written_to_a_part_of_their_spread(mean, spread, expected):
    assert tables.mean_and_spread(mean, spread) == expected
