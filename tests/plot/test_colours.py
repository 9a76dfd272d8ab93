"""Colours tell components apart, in grey too."""

from __future__ import annotations

import numpy as np
import pytest

from fastgmm import plot


@pytest.mark.parametrize("n_components", [2, 4, 12])
def test_colours_differ_in_grey_too(n_components):
    lightness = plot.component_colours(n_components) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0.5 / n_components * 0.5).all()


def test_points_are_smaller_where_there_are_more():
    assert plot.point_size(10) > plot.point_size(1_000) > plot.point_size(3_900)
