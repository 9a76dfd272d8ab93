"""The structure of factor analysers, beside the matrices that it does not make."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture import factored
from fastgmm.mixture.marginal import marginal
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import STRUCTURES


@pytest.fixture
def covariances(rng):
    own = rng.uniform(0.5, 2.0, (3, 8, 1))
    return np.concatenate([rng.normal(size=(3, 8, 2)), own], axis=2)


@pytest.fixture
def parameters(rng, covariances):
    means = rng.normal(size=(3, 8))
    return Parameters.from_covariances("factors-2", [0.2, 0.3, 0.5], means, covariances)


def test_there_is_one_structure_for_each_number_of_factors():
    found = STRUCTURES["factors-12"]
    assert found is STRUCTURES["factors-12"]
    assert found != STRUCTURES["factors-1"]
    assert pickle.loads(pickle.dumps(found)) == found
    for word in ("factors-", "factors-0", "factors-x", "factored"):
        with pytest.raises(KeyError):
            STRUCTURES[word]


def test_numbers_are_counted_but_for_rotations():
    assert STRUCTURES["factors-1"].n_numbers(10) == 20
    assert STRUCTURES["factors-3"].n_numbers(10) == 10 * 3 - 3 + 10
    assert STRUCTURES["factors-4"].n_numbers(5) == 15  # as many as a matrix has


def test_matrices_and_variances_are_those_of_loadings(parameters):
    loadings, own = parameters.covariances[..., :-1], parameters.covariances[..., -1]
    for k in range(3):
        whole = loadings[k] @ loadings[k].T + np.diag(own[k])
        assert_allclose(parameters.matrices[k], whole, rtol=1e-13)
        assert_allclose(parameters.variances[k], np.diag(whole), rtol=1e-13)
    some = marginal(parameters, [5, 2])
    assert_allclose(some.matrices, parameters.matrices[:, [5, 2]][:, :, [5, 2]], rtol=1e-13)


def test_precisions_lead_back(parameters):
    precisions = parameters.precisions
    again = Parameters.from_precisions(
        "factors-2", parameters.weights, parameters.means, precisions
    )
    assert_allclose(again.covariances, parameters.covariances, rtol=1e-13)


def test_the_canonical_form_changes_loadings_alone(parameters, rng):
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    turned = np.array(parameters.covariances)
    turned[..., :-1] = turned[..., :-1] @ turn
    one = factored.canonical(parameters.structure, parameters.covariances)
    other = factored.canonical(parameters.structure, turned)
    assert_allclose(one, other, atol=1e-12)
    assert_array_equal(one[..., -1], parameters.covariances[..., -1])
    assert_allclose(parameters.structure.matrices(one, 3, 8), parameters.matrices, atol=1e-12)
    for k in range(3):
        scaled = one[k, :, :-1] / np.sqrt(one[k, :, -1:])
        products = scaled.T @ scaled
        assert abs(products[0, 1]) < 1e-12
        assert products[0, 0] > products[1, 1]
        largest = np.abs(one[k, :, :-1]).argmax(axis=0)
        assert (one[k, largest, [0, 1]] > 0.0).all()


def test_moments_are_moved_as_the_matrix_would_be(parameters, rng):
    rows, shares = rng.normal(size=(50, 8)), rng.uniform(size=(50, 3))
    directions, _ = factored.directions(parameters.precisions_cholesky)

    def sums(origin):
        centred = rows[:, None] - origin
        whole = np.einsum("nk,nki,nkj->kij", shares, centred, centred)
        seen = whole @ directions.swapaxes(1, 2)
        second = np.concatenate([seen, np.einsum("kii->ki", whole)[..., None]], axis=2)
        first = np.einsum("nk,nki->ki", shares, centred)
        weight = shares.sum(axis=0)
        name = parameters.structure
        return SufficientStatistics(
            weight, first, second, 0.0, 50, 50.0, origin, name, directions=directions
        )

    here, there = sums(parameters.means), sums(parameters.means + 1.0)
    moved = here.rebased(there.origin)
    assert_allclose(moved.first, there.first, atol=1e-11)
    assert_allclose(moved.second, there.second, atol=1e-10)
    assert_allclose(sums(here.means).second, here.central, atol=1e-10)
    assert_array_equal((here + here).second, 2.0 * here.second)
    assert_array_equal(here.of([2, 0]).directions, directions[[2, 0]])


def test_moments_along_other_directions_are_not_added(parameters):
    one = SufficientStatistics.zeros("factors-2", parameters.means)
    with pytest.raises(ValueError, match="different directions"):
        one + SufficientStatistics(
            one.weight, one.first, one.second, 0.0, 0, 0.0, one.origin, one.structure,
            directions=np.ones((3, 2, 8)),
        )  # fmt: skip


def test_a_variance_of_nothing_is_refused_with_its_feature(parameters):
    covariances = np.array(parameters.covariances)
    covariances[1, 4, -1] = 0.0
    with pytest.raises(DegenerateCovarianceError) as refused:
        parameters.structure.factors(covariances)
    assert (refused.value.component, refused.value.feature) == (1, 4)
    covariances[1, 4, -1], covariances[2, 0, 0] = 1.0, np.inf
    with pytest.raises(DegenerateCovarianceError) as refused:
        parameters.structure.factors(covariances)
    assert refused.value.component == 2


def test_a_matrix_of_products_is_not_to_be_had():
    with pytest.raises(TypeError, match="no matrix of products"):
        STRUCTURES["factors-2"].scatter(np.ones((3, 2)), np.ones(3))
