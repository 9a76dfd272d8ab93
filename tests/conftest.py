"""Small mixtures, a generator for each test, and the numbers of threads to try."""

from __future__ import annotations

from typing import Any, NamedTuple

import naive
import numpy as np
import pytest
from hypothesis import settings

# The first example may have to compile; and what is found by chance is no news to a later commit.
settings.register_profile("fastgmm", deadline=None, derandomize=True)
settings.load_profile("fastgmm")

pytest_plugins = ["deadlines"]  # the marker `deadline`


class Case(NamedTuple):
    """Rows, and parameters near but not at those they were drawn from."""

    rows: np.ndarray  # (n, d)
    row_weights: np.ndarray  # (n,) with a few zeros
    parameters: Any  # fastgmm.mixture.parameters.Parameters


@pytest.fixture
def rng():
    """A generator of the test's own."""
    return np.random.default_rng(20240229)


@pytest.fixture(params=[1, 2, 3])
def n_threads(request):
    """A number of threads to compute with."""
    return request.param


@pytest.fixture(params=naive.STRUCTURES)
def structure(request):
    """Each of the kernels' structures."""
    return request.param


@pytest.fixture
def make_case():
    """A function that makes a case of any structure and size."""
    return _make_case


@pytest.fixture(params=[(50, 1, 1), (120, 1, 3), (200, 2, 1), (300, 3, 4), (500, 5, 3)], ids=str)
def case(request, structure):
    """Cases of every structure, of 50 to 500 rows, 1 to 5 features and 1 to 4 components."""
    return _make_case(structure, *request.param)


def _make_case(structure, n_rows, n_features, n_components, offset=0.0, seed=0):
    from fastgmm.mixture.parameters import Parameters

    rng = np.random.default_rng([seed, n_rows, n_features, n_components])
    truth = naive.random_mixture(structure, n_components, n_features, rng, offset)
    rows = naive.random_rows(truth, n_rows, rng)
    row_weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=n_rows, p=[0.1, 0.3, 0.4, 0.2])
    means = truth.means + rng.normal(scale=0.5, size=truth.means.shape)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    parameters = Parameters.from_covariances(structure, weights, means, 1.5 * truth.covariances)
    return Case(rows, row_weights, parameters)
