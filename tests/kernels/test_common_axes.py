"""Turning the axes that components have in common, beside plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.kernels.common_axes import turn_to_minimum
from fastgmm.kernels.simd.vectors import WIDTH


def volumes(own, axes):
    """The objective of each component: its log volume along the axes."""
    return np.log(np.einsum("ja,kji,ia->ka", axes, own, axes)).sum(axis=1)


def objective(own, weights, axes, has_one_volume):
    found = volumes(own, axes)
    return weights @ (np.exp(found / len(axes)) if has_one_volume else found)


def turned(own, weights, axes, has_one_volume, most_sweeps=300):
    axes, found = axes.copy(), np.empty_like(own)
    reached = turn_to_minimum(own, weights, has_one_volume, most_sweeps, axes, found)
    return axes, found, reached


@pytest.fixture(params=[False, True], ids=["own-volumes", "one-volume"])
def has_one_volume(request):
    return request.param


def scatters(rng, n_components, n_features):
    rows = rng.normal(size=(n_components, n_features, 2 * n_features))
    return rows @ rows.swapaxes(1, 2) * rng.uniform(0.1, 10.0, size=(n_components, 1, 1))


def test_two_axes_are_turned_to_the_best_angle(rng, has_one_volume):
    own, weights = scatters(rng, 3, 2), np.array([0.2, 0.3, 0.5])
    found, *_ = turned(own, weights, np.eye(2), has_one_volume)
    angles = np.linspace(0.0, np.pi / 2.0, 2001)
    of_angles = [
        objective(own, weights, np.array([[c, -s], [s, c]]), has_one_volume)
        for c, s in zip(np.cos(angles), np.sin(angles), strict=True)
    ]
    assert objective(own, weights, found, has_one_volume) <= min(of_angles) + 1e-12


@pytest.mark.parametrize("n_features", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("n_components", [1, 4, WIDTH, WIDTH + 1])
def test_axes_stay_orthogonal_and_every_sweep_gains(rng, has_one_volume, n_components, n_features):
    own, weights = scatters(rng, n_components, n_features), rng.dirichlet(np.ones(n_components))
    start = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    before = objective(own, weights, start, has_one_volume)
    for most_sweeps in (0, 1, 2, 5, 300):
        axes, found, reached = turned(own, weights, start, has_one_volume, most_sweeps)
        assert_allclose(axes.T @ axes, np.eye(n_features), atol=1e-13)
        assert reached == pytest.approx(objective(own, weights, axes, has_one_volume), rel=1e-12)
        assert reached <= before + 1e-13 * abs(before)
        before = reached
        variances = np.einsum("ja,kji,ia->ka", axes, own, axes)
        if has_one_volume:
            variances *= reached / np.exp(volumes(own, axes) / n_features)[:, None]
        expected = (axes * variances[:, None]) @ axes.T
        assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())
        assert_array_equal(found, found.swapaxes(1, 2))


def test_axes_that_are_common_are_found(rng, has_one_volume):
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    variances = rng.uniform(0.5, 5.0, size=(3, 6))
    own = (axes * variances[:, None]) @ axes.T
    found, covariances, _ = turned(own, np.full(3, 1 / 3), np.eye(6), has_one_volume)
    off = (found.T @ own @ found)[:, ~np.eye(6, dtype=bool)]
    assert np.abs(off).max() < 1e-7
    assert_allclose(
        np.sort(volumes(own, found)), np.sort(np.log(variances).sum(axis=1)), rtol=1e-12
    )
    if not has_one_volume:
        assert_allclose(covariances, own, atol=1e-7)


def test_a_component_without_weight_has_no_say_and_the_axes(rng, has_one_volume):
    own, weights = scatters(rng, 3, 4), np.array([0.4, 0.0, 0.6])
    alone = turned(own[[0, 2]], weights[[0, 2]], np.eye(4), has_one_volume)
    for nothing in (own[1], np.zeros((4, 4))):
        own[1] = nothing
        axes, found, reached = turned(own, weights, np.eye(4), has_one_volume)
        assert_allclose(axes, alone[0], atol=1e-12)
        assert_allclose(found[[0, 2]], alone[1], atol=1e-12 * own.max())
        assert reached == pytest.approx(alone[2], rel=1e-13)


def test_axes_that_no_turn_makes_better_are_kept(rng, has_one_volume):
    own, weights = scatters(rng, 3, 5), np.full(3, 1 / 3)
    first, *_ = turned(own, weights, np.eye(5), has_one_volume)
    again, _, reached = turned(own, weights, first, has_one_volume)
    assert reached <= objective(own, weights, first, has_one_volume) * (1 + 1e-15)
    assert_allclose(again, first, atol=1e-6)
