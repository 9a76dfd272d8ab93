"""Ellipses keep their digits, and numbers do not lie on each other."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text
from numpy.testing import assert_allclose

from fastgmm import plot
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.plot.ellipses import BADGE, shape_of


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_an_ellipse_keeps_its_area_however_unlike_the_features_are(scale):
    shape = shape_of(np.array([[4.0, 0.6 * scale], [0.6 * scale, scale**2]]))
    # area by the determinant, (4 - 0.36) scale**2: relative to rounding, where a difference of
    # eigenvalues would lose all digits at 1e9
    assert_allclose(shape.longer * shape.shorter, np.sqrt(3.64) * scale, rtol=1e-14)
    assert_allclose(np.hypot(shape.longer, shape.shorter), np.hypot(2.0, scale), rtol=1e-14)


def test_numbers_of_components_in_one_place_are_moved_apart(ax):
    means = np.vstack([np.zeros((6, 2)), np.random.default_rng(0).normal(size=(6, 2))])
    model = GaussianMixture.from_parameters(np.full(12, 1 / 12), means, [np.eye(2)] * 12)
    plot.clusters(model, means, ax)
    ax.figure.canvas.draw()
    middles = [Text.get_window_extent(text).get_points().mean(axis=0) for text in ax.texts]
    middles = np.array(middles) * 72.0 / ax.figure.dpi
    distances = np.hypot(*(middles[:, None] - middles[None]).T)[np.triu_indices(12, k=1)]
    assert len(middles) == 12
    assert distances.min() > 0.9 * BADGE  # text stands on whole pixels
    assert sum(text.arrow_patch is not None for text in ax.texts) >= 5


def test_numbers_with_room_stay_at_the_means(model, rows, ax):
    plot.clusters(model, rows, ax)
    assert all(text.arrow_patch is None for text in ax.texts)
    assert_allclose([text.xy for text in ax.texts], model.means_[:, :2])
