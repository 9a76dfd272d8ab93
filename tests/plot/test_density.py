"""Contours hold the shares that they say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.contour import ContourSet
from numpy.testing import assert_allclose
from scipy.stats import chi2

from fastgmm import plot
from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture

SHARES = [0.99, 0.9, 0.5]


def contours(ax):
    return [each for each in ax.collections if isinstance(each, ContourSet)]


def test_contours_of_one_gaussian_are_its_quantiles(ax, legend):
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    model = GaussianMixture.from_parameters([1.0], [[1.0, -2.0]], [covariance])
    plot.density(model, ax=ax)
    assert len(contours(ax)) == 3
    for contour, share in zip(contours(ax), SHARES, strict=True):
        (path,) = contour.get_paths()
        away = path.vertices - [1.0, -2.0]
        squares = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
        # 20 000 rows were drawn: the share is right to three times sqrt(share (1 - share) / 20 000)
        within = 3.0 * np.sqrt(share * (1.0 - share) / 20_000) + 0.001
        assert_allclose(chi2.cdf(squares, 2), share, atol=within)
    assert legend(ax) == ["50% of the mixture", "90% of the mixture", "99% of the mixture"]


def test_all_rows_are_counted(model, rows, ax):
    plot.density(model, rows, ax, features=(2, 0))
    (image,) = ax.images
    left, right, low, high = image.get_extent()
    inside = (rows[:, 2] >= left) & (rows[:, 2] < right) & (rows[:, 0] >= low) & (rows[:, 0] < high)
    assert image.get_array().sum() == inside.sum()
    assert inside.mean() > 0.995
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 2", "feature 0")
    assert_allclose([ax.get_xlim(), ax.get_ylim()], [(left, right), (low, high)])


def test_a_small_component_does_not_slip_through_the_grid(ax):
    covariances = [np.eye(2), np.eye(2) * 1e-8]
    model = GaussianMixture.from_parameters([0.9, 0.1], [[0.0, 0.0], [2.0, 2.0]], covariances)
    plot.density(model, ax=ax)
    near = [
        np.abs(path.vertices - 2.0).max(axis=1).min()
        for contour in contours(ax)
        for path in contour.get_paths()
    ]
    assert min(near) < 0.01  # lines of the even grid are 0.05 apart


def test_a_thin_component_that_lies_aslant_is_one_region(ax):
    thin = np.array([[4.0, 3.9999999], [3.9999999, 4.0]])
    plot.density(GaussianMixture.from_parameters([1.0], [[3.0, 1.0]], [thin]), ax=ax)
    for contour in contours(ax):
        (path,) = contour.get_paths()
        longest = max(np.ptp(polygon[:, 0]) for polygon in path.to_polygons())
        assert longest > 0.9 * np.ptp(path.vertices[:, 0])  # else dots, but for those at its tips


def test_cells_of_few_rows_are_large_enough_to_see(model, rows, ax):
    assert plot.density(model, rows[:100], ax).images[0].get_array().shape == (20, 20)
    many = np.tile(rows, (10, 1))
    assert plot.density(model, many).images[0].get_array().shape == (150, 150)


def test_the_legend_has_room_of_its_own_where_no_corner_is_empty(ax):
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    model = GaussianMixture.from_parameters([0.25] * 4, corners, [2.0 * np.eye(2)] * 4)
    plot.density(model, ax=ax)
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent().transformed(ax.transData.inverted())
    highest = max(path.vertices[:, 1].max() for c in contours(ax) for path in c.get_paths())
    assert box.y0 > highest
    small = plt.figure(figsize=(2.5, 2.0)).subplots()
    assert plot.density(model, ax=small).get_ylim()[1] < highest + 5.0  # no legend, no room


def test_it_draws_on_the_axes_it_is_given_or_on_new_ones(model, rows, ax):
    assert plot.density(model, rows, ax) is ax
    assert plot.density(model) is not ax


def test_one_feature_has_no_contours(ax):
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(DataError, match="histogram draws one feature"):
        plot.density(model, ax=ax)
