"""Parameters: factors, their inverses, and draws."""

from __future__ import annotations

import pickle

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture import factorisation, sampling
from fastgmm.mixture.factorisation import invert_lower
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel import blas

ARRAYS = ("weights", "means", "covariances", "precisions_cholesky")
NOT_POSITIVE = [0.0, -1.0, np.nan, np.inf]


def identity(structure, n_components, n_features):
    """Covariances that are the identity, in the structure's shape and writable."""
    unit = naive.Mixture("full", None, None, np.stack([np.eye(n_features)] * n_components))
    covariances = naive.in_shape_of(structure, unit.covariances)
    scale = {"spherical": n_features, "tied": n_components}.get(structure, 1)
    return covariances / scale


def log_densities_by_factors(rows, parameters):
    """Log-densities of each component, read from `precisions_cholesky` alone."""
    found = np.empty((len(rows), parameters.n_components))
    for k in range(parameters.n_components):
        factors = parameters.precisions_cholesky
        factor = factors if parameters.structure == "tied" else factors[k]
        if parameters.structure in ("spherical", "diagonal"):
            factor = np.diag(np.broadcast_to(factor, parameters.n_features))
        z = (rows - parameters.means[k]) @ factor
        log_scale = np.log(np.diag(factor)).sum() - 0.5 * len(factor) * np.log(2 * np.pi)
        found[:, k] = np.log(parameters.weights[k]) + log_scale - 0.5 * (z * z).sum(axis=1)
    return found


def test_factors_give_the_densities_of_the_naive_twin(case):
    rows, _, parameters = case
    expected = naive.log_densities(rows, *naive.mixture_fields(parameters))
    assert_allclose(log_densities_by_factors(rows, parameters), expected, rtol=1e-12, atol=1e-12)


def test_factors_have_scikit_learn_s_shape_and_orientation(case):
    start = case.parameters
    theirs = GaussianMixture(
        start.n_components,
        covariance_type=naive.COVARIANCE_TYPES[start.structure],
        precisions_init=start.precisions,
        means_init=start.means,
        weights_init=start.weights,
        max_iter=2,
        tol=1e9,
    ).fit(case.rows)
    ours = Parameters.from_covariances(
        start.structure, theirs.weights_, theirs.means_, theirs.covariances_
    )
    assert_allclose(ours.precisions_cholesky, theirs.precisions_cholesky_, rtol=1e-12, atol=1e-13)
    assert_allclose(ours.precisions, theirs.precisions_, rtol=1e-12, atol=1e-13)


def test_precisions_lead_back_to_the_same_parameters(case):
    parameters = case.parameters
    found = Parameters.from_precisions(
        parameters.structure, parameters.weights, parameters.means, parameters.precisions
    )
    for name in ARRAYS:
        assert_allclose(getattr(found, name), getattr(parameters, name), rtol=1e-11, atol=1e-12)
    if parameters.structure in ("tied", "full"):
        assert_array_equal(found.covariances, found.covariances.swapaxes(-1, -2))
        assert_array_equal(np.tril(found.precisions_cholesky, -1), 0.0)


def test_factors_of_an_ill_conditioned_covariance_keep_their_digits():
    scales = np.array([1.0, 1e-5, 1e5])
    correlations = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]])
    covariances = (correlations * np.outer(scales, scales))[None]
    factors = Parameters.from_covariances("full", [1.0], np.zeros((1, 3)), covariances)
    expected = np.linalg.inv(np.linalg.cholesky(correlations)).T / scales[:, None]
    assert_allclose(factors.precisions_cholesky[0], expected, rtol=1e-13)


@pytest.mark.parametrize("make", [Parameters.from_covariances, Parameters.from_precisions])
@pytest.mark.parametrize("bad", NOT_POSITIVE)
def test_a_matrix_that_is_not_positive_definite_is_named_by_its_component(make, bad, structure):
    matrices = identity(structure, 3, 2)
    component = None if structure == "tied" else 1
    matrices[(0, 0) if structure == "tied" else (1,) + (0,) * (matrices.ndim - 1)] = bad
    with pytest.raises(DegenerateCovarianceError, match="ill-defined empirical covariance") as info:
        make(structure, np.full(3, 1 / 3), np.zeros((3, 2)), matrices)
    assert info.value.component == component


def test_an_indefinite_matrix_with_a_positive_diagonal_is_refused():
    matrices = np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]])
    with pytest.raises(DegenerateCovarianceError) as info:
        Parameters.from_covariances("full", [0.5, 0.5], np.zeros((2, 2)), matrices)
    assert info.value.component == 1


@pytest.mark.parametrize("n_samples", [1, 2, 500])
def test_samples_are_scikit_learn_s_draws(case, n_samples):
    ours = case.parameters
    theirs = GaussianMixture(
        ours.n_components, covariance_type=naive.COVARIANCE_TYPES[ours.structure], random_state=5
    )
    theirs.weights_, theirs.means_ = ours.weights, ours.means
    theirs.covariances_, theirs.precisions_cholesky_ = ours.covariances, ours.precisions_cholesky
    expected_rows, expected_labels = theirs.sample(n_samples)
    rows, labels = sampling.sample(ours, n_samples, np.random.RandomState(5))
    assert_array_equal(rows, expected_rows)
    assert_array_equal(labels, expected_labels)
    assert labels.dtype == np.int64


def test_weights_rounded_to_float32_can_be_sampled():
    weights = np.full(7, 1 / 7, dtype=np.float32) * np.float32(1 + 1e-6)
    parameters = Parameters.from_covariances("spherical", weights, np.zeros((7, 1)), np.ones(7))
    assert parameters.weights.sum() > 1.0 + 1e-7
    rows, labels = sampling.sample(parameters, 100, np.random.RandomState(0))
    assert rows.shape == (100, 1)
    assert labels.shape == (100,)


def test_arrays_are_read_only_float64_even_after_pickling(structure):
    covariances = identity(structure, 2, 3).astype(np.float32)
    made = Parameters.from_covariances(structure, [0.5, 0.5], np.zeros((2, 3)), covariances)
    for parameters in (made, pickle.loads(pickle.dumps(made))):
        assert (parameters.n_components, parameters.n_features) == (2, 3)
        for name in ARRAYS:
            array = getattr(parameters, name)
            assert array.dtype == np.float64
            assert_array_equal(array, getattr(made, name))
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0


def many_covariances(n_components, n_features):
    roots = np.random.default_rng(0).normal(size=(n_components, n_features, 2 * n_features))
    return np.einsum("kia,kja->kij", roots, roots) / n_features


def test_factors_of_many_large_matrices_are_made_in_threads_to_the_same_bits():
    covariances, means = many_covariances(24, 64), np.zeros((24, 64))
    assert len(covariances) * 64**3 / 3 > blas.PARALLEL_OPERATIONS
    with threadpool_limits(1, user_api="blas"):
        alone = Parameters.from_covariances("full", np.full(24, 1 / 24), means, covariances)
    with threadpool_limits(3, user_api="blas"):
        shared = Parameters.from_covariances("full", np.full(24, 1 / 24), means, covariances)
    assert_array_equal(alone.precisions_cholesky, shared.precisions_cholesky)
    product = shared.precisions @ covariances
    assert_allclose(product, np.broadcast_to(np.eye(64), product.shape), atol=1e-11)


def test_of_several_components_that_fail_in_threads_the_first_is_named():
    covariances = many_covariances(24, 64)
    covariances[[5, 11, 23], 3, 3] = -1.0
    with (
        threadpool_limits(3, user_api="blas"),
        pytest.raises(DegenerateCovarianceError) as info,
    ):
        Parameters.from_covariances("full", np.full(24, 1 / 24), np.zeros((24, 64)), covariances)
    assert (info.value.component, info.value.feature) == (5, 3)


def test_only_a_matrix_in_fortran_s_order_is_inverted_in_place():
    lower = np.tril(np.arange(1.0, 10.0).reshape(3, 3))
    with pytest.raises(ValueError, match="Fortran's order"):
        invert_lower(lower)
    inverse = np.asfortranarray(lower)
    invert_lower(inverse)
    assert_allclose(inverse @ lower, np.eye(3), atol=1e-15)


def test_factors_are_the_same_bits_whatever_blas_may_use():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(1, 200, 400))
    covariances = np.einsum("kia,kja->kij", roots, roots)
    made = []
    for limit in (1, 2):
        with threadpool_limits(limit, user_api="blas"):
            p = Parameters.from_covariances("full", [1.0], np.zeros((1, 200)), covariances)
            q = Parameters.from_precisions("full", [1.0], np.zeros((1, 200)), covariances)
        made.append((p.precisions_cholesky, p.precisions, q.covariances))
    for one, two in zip(*made, strict=True):
        assert_array_equal(one, two)


@pytest.mark.parametrize("n_features", [1, 2, 5, 10, 17, 64, 130])
def test_factors_that_are_checked_together_are_those_of_each(n_features):
    covariances = many_covariances(3, n_features)
    each = factorisation.of_each(factorisation.inverse_factor, covariances)
    assert_array_equal(factorisation.inverse_factors(covariances), each)
    assert_array_equal(factorisation.inverse_factors(covariances[1]), each[1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-320])
@pytest.mark.parametrize("at", [(0, 0), (1, 1), (2, 2), (2, 0)])
def test_the_first_that_fails_is_named_whatever_is_wrong(wrong, at):
    covariances = many_covariances(4, 3)
    covariances[2, *at] = covariances[2, *at[::-1]] = wrong
    covariances[3, 0, 0] = -1.0
    if at != (2, 0) or not np.isfinite(wrong):
        with pytest.raises(DegenerateCovarianceError) as info:
            factorisation.inverse_factors(covariances)
        assert info.value.component == 2
