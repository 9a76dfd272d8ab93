"""Volumes of components of one shape, beside alternating as Celeux and Govaert do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm.kernels.one_shape import share_shape
from fastgmm.kernels.simd.vectors import WIDTH


def problem(rng, n_components, n_features, kind):
    rows = rng.normal(size=(n_components, n_features, 2 * n_features + 2))
    rows *= np.exp(rng.normal(size=(n_components, n_features, 1)))
    own = rows @ rows.swapaxes(1, 2) / (2 * n_features + 2)
    if kind == "variances":
        own = np.einsum("kii->ki", own)[:, None].copy()
    return own, rng.dirichlet(np.full(n_components, 3.0))


def traces(own, shape):
    if shape.shape[0] == 1:
        return (own / shape).sum(axis=(1, 2))
    return np.trace(np.linalg.solve(shape, own), axis1=1, axis2=2)


def alternated(own, parts):
    """The covariances to which a thousand rounds of alternating come."""
    volumes, n_features = np.ones(len(own)), own.shape[2]
    for _ in range(1000):
        shape = np.einsum("k,kij->ij", parts / volumes, own)
        volumes = traces(own, shape) / n_features
    return volumes[:, None, None] * shape


def shared(own, parts, logs=None, enough=1e-12):
    logs = np.zeros(len(own)) if logs is None else logs.copy()
    return share_shape(own, parts, logs, enough)


@pytest.fixture(params=["variances", "matrices"])
def kind(request):
    return request.param


@pytest.mark.parametrize("n_components", [1, 2, 5, WIDTH + 1])
@pytest.mark.parametrize("n_features", [1, 2, 5, WIDTH, WIDTH + 1, 20])
def test_alternating_ends_where_newton_s_steps_do(rng, n_components, n_features, kind):
    own, parts = problem(rng, n_components, n_features, kind)
    expected = alternated(own, parts)
    for logs in (np.zeros(n_components), 3.0 * rng.normal(size=n_components)):
        found = shared(own, parts, logs)
        assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_a_component_without_weight_has_the_shape_and_no_say(rng, kind):
    own, parts = problem(rng, 4, 3, kind)
    parts[2] = 0.0
    parts /= parts.sum()
    alone = shared(own[[0, 1, 3]], parts[[0, 1, 3]])
    found = shared(own, parts)
    assert_allclose(found[[0, 1, 3]], alone, rtol=1e-13)
    ratio = found[2] / alone[0]
    assert_allclose(ratio, ratio[0, 0], rtol=1e-13)


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf])
def test_components_without_a_volume_leave_no_numbers(rng, kind, wrong):
    own, parts = problem(rng, 3, 3, kind)
    own[1] = wrong
    with np.errstate(divide="ignore"):
        logs = -np.log(own[:, 0, 0])
    assert not np.isfinite(shared(own, parts, logs)).all()
