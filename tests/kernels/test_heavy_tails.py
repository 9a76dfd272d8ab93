"""Densities and sums of t-distributions and of noise, in every structure, beside plain NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal, multivariate_t

from fastgmm import passes
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import open_source, with_weights

STRUCTURES = ("spherical", "diagonal", "tied", "full")
ONE = "full"  # structure of tests of what all share
# Terms of a log density: distances of 7 features and their logarithms; sums of 3000 rows
TOLERANCE = {np.float64: 1e-13, np.float32: 3e-6}


def mixture_of(structure, n_components, n_features, rng):
    """A mixture, and its covariance matrices."""
    factors = rng.normal(size=(n_components, n_features, n_features))
    full = factors @ factors.swapaxes(1, 2) + np.eye(n_features)
    covariances = {
        "full": full,
        "tied": full[0],
        "diagonal": np.einsum("kii->ki", full),
        "spherical": full[:, 0, 0],
    }[structure]
    weights = rng.dirichlet(np.full(n_components, 5.0))
    means = rng.normal(size=(n_components, n_features))
    found = Parameters.from_covariances(structure, weights, means, covariances)
    return found, found.matrices


def log_parts(rows, mixture, matrices, degrees):
    """The log density of every component, times its weight, by SciPy, (n, K)."""
    found = []
    for k, v in enumerate(degrees):
        at = mixture.means[k], matrices[k]
        law = multivariate_t(*at, v) if np.isfinite(v) else multivariate_normal(*at)
        found.append(np.log(mixture.weights[k]) + np.reshape(law.logpdf(rows), len(rows)))
    return np.array(found).T


def distances_of(rows, mixture, matrices):
    gaps = rows[:, None] - mixture.means
    return np.einsum("nki,kij,nkj->nk", gaps, np.linalg.inv(matrices), gaps)


def sums_of(rows, weights, mixture):
    """First and second moments about the means, in the structure's shape."""
    gaps = rows[:, None] - mixture.means
    first = np.einsum("nk,nki->ki", weights, gaps)
    second = np.einsum("nk,nki,nkj->kij", weights, gaps, gaps)
    kept = {
        "full": second,
        "tied": second.sum(axis=0),
        "diagonal": np.einsum("kii->ki", second),
        "spherical": np.einsum("kii->k", second),
    }
    return first, kept[mixture.structure]


def assert_near(found, expected, dtype):
    """Near, as seen from the largest of them: sums of other signs cancel."""
    assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("n_components", "n_features"), [(3, 2), (9, 7)])
def test_a_pass_of_t_distributions_is_that_of_numpy(
    structure, n_components, n_features, dtype, rng
):
    mixture, matrices = mixture_of(structure, n_components, n_features, rng)
    degrees = np.append(rng.uniform(1.0, 20.0, n_components - 1), np.inf)
    rows = (2.0 * rng.normal(size=(1000, n_features))).astype(dtype)
    weights = rng.choice([0.0, 0.5, 1.0, 3.0], size=len(rows))
    parts = log_parts(rows.astype(float), mixture, matrices, degrees)
    densities = np.logaddexp.reduce(parts, axis=1)
    shares = np.exp(parts - densities[:, None]) * weights[:, None]
    distances, finite = distances_of(rows.astype(float), mixture, matrices), np.isfinite(degrees)
    known = np.where(finite, degrees, 1.0)
    lengths = np.where(finite, np.log1p(distances / known), distances)
    squares = np.where(finite, (known / (known + distances)) ** 2, distances**2)
    scaled = shares * np.where(finite, (known + n_features) / (known + distances), 1.0)

    tailed = Tailed.of(mixture, degrees)
    source = open_source(rows)
    assert_near(passes.log_likelihoods(source, tailed), densities, dtype)
    (found,) = passes.statistics(with_weights(source, weights), [tailed])
    expected = [shares.sum(axis=0), (shares * lengths).sum(axis=0), (shares * squares).sum(axis=0)]
    assert_near(found.extra, np.array(expected).T, dtype)
    assert_near(found.weight, scaled.sum(axis=0), dtype)
    first, second = sums_of(rows.astype(float), scaled, mixture)
    assert_near(found.first, first, dtype)
    assert_near(found.second, second, dtype)
    assert found.log_likelihood == pytest.approx(weights @ densities, rel=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_pass_with_noise_is_that_of_numpy(structure, dtype, rng):
    mixture, matrices = mixture_of(structure, 3, 2, rng)
    rows = (3.0 * rng.normal(size=(1000, 2))).astype(dtype)
    noisy = WithNoise.of(mixture, noise_weight=0.1, log_volume=7.0)
    parts = log_parts(rows.astype(float), mixture, matrices, np.full(3, np.inf)) + np.log(0.9)
    parts = np.column_stack([parts, np.full(len(rows), np.log(0.1) - 7.0)])
    densities = np.logaddexp.reduce(parts, axis=1)
    shares = np.exp(parts - densities[:, None])
    source = open_source(rows)
    (found,) = passes.statistics(source, [noisy])
    assert_near(found.extra, shares[:, -1:].sum(axis=0), dtype)
    assert_near(found.weight, shares[:, :-1].sum(axis=0), dtype)
    assert_near(found.second, sums_of(rows.astype(float), shares[:, :-1], mixture)[1], dtype)
    assert found.log_likelihood == pytest.approx(densities.sum(), rel=TOLERANCE[dtype])
    assert_near(passes.responsibilities(source, noisy), shares, dtype)
    labels = shares.argmax(axis=1)
    assert np.mean(passes.labels(source, noisy) == np.where(labels == 3, -1, labels)) > 0.998


@pytest.mark.parametrize("exponent", [2, 4, 6, 8, 10, 12])
def test_no_digit_is_lost_where_degrees_of_freedom_are_many(exponent, rng):
    # beside the first two terms of the series in 1 / v about the normal density
    mixture, matrices = mixture_of(ONE, 1, 3, rng)
    rows, v, d = rng.normal(size=(500, 3)), 10.0**exponent, 3
    distances = distances_of(rows, mixture, matrices)[:, 0]
    normal = multivariate_normal(mixture.means[0], matrices[0]).logpdf(rows)
    term = (distances**2 - 2.0 * d * distances + d * (d - 2.0)) / (4.0 * v)
    found = passes.log_likelihoods(open_source(rows), Tailed.of(mixture, v))
    # the next term is a cube of distances; and a rounding of the density
    left = (distances.max() + d) ** 3 / v**2
    assert_allclose(found, normal + term, rtol=0, atol=left + 4e-15 * np.abs(normal).max())


def test_threads_change_no_bit(rng):
    mixture, _ = mixture_of(ONE, 3, 4, rng)
    source = open_source(rng.standard_t(3, size=(60_000, 4)))
    tailed, noisy = Tailed.of(mixture, [2.0, 5.0, np.inf]), WithNoise.of(mixture, 0.1, 9.0)
    before, found = numba.get_num_threads(), []
    try:
        for n_threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS + 1)):
            numba.set_num_threads(n_threads)
            found.append([passes.statistics(source, [each])[0] for each in (tailed, noisy)])
    finally:
        numba.set_num_threads(before)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            for name in ("weight", "first", "second", "extra"):
                assert_array_equal(getattr(one, name), getattr(other, name))
            assert one.log_likelihood == other.log_likelihood
