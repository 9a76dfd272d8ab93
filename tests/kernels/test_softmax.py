"""Responsibilities of many candidates against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from fastgmm.initialisation.short_runs import NO_WEIGHT
from fastgmm.kernels.simd.vectors import WIDTH
from fastgmm.kernels.softmax import normalise

EPS = np.finfo(float).eps


@pytest.mark.parametrize("n_components", [1, 2, 7])
@pytest.mark.parametrize("n_candidates", [1, 3])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_shares_agree_with_their_definition(rng, n_components, n_candidates, spread):
    n_rows = 5 * WIDTH
    densities = rng.normal(-20.0, spread, (n_components, n_candidates * n_rows))
    densities[0, :3] = NO_WEIGHT if n_components > 1 else 0.0
    weights = rng.uniform(0.1, 2.0, n_rows)
    weights[-3:] = 0.0
    exact = densities.astype(np.longdouble)
    top = exact.max(axis=0)
    parts = np.exp(exact - top)
    mass = parts.sum(axis=0)
    expected = parts / mass * np.tile(weights, n_candidates)
    terms = ((np.log(mass) + top) * np.tile(weights, n_candidates)).reshape(n_candidates, -1)

    log_likelihoods = np.full(n_candidates, 3.0)
    normalise(densities, weights, log_likelihoods)
    # a gap is rounded, and moves its exponential; the exponential itself, K sums, two products
    off = (np.minimum(top - exact, 800.0) / 2 + n_components + 4) * EPS * expected
    assert np.all(np.abs(densities - expected) <= off + 1e-305)
    # a sum of n_rows terms, each of a few roundings
    bound = (n_rows + n_components + 6) * EPS * (np.abs(terms).sum(axis=1) + 3.0)
    assert np.all(np.abs(log_likelihoods - 3.0 - terms.sum(axis=1)) <= bound)


def test_a_nan_stays_with_its_row(rng):
    densities = rng.normal(size=(3, WIDTH))
    densities[1, 2] = np.nan
    log_likelihoods = np.zeros(1)
    normalise(densities, np.ones(WIDTH), log_likelihoods)
    assert np.isnan(log_likelihoods[0])
    assert np.isfinite(np.delete(densities, 2, axis=1)).all()
