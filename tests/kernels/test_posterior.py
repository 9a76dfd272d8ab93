"""The posterior of sums, by the definitions in extended precision."""

from __future__ import annotations

from itertools import permutations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import betaln

from fastgmm.mixture.posterior import Hyperparameters
from fastgmm.mixture.structure import STRUCTURES


def naive_posterior(prior, rows, shares, reg_covar):
    """Means and covariances of rows that belong to components by shares, row by row."""
    rows, shares = naive.exact(rows), naive.exact(shares)
    weight, d = shares.sum(axis=0), rows.shape[1]
    share = np.where(weight > 0, weight / (prior.mean_precision + weight), 0)
    own = shares.T @ rows / np.where(weight > 0, weight, 1)[:, None]
    means = prior.mean + share[:, None] * (own - prior.mean)
    sums = []
    for k in range(len(weight)):
        away, step = rows - own[k], own[k] - prior.mean
        each = (shares[:, k, None] * away).T @ away
        each += prior.mean_precision * share[k] * np.outer(step, step)
        sums.append(each + weight[k] * reg_covar * np.eye(d))
    is_shared = prior.is_common or prior.structure.is_shared
    if is_shared:
        sums, weight = [sum(sums)] * len(weight), np.full(len(weight), weight.sum())
    kept = [np.asarray(prior.structure.narrowed(each)) for each in sums]
    covariances = np.array(
        [
            (prior.covariance + each) / (prior.degrees_of_freedom + n)
            for each, n in zip(kept, weight, strict=True)
        ]
    )
    return means, covariances[0] if prior.structure.is_shared else covariances


@pytest.mark.parametrize("is_process", [False, True])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (1, 4), (5, 1), (5, 4)])
def test_sums_about_any_origin_make_the_posterior_of_the_rows(
    rng, structure, is_process, n_components, n_features
):
    kind = STRUCTURES[structure]
    matrix = np.cov(rng.normal(size=(n_features, 9))).reshape(n_features, n_features)
    rows = rng.normal(size=(60, n_features)) + 2.0
    shares = rng.dirichlet(np.arange(n_components, 0, -1.0), size=60)
    shares = shares[:, np.argsort(-shares.sum(axis=0))]
    shares[:, n_components - 1] *= n_components == 1  # the last holds no rows, if there are others
    origin = rng.normal(size=(n_components, n_features))
    away = rows[:, None] - origin
    products = np.einsum("ik,ika,ikb->kab", shares, away, away)
    first, squares = np.einsum("ik,ika->ka", shares, away), np.einsum("kaa->ka", products)
    second = {
        "full": products,
        "tied": products.sum(axis=0),
        "diagonal": squares,
        "spherical": squares.sum(axis=1),
    }[structure]
    for is_common in (False, True)[: 1 + kind.is_axis_parallel]:
        prior = Hyperparameters(
            kind, 0.3, is_process, 0.7, rng.normal(size=n_features), n_features + 0.5,
            np.array(kind.narrowed(matrix)), is_common,
        )  # fmt: skip
        found = prior.posterior(shares.sum(axis=0), first, second, origin, 0.1)
        means, covariances = naive_posterior(prior, rows, shares, 0.1)
        assert_allclose(found.means, means.astype(float), rtol=1e-13, atol=1e-14)
        expected = covariances.astype(float)
        rounding = 1e-14 * np.abs(expected).max()
        assert_allclose(found.covariances, expected, rtol=1e-12, atol=rounding)


def test_sticks_come_in_the_best_of_all_orders(rng):
    for _ in range(20):
        weight, nothing = rng.gamma(0.3, 20.0, size=5), np.zeros((5, 1))
        prior = Hyperparameters(
            STRUCTURES["spherical"], 0.2, True, 1.0, np.zeros(1), 1.0, np.ones(())
        )
        found = prior.posterior(weight, nothing, weight, nothing)
        bounds = {
            order: betaln(*naive.sticks(weight[list(order)], 0.2)).sum()
            for order in permutations(range(5))
        }
        best = list(max(bounds, key=bounds.get))
        assert_allclose(found.mean_precision, 1.0 + weight[best], rtol=1e-15)
