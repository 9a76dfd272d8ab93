"""Turning the axes that components have in common, beside plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm.kernels.common_axes import turn_to_minimum


def volumes(own, axes):
    """The objective of each component: its log volume along the axes."""
    return np.log(np.einsum("ja,kji,ia->ka", axes, own, axes)).sum(axis=1)


def objective(own, weights, axes, has_one_volume):
    found = volumes(own, axes)
    return weights @ (np.exp(found / len(axes)) if has_one_volume else found)


def turned(own, weights, axes, has_one_volume, most_sweeps=300):
    axes = axes.copy()
    products = np.ascontiguousarray(np.moveaxis(axes.T @ own @ axes, 0, 2))
    turn_to_minimum(products, weights, has_one_volume, most_sweeps, axes)
    return axes, products


@pytest.fixture(params=[False, True], ids=["own-volumes", "one-volume"])
def has_one_volume(request):
    return request.param


def scatters(rng, n_components, n_features):
    rows = rng.normal(size=(n_components, n_features, 2 * n_features))
    return rows @ rows.swapaxes(1, 2) * rng.uniform(0.1, 10.0, size=(n_components, 1, 1))


def test_two_axes_are_turned_to_the_best_angle(rng, has_one_volume):
    own, weights = scatters(rng, 3, 2), np.array([0.2, 0.3, 0.5])
    found, _ = turned(own, weights, np.eye(2), has_one_volume)
    angles = np.linspace(0.0, np.pi / 2.0, 2001)
    of_angles = [
        objective(own, weights, np.array([[c, -s], [s, c]]), has_one_volume)
        for c, s in zip(np.cos(angles), np.sin(angles), strict=True)
    ]
    assert objective(own, weights, found, has_one_volume) <= min(of_angles) + 1e-12


@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 20])
def test_axes_stay_orthogonal_and_every_sweep_gains(rng, has_one_volume, n_features):
    own, weights = scatters(rng, 4, n_features), np.array([0.1, 0.2, 0.3, 0.4])
    start = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    before = objective(own, weights, start, has_one_volume)
    for most_sweeps in (1, 2, 5, 300):
        axes, products = turned(own, weights, start, has_one_volume, most_sweeps)
        assert_allclose(axes.T @ axes, np.eye(n_features), atol=1e-13)
        expected = np.moveaxis(axes.T @ own @ axes, 0, 2)
        assert_allclose(products, expected, atol=1e-12 * np.abs(own).max())
        reached = objective(own, weights, axes, has_one_volume)
        assert reached <= before + 1e-13 * abs(before)
        before = reached


def test_axes_that_are_common_are_found(rng, has_one_volume):
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    variances = rng.uniform(0.5, 5.0, size=(3, 6))
    own = (axes * variances[:, None]) @ axes.T
    found, products = turned(own, np.full(3, 1 / 3), np.eye(6), has_one_volume)
    off = products[~np.eye(6, dtype=bool)]
    assert np.abs(off).max() < 1e-7
    assert_allclose(
        np.sort(volumes(own, found)), np.sort(np.log(variances).sum(axis=1)), rtol=1e-12
    )
