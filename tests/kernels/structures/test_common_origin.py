"""Moments about one origin: as exact as those about every mean, or made again about the means."""

import numpy as np
import pytest
import twins
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import open_source, passes
from fastgmm.kernels.expectation import expectation_serial
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import accumulate

WORST = 0.1  # as for moments about the means, in tests/kernels/structures/test_dispatch.py
SHAPES = [
    (1, 1, 5),
    (1, 3, 400),
    (2, 4, 193),
    (5, 3, 400),
    (9, 5, 700),
    (33, 17, 400),
    (8, 16, 193),
]


@pytest.fixture(params=["spherical", "diagonal", "tied"])
def structure(request):
    return request.param


@pytest.mark.parametrize("weighting", ["none", "random", "some zeros"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_pass_about_one_origin_agrees_with_its_twin(rng, structure, shape, weighting):
    n_features, n_components, n_rows = shape
    parameters = twins.random_parameters(rng, structure, n_components, n_features, spread=0.1)
    rows = twins.random_rows(rng, parameters, n_rows, np.float64)
    assert twins.factors_of(parameters, np.float64).about_origin
    weights = {
        "none": None,
        "random": rng.exponential(size=n_rows),
        "some zeros": rng.choice([0.0, 0.5, 3.0], size=n_rows),
    }[weighting]
    found = twins.sums_of(expectation_serial, rows, weights, parameters)
    exact, bounds = twins.sums(rows, weights, parameters)
    assert twins.worst(found, exact, bounds) < WORST


def poor_start(structure, n_features=3):
    """Rows that deviate by 1e-10 from the first of four means, 1e-3 apart, whose variances are 1.

    Next to nothing is left to the other three, so that second moments about the first mean are all.
    """
    rng = np.random.default_rng(0)
    means = 1e-3 * (np.arange(4.0)[:, None] + 0.25 * np.arange(n_features))
    covariances = {
        "spherical": np.ones(4),
        "diagonal": np.ones((4, n_features)),
        "tied": np.eye(n_features),
    }[structure]
    weights = [1 - 3e-30, 1e-30, 1e-30, 1e-30]
    parameters = Parameters.from_covariances(structure, weights, means, covariances)
    return parameters, means[0] + 1e-10 * rng.normal(size=(500, n_features))


@pytest.fixture
def blocks(monkeypatch):
    """Every block that is summed."""
    summed, summarise = [], accumulate.summarise

    def noticed(models, block, prune=True):
        summed.append(block)
        return summarise(models, block, prune)

    monkeypatch.setattr(accumulate, "summarise", noticed)
    return summed


def test_sums_that_would_cancel_are_made_again_about_the_means(structure, blocks):
    parameters, rows = poor_start(structure)
    assert twins.factors_of(parameters, np.float64).about_origin
    (found,) = passes.statistics(open_source(rows), [parameters])
    exact, _ = twins.sums(rows, None, parameters)
    assert len(blocks) == 2
    assert_allclose(found.second, np.asarray(exact.second, np.float64), rtol=1e-9, atol=1e-26)
    (block,) = passes.short_blocks(open_source(rows), len(rows))
    alone = passes.block_statistics(block, parameters)
    assert_array_equal(alone.second, found.second)


def test_other_passes_are_made_once(rng, structure, blocks):
    parameters, _ = poor_start(structure)
    passes.statistics(open_source(rng.normal(size=(500, 3))), [parameters])
    assert len(blocks) == 1
