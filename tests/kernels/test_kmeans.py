"""The kernels of k-means against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.kernels.kmeans import assign_serial

SHAPES = [(1, 1, 1), (1, 3, 192), (3, 2, 193), (5, 9, 191), (13, 17, 1000), (32, 8, 2)]


@pytest.fixture(params=SHAPES, ids=str)
def rows_and_centres(request, rng):
    n_features, n_centres, n_rows = request.param
    return rng.normal(size=(n_rows, n_features)), rng.normal(size=(n_centres, n_features))


def naive_distances(rows, centres):
    gaps = rows.astype(np.longdouble)[None] - centres[:, None]
    return (gaps**2).sum(axis=2)


def test_assignment_agrees_with_its_definition(rng, rows_and_centres):
    rows, centres = rows_and_centres
    weights = rng.choice([0.0, 0.5, 2.0], size=len(rows))
    labels = np.empty(len(rows), np.int64)
    mass, sums = np.zeros((1, len(centres))), np.zeros((1, *centres.shape))
    assign_serial(rows, weights, centres, len(rows), labels, mass, sums)
    distances = naive_distances(rows, centres)
    assert_array_equal(labels, distances.argmin(axis=0))
    members = (labels == np.arange(len(centres))[:, None]) * weights  # (K, n)
    tolerance = len(rows) * np.finfo(float).eps
    assert_allclose(mass[0], members.sum(axis=1), rtol=tolerance)
    absolute = np.max(members @ np.abs(rows), initial=0.0)
    assert_allclose(sums[0], members @ rows, atol=tolerance * absolute)


def test_the_first_of_equal_centres_is_chosen(rng):
    rows = rng.normal(size=(400, 2))
    centres = np.zeros((3, 2))
    labels = np.empty(400, np.int64)
    mass = np.zeros((1, 3))
    assign_serial(rows, np.ones(400), centres, 400, labels, mass, np.zeros((1, 3, 2)))
    assert_array_equal(labels, 0)
    assert_array_equal(mass, [[400.0, 0.0, 0.0]])
