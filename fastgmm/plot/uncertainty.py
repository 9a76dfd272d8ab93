"""Rows that may belong to more than one component, by how uncertain that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm import passes
from fastgmm.errors import require
from fastgmm.estimators.base import Mixture
from fastgmm.mixture.marginal import marginal
from fastgmm.plot.axes import (
    Feature,
    legend,
    name_axes,
    name_both,
    new_axes,
    outside_lines,
    pair_of,
)
from fastgmm.plot.colours import INK, PALE, point_size
from fastgmm.plot.components import empty_lines, only, shown
from fastgmm.plot.ellipses import corners, draw_ellipses
from fastgmm.plot.rows import outside, reach, sample, source_of
from fastgmm.sources import open_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CERTAIN = 0.01  # a row that belongs elsewhere by less is drawn as background
LARGE = 22.0  # area by which a point may be larger than those of rows that are certain


def uncertainty(
    model: Mixture,
    data: Any,
    ax: Axes | None = None,
    *,
    features: tuple[Feature, Feature] = (0, 1),
    max_rows: int = 10_000,
) -> Axes:
    """Draw rows by how much of them belongs to other components than their likeliest one.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model of two features or more.
    data : array-like, table, path or source
        Whatever `model.predict` takes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it. A scale of colours takes some of their room.
    features : pair of int or str
        The features across and up.
    max_rows : int
        Of more rows, a random sample of this many is drawn, the same one every time.

    Returns
    -------
    matplotlib.axes.Axes
        The darker and larger a point, the lower its largest responsibility. Rows that belong to
        others by less than 1 % are pale. The ellipses lie at one standard deviation.
    """
    parameters = model._parameters()
    pair = pair_of(model, features, "uncertainty")
    rows = sample(source_of(model, data), max_rows)
    doubt = 1.0 - passes.responsibilities(open_source(rows), parameters).max(axis=1)
    most = 1.0 - 1.0 / max(len(parameters.weights), 2)  # where all components are as likely
    order = np.argsort(doubt, kind="stable")  # the doubtful on top
    rows, doubt = rows[order], doubt[order]
    across, up = rows[:, pair].T
    doubtful = doubt >= CERTAIN
    numbers, small = shown(model), point_size(len(rows))
    mixture = only(marginal(parameters, pair), numbers)
    ends = reach(rows[:, pair], corners(mixture, 1))
    ax = ax or new_axes()
    ax.scatter(across[~doubtful], up[~doubtful], s=small, c=PALE, linewidths=0, rasterized=True)
    points = ax.scatter(
        across[doubtful],
        up[doubtful],
        s=small + LARGE * doubt[doubtful] / most,
        c=doubt[doubtful],
        cmap=_dark_where_high(),
        vmin=0.0,
        vmax=most,
        linewidths=0,
        rasterized=True,
    )
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1])
    draw_ellipses(mixture, [INK] * len(numbers), ax, [1], 1.2)
    scale = ax.figure.colorbar(points, ax=ax)
    name_axes(scale.ax, "", "1 – largest responsibility")
    if notes := empty_lines(model, numbers) + outside_lines(outside(rows[:, pair], ends)):
        legend(ax, handles=notes)
    name_both(model, pair, ax)
    return ax


def _dark_where_high() -> Any:
    """Colours from light to dark that begin darker than the pale rows."""
    matplotlib = require("matplotlib", "plot")
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.25, 1.0, 256))
    return require("matplotlib.colors", "plot").ListedColormap(shades, name="doubt")
