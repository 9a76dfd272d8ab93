"""Passes over factor analysers, beside plain densities of their matrices in extended precision."""

from __future__ import annotations

import naive
import numpy as np
import pytest

from fastgmm import passes
from fastgmm.kernels.structures import factored
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.model import model
from fastgmm.sources import open_source, with_weights


def mixture(rng, n_components, n_features, n_factors, gain=1.0, at=0.0, spread=2.0):
    loadings = gain * rng.normal(size=(n_components, n_features, n_factors))
    own = rng.uniform(0.5, 2.0, (n_components, n_features))
    means = at + spread * rng.normal(size=(n_components, n_features))
    covariances = np.concatenate([loadings, own[..., None]], axis=2)
    weights = rng.dirichlet(np.full(n_components, 4.0))
    return Parameters.from_covariances(f"factors-{n_factors}", weights, means, covariances)


def rows_of(rng, parameters, n_rows):
    drawn = [
        parameters.structure.draw(mean, covariance, n_rows // 3 + 1, rng)
        for mean, covariance in zip(parameters.means, parameters.covariances, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))[:n_rows]


def expected(rows, weights, parameters):
    """The sums of the plain matrices, and what the directions see of them."""
    loadings, own = naive.exact(parameters.covariances[..., :-1]), parameters.covariances[..., -1]
    matrices = loadings @ loadings.swapaxes(1, 2) + naive.exact(own)[:, :, None] * np.eye(
        parameters.n_features
    )
    full = naive.Mixture("full", parameters.weights, parameters.means, matrices)
    return full, naive.expectation(rows, weights, full)


CASES = {  # components, features, factors; gain, where; and whether distances are differences
    "near": ((5, 7, 2), 1.0, 0.0, True),
    "many factors": ((3, 9, 5), 1.0, 0.0, True),
    "far from zero": ((2, 6, 1), 1.0, 1e6, True),
    "strong factors": ((3, 8, 4), 1e3, 0.0, False),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_densities_and_sums_are_those_of_the_matrices(name, dtype):
    shape, gain, at, is_near = CASES[name]
    rng = np.random.RandomState(3)
    parameters = mixture(rng, *shape, gain, 0.0 if dtype == np.float32 else at)
    rows = rows_of(rng, parameters, 500).astype(dtype)
    weights = rng.randint(0, 3, len(rows)).astype(float)
    full, sums = expected(rows, weights, parameters)
    found = model(parameters, dtype)
    assert found.factors.is_near.all() == (is_near and dtype == np.float64)
    eps = np.finfo(dtype).eps
    scores = passes.log_likelihoods(open_source(rows), parameters)
    wanted = naive.log_likelihoods(rows, full)
    # |x| / deviation is about gain in each of d features, and what is left of it about 1
    digits = 40 * (1 + gain * (gain > 1)) * (1 + at)
    assert np.abs(scores - wanted).max() < digits * eps * np.abs(wanted).max()
    (statistics,) = passes.statistics(with_weights(open_source(rows), weights), [parameters])
    close = 200 * eps * (1 + at)
    assert np.abs(statistics.weight - sums.weight).max() < close * len(rows)
    spread = np.sqrt(np.einsum("kii->ki", full.covariances).max())
    assert np.abs(statistics.first - sums.first).max() < close * len(rows) * spread
    directions = naive.exact(statistics.directions)
    seen = sums.second @ directions.swapaxes(1, 2)
    assert np.abs(statistics.second[..., :-1] - seen).max() < close * len(rows) * spread
    squares = np.einsum("kii->ki", sums.second)
    assert np.abs(statistics.second[..., -1] - squares).max() < close * len(rows) * spread**2
    assert abs(statistics.log_likelihood - sums.log_likelihood) < close * len(rows) * digits


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_that_are_gathered_have_the_same_sums(dtype):
    """Of components that lie apart, most pairs are nothing; strong and weak factors together."""
    rng = np.random.RandomState(5)
    parameters = mixture(rng, 11, 9, 5, spread=20.0)
    covariances = np.array(parameters.covariances)
    covariances[::4, :, :-1] *= 1e3
    parameters = Parameters.from_covariances(
        parameters.structure, parameters.weights, parameters.means, covariances
    )
    rows = rows_of(rng, parameters, 900).astype(dtype)
    live = passes.responsibilities(open_source(rows), parameters) > 0.0
    assert live.mean() < 0.5
    _, sums = expected(rows, None, parameters)
    (found,) = passes.statistics(open_source(rows), [parameters])
    factors = model(parameters, dtype).factors
    assert factors.is_near.sum() == (8 if dtype == np.float64 else 0)
    eps = np.finfo(dtype).eps
    assert np.abs(found.weight - sums.weight).max() < 2e4 * eps * len(rows)
    seen = sums.second @ naive.exact(found.directions).swapaxes(1, 2)
    squares = np.einsum("kii->ki", sums.second)
    size = np.sqrt(squares.max(axis=1))[:, None] + 1.0
    assert (np.abs(found.first - sums.first) < 2e4 * eps * size * 30).all()
    assert (np.abs(found.second[..., -1] - squares) < 2e4 * eps * size**2).all()
    assert (np.abs(found.second[..., :-1] - seen) < 2e4 * eps * size[..., None] * 30).all()


@pytest.mark.parametrize(
    ("spread", "gain", "is_near"), [(2500.0, 1.0, True), (2500.0, 30.0, False)]
)
def test_components_far_apart_keep_their_digits(spread, gain, is_near):
    rng = np.random.RandomState(1)
    parameters = mixture(rng, 3, 16, 3, gain, spread=spread)
    rows = rows_of(rng, parameters, 200)
    found = model(parameters, np.float64).factors
    assert found.is_near.all() == is_near
    full, _ = expected(rows, None, parameters)
    scores = passes.log_likelihoods(open_source(rows), parameters)
    assert np.abs(scores - naive.log_likelihoods(rows, full)).max() < 2e-10


def test_the_directions_are_those_of_the_definition(rng):
    parameters = mixture(rng, 2, 6, 3)
    loadings, own = parameters.covariances[..., :-1], parameters.covariances[..., -1]
    for k in range(2):
        whole = loadings[k] @ loadings[k].T + np.diag(own[k])
        found = factored.projections(model(parameters, np.float64).factors, 6)[k]
        np.testing.assert_allclose(found, loadings[k].T @ np.linalg.inv(whole), rtol=1e-10)


def test_a_row_that_no_component_explains_is_counted_nowhere_but_in_one(rng):
    parameters = mixture(rng, 4, 6, 2)
    rows = np.concatenate([np.full((1, 6), 1e6), rows_of(np.random.RandomState(0), parameters, 99)])
    (found,) = passes.statistics(open_source(rows), [parameters])
    assert np.isclose(found.weight.sum(), 100.0)
    assert np.isfinite(found.log_likelihood)
