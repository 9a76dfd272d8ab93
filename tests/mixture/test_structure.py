"""Each structure beside the covariance matrices that it stands for."""

from __future__ import annotations

import json
import pickle

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.mixture.structure import STRUCTURES, Structure

N_FREE = {"spherical": 3, "diagonal": 12, "tied": 10, "full": 30}  # of 3 components, 4 features


@pytest.fixture
def parameters(make_case, structure):
    """A mixture of three components in four features."""
    return make_case(structure, 60, 4, 3)[2]


def test_a_name_becomes_the_structure_and_stays_it(parameters, structure):
    assert isinstance(parameters.structure, Structure)
    assert parameters.structure == structure == json.loads(json.dumps(parameters.structure))
    assert isinstance(pickle.loads(pickle.dumps(parameters)).structure, Structure)


def test_shape_and_counts(parameters):
    kind = parameters.structure
    assert kind.shape(3, 4) == parameters.covariances.shape
    assert kind.n_parameters(3, 4) == N_FREE[kind]
    assert kind.is_shared == (kind.shape(3, 4) == kind.shape(7, 4))


def test_variances_and_matrices(parameters):
    expected = naive.full_covariances(parameters)
    assert_array_equal(parameters.matrices, expected.astype(float))
    assert_array_equal(parameters.variances, np.einsum("kii->ki", expected).astype(float))
    some = parameters.structure.of_features(parameters.covariances, [2, 0])
    assert_array_equal(
        parameters.structure.matrices(some, 3, 2), expected[:, [2, 0]][:, :, [2, 0]].astype(float)
    )


def test_the_covariance_within_components(parameters):
    found = parameters.structure.mean(parameters.covariances, parameters.weights)
    expected = np.einsum("k,kij->ij", parameters.weights, naive.full_covariances(parameters))
    assert_allclose(parameters.structure.narrowed(expected), found, rtol=1e-14)


def test_a_scatter_over_its_divisor_is_a_covariance(parameters, rng):
    kind, weights = parameters.structure, rng.uniform(0.5, 2.0, size=(3, 50))
    rows = rng.normal(size=(3, 50, 4))
    scatters = [kind.scatter(*each) for each in zip(rows, weights, strict=True)]
    products = np.einsum("km,kmi,kmj->kij", weights, rows, rows)
    found, weight = kind.joined(scatters), weights.sum(axis=1)
    assert_allclose(found, naive.in_shape_of(kind, products), rtol=1e-13)
    assert (found / kind.divisor(weight, weight.sum(), 4)).shape == kind.shape(3, 4)


def test_volumes_are_those_of_what_is_kept(structure, rng):
    root = rng.normal(size=(4, 4))
    matrix, kind = root @ root.T + np.eye(4), STRUCTURES[structure]
    kept = {
        "spherical": np.trace(matrix) / 4 * np.eye(4),
        "diagonal": np.diag(np.diagonal(matrix)),
    }.get(structure, matrix)
    assert_allclose(kind.log_volume(matrix), np.linalg.slogdet(kept)[1], rtol=1e-13)


def test_densities_and_moments_by_products_of_rows(parameters, rng):
    """A log density is linear in a row's products, and products give the covariances back."""
    kind, rows = parameters.structure, rng.normal(size=(20, 4))
    linear, quadratic, log_volumes = kind.natural(parameters.precisions_cholesky, parameters.means)
    products = kind.row_products(rows.T)
    quadratic = np.broadcast_to(quadratic, (3, len(products)))
    constants = log_volumes - 0.5 * np.einsum("ki,ki->k", parameters.means, linear)
    found = constants[:, None] + linear @ rows.T + quadratic @ products
    centred = rows - parameters.means[:, None]
    inverses = np.linalg.inv(parameters.matrices)
    expected = np.linalg.slogdet(inverses)[1][:, None]
    expected = 0.5 * (expected - np.einsum("kmi,kij,kmj->km", centred, inverses, centred))
    assert_allclose(found, expected, rtol=1e-10)


def test_log_weights_of_empty_components_are_infinite(parameters):
    changed = type(parameters)(
        parameters.structure,
        [0.25, 0.0, 0.75],
        parameters.means,
        parameters.covariances,
        parameters.precisions_cholesky,
    )
    assert_array_equal(changed.log_weights, [np.log(0.25), -np.inf, np.log(0.75)])
    assert not changed.log_weights.flags.writeable
