"""Values that a user gives are checked, and an error names the component."""

from __future__ import annotations

import numpy as np
import pytest

from fastgmm.covariance import family
from fastgmm.estimators.validation import mixture_arrays

IDENTITIES = np.array([np.eye(2)] * 3)


def test_good_values_are_returned_as_they_are():
    weights = np.array([0.25, 0.25, 0.5])
    assert mixture_arrays.checked_weights(weights, 3) is weights
    assert mixture_arrays.checked_matrices(IDENTITIES, "full precision", "full", 3, 2) is IDENTITIES


def test_lists_of_integers_become_floats():
    assert mixture_arrays.checked_means([[1, 2], [3, 4]], 2, 2).dtype == np.float64


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0.5, 0.5], r"shape of \(3,\), but got \(2,\)"),
        ([0.5, 0.6, -0.1], r"range \[0, 1\].*component 2 has -0.10000"),
        ([0.5, 0.3, 0.3], r"normalized, but got sum\(weights\) = 1.10000"),
        ([0.5, np.nan, 0.5], "contains NaN"),
        ([[0.5], [0.25], [0.25]], r"shape of \(3,\), but got \(3, 1\)"),
    ],
)
def test_weights_that_are_no_weights(weights, words):
    with pytest.raises(ValueError, match=words):
        mixture_arrays.checked_weights(weights, 3)


def bad(value, *place):
    """Identities, but for one number."""
    matrices = IDENTITIES.copy()
    matrices[place] = value
    return matrices


@pytest.mark.parametrize(
    "matrices", [bad(-1.0, 1, 0, 0), bad(0.5, 1, 0, 1), bad(0.0, 1, 1, 1)], ids=str
)
def test_matrices_that_are_not_positive_definite(matrices):
    with pytest.raises(ValueError, match="symmetric, positive-definite; that of component 1 is"):
        mixture_arrays.checked_matrices(matrices, "full precision", "full", 3, 2)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_variances_that_are_not_positive(covariance_type):
    values = np.ones(family(covariance_type).structure.shape(3, 2))
    values[2] = 0.0
    with pytest.raises(ValueError, match="should be positive; that of component 2 is not"):
        mixture_arrays.checked_matrices(values, "covariances", covariance_type, 3, 2)


def test_a_tied_matrix_belongs_to_no_component():
    with pytest.raises(ValueError, match=r"positive-definite$"):
        mixture_arrays.checked_matrices(-np.eye(2), "tied precision", "tied", 3, 2)


def test_infinite_precisions_are_refused():
    with pytest.raises(ValueError, match="infinity"):
        mixture_arrays.checked_matrices(bad(np.inf, 0, 0, 0), "full precision", "full", 3, 2)


def test_an_unknown_covariance_type_is_named():
    with pytest.raises(ValueError, match="did you mean 'spherical'"):
        mixture_arrays.checked_mixture([1.0], [[0.0]], [1.0], "sperical")
