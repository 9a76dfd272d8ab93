"""A prior beside the rows, densities and divisors it stands for."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from fastgmm.covariance import family
from fastgmm.em import Maximisation
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior, side_by_side
from fastgmm.mixture.structure import STRUCTURES

FREEDOM, MEAN_ROWS, WEIGHT_ROWS = 7.5, 0.3, 2.0
D = 3
MEAN = np.array([0.5, -1.0, 2.0])


@pytest.fixture
def scale(structure, rng):
    """Return the scale of an inverse Wishart or gamma distribution, for one component."""
    steps = rng.normal(size=(2 * D, D))
    return STRUCTURES[structure].narrowed(steps.T @ steps)


def prior_of(structure, scale, mean_rows=MEAN_ROWS, weight_rows=WEIGHT_ROWS):
    kind = STRUCTURES[structure]
    rows = kind.wishart_rows(FREEDOM, D)
    divisor = {"spherical": D * rows}.get(structure, rows)
    return Prior(rows, scale / divisor, mean_rows, MEAN, weight_rows)


def posterior_mode(rows, row_weights, parameters, scale, mean_rows, weight_rows):
    """Gauvain and Lee's M-step, by two visits to the rows."""
    shares = naive.responsibilities(rows, parameters) * naive.exact(row_weights)[:, None]
    weight = shares.sum(axis=0)
    means = (shares.T @ rows + mean_rows * MEAN) / (weight + mean_rows)[:, None]
    away = rows[:, None, :] - means
    scatter = np.einsum("nk,nki,nkj->kij", shares, away, away)
    from_mean = means - MEAN
    scatter += mean_rows * np.einsum("ki,kj->kij", from_mean, from_mean)
    structure, one = parameters.structure, 1.0 if mean_rows > 0.0 else 0.0
    numerators = scale + naive.in_shape_of(structure, scatter)
    match structure:
        case "spherical":
            covariances = numerators / (FREEDOM + 2 + D * (weight + one))
        case "diagonal":
            covariances = numerators / (FREEDOM + 2 + one + weight)[:, None]
        case "tied":
            covariances = numerators / (FREEDOM + D + 1 + weight.sum() + one * len(weight))
        case "full":
            covariances = numerators / (FREEDOM + D + 1 + one + weight)[:, None, None]
    weights = weight + weight_rows
    return naive.Mixture(structure, weights / weights.sum(), means, covariances)


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize(("mean_rows", "weight_rows"), [(0.0, 0.0), (MEAN_ROWS, WEIGHT_ROWS)])
def test_an_m_step_is_that_of_fraley_and_raftery_s_table(
    make_case, structure, scale, n_components, mean_rows, weight_rows
):
    rows, row_weights, parameters = make_case(structure, 80, D, n_components)
    prior = prior_of(structure, scale, mean_rows, weight_rows)
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), 0.0, prior)
    found = rule.estimate(naive.statistics(rows, row_weights, parameters), parameters)
    expected = posterior_mode(rows, row_weights, parameters, scale, mean_rows, weight_rows)
    assert_allclose(found.weights, expected.weights, rtol=1e-13)
    assert_allclose(found.means, expected.means, rtol=1e-13, atol=1e-13)
    assert_allclose(found.covariances, expected.covariances, rtol=1e-12, atol=1e-13)


def log_density(structure, scale, mixture):
    """Log density of a mixture's means, weights and covariances, as the books have it."""
    total = WEIGHT_ROWS * np.log(mixture.weights).sum()
    matrices = naive.full_covariances(mixture).astype(float)
    for mean, matrix in zip(mixture.means, matrices, strict=True):
        total += stats.multivariate_normal.logpdf(mean, MEAN, matrix / MEAN_ROWS)
    match structure:
        case "spherical":
            of_each = stats.invgamma.logpdf(mixture.covariances, FREEDOM / 2, scale=scale / 2)
        case "diagonal":
            of_each = stats.invgamma.logpdf(mixture.covariances, FREEDOM / 2, scale=scale / 2)
        case "tied":
            of_each = stats.invwishart.logpdf(mixture.covariances, FREEDOM, scale)
        case "full":
            of_each = [stats.invwishart.logpdf(one, FREEDOM, scale) for one in mixture.covariances]
    return total + np.sum(of_each)


def test_the_log_density_is_that_of_the_books_but_for_a_constant(make_case, structure, scale):
    prior = prior_of(structure, scale)
    of_ours, of_books = [], []
    for seed in range(4):
        parameters = make_case(structure, 20, D, 3, seed=seed)[2]
        of_ours.append(prior.log_density(parameters))
        of_books.append(log_density(structure, scale, parameters))
    assert_allclose(np.diff(of_ours), np.diff(of_books), rtol=1e-11)


def test_the_log_density_of_covariances_is_0_at_its_mode_and_less_elsewhere(
    make_case, structure, scale
):
    prior = prior_of(structure, scale, 0.0, 0.0)
    parameters = make_case(structure, 20, D, 2)[2]
    shape = np.shape(parameters.covariances)
    mode = np.broadcast_to(prior.covariance, shape)
    weights, means = parameters.weights, parameters.means
    there = Parameters.from_covariances(structure, weights, means, mode)
    assert_allclose(prior.log_density(there), 0.0, atol=1e-13)
    for factor in (0.9, 1.1):
        near = Parameters.from_covariances(structure, weights, means, factor * mode)
        assert prior.log_density(near) < -1e-3


def test_what_is_taken_out_is_what_was_put_in(make_case, structure, scale):
    prior = prior_of(structure, scale, 0.0, 0.0)
    parameters = make_case(structure, 20, D, 2)[2]
    mass = parameters.structure.mass(np.array([0.5, 40.0]))
    both = prior.shrunk(parameters.covariances, mass)
    assert_allclose(prior.taken_out(both, mass), parameters.covariances, rtol=1e-12, atol=1e-14)


def test_without_rows_of_its_own_a_covariance_is_the_prior_s(make_case, structure, scale):
    prior = prior_of(structure, scale, 0.0, 0.0)
    covariances = make_case(structure, 20, D, 2)[2].covariances
    found = prior.shrunk(covariances, prior_mass(structure, np.zeros(2)))
    expected = np.broadcast_to(prior.covariance, found.shape)
    assert_allclose(found, expected, rtol=1e-14)
    assert_array_equal(prior.taken_out(found, prior_mass(structure, np.zeros(2))), found)


def prior_mass(structure, weight):
    return STRUCTURES[structure].mass(weight)


def test_weights_of_another_unit_and_another_origin_change_nothing(make_case, structure, scale):
    rows, row_weights, parameters = make_case(structure, 60, D, 2)
    prior = prior_of(structure, scale)
    rule = Maximisation(family(naive.COVARIANCE_TYPES[structure]), 0.0, prior)
    here = naive.statistics(rows, row_weights, parameters)
    origin = np.array([10.0, -20.0, 30.0])
    there = replace(parameters, means=parameters.means - origin)
    far = naive.statistics(rows - origin, 0.01 * row_weights, there)
    expected, other = rule.estimate(here, parameters), rule.on(0.01, origin)
    found = other.estimate(far, there)
    assert_allclose(found.means + origin, expected.means, rtol=1e-12, atol=1e-12)
    assert_allclose(found.weights, expected.weights, rtol=1e-12)
    assert_allclose(found.covariances, expected.covariances, rtol=1e-11, atol=1e-12)
    log_prior = rule.log_prior(parameters, here.row_weight)
    assert_allclose(other.log_prior(there, far.row_weight), log_prior, rtol=1e-12)


def test_several_side_by_side_are_each_alone(make_case, structure, scale):
    own = [prior_of(structure, factor * scale, 0.0, 0.0) for factor in (1.0, 3.0)]
    priors = side_by_side([own[0], None, own[1]])
    covariances = np.stack(
        [make_case(structure, 20, D, 2, seed=s)[2].covariances for s in (0, 1, 2)]
    )
    mass = STRUCTURES[structure].mass(np.array([[0.5, 1.0, 2.0], [40.0, 30.0, 20.0]]))
    # components first, then candidates
    if STRUCTURES[structure].is_shared:
        found = priors.shrunk(covariances[None], mass[None])[0]
    else:
        found = priors.shrunk(covariances.swapaxes(0, 1), mass).swapaxes(0, 1)
    for c, prior in enumerate([own[0], None, own[1]]):
        alone = covariances[c] if prior is None else prior.shrunk(covariances[c], mass[..., c])
        assert_allclose(found[c], alone, rtol=1e-14)
    assert side_by_side([None, None]) is None
    assert_array_equal(priors.of([2, 0]).rows, [own[1].rows, own[0].rows])
