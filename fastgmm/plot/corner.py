"""Pairs of features, all at once: a triangle of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm import passes
from fastgmm.errors import DataError, require
from fastgmm.estimators.base import Mixture
from fastgmm.parameters import Parameters
from fastgmm.plot.axes import Feature, line_of, name_of, numbers_of
from fastgmm.plot.colours import component_colours, point_size, soft_colours
from fastgmm.plot.ellipses import corners, draw_ellipses
from fastgmm.plot.histogram import draw_densities
from fastgmm.plot.marginal import marginal
from fastgmm.plot.rows import reach, sample, source_of
from fastgmm.sources import open_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 1.9  # inches of a panel
LONGEST = 18  # characters of a name beside it
MOST_FEATURES = 12  # 66 panels
DEFAULT_FEATURES = 6
MOST_NAMED = 10  # components in the legend
BARS = 40
LARGEST = 9.0  # area of a point


def corner(
    model: Mixture,
    data: Any,
    figure: Any = None,
    *,
    features: Sequence[Feature] | None = None,
    max_rows: int = 3_000,
) -> np.ndarray:
    """Draw every pair of features as `clusters` does, and each feature as `histogram` does.

    Parameters
    ----------
    model : GaussianMixture or AutoGaussianMixture
        A fitted model of two features or more.
    data : array-like, table, path or source
        Whatever `model.predict` takes.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; a new figure without it.
    features : sequence of int or str, optional
        Which ones, at most 12. Without it the first 6, or all if there are not more; a title says
        if some are left out.
    max_rows : int
        Of more rows, a random sample of this many is drawn, the same one every time.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, of shape (len(features), len(features))
        Row i and column j have feature i up and feature j across. Those above the diagonal are
        empty and not seen.
    """
    parameters = model._parameters()
    chosen = _features(model, features)
    rows = sample(source_of(model, data), max_rows)
    colours = soft_colours(passes.responsibilities(open_source(rows), parameters))
    figure = figure or require("matplotlib.pyplot", "plot").figure(
        figsize=(side_of(model, features),) * 2, layout="constrained"
    )
    axes = figure.subplots(len(chosen), len(chosen), squeeze=False)
    size = min(point_size(len(rows)), LARGEST)
    ends = reach(rows[:, chosen], corners(marginal(parameters, chosen)))
    for i, j in np.ndindex(axes.shape):
        ax = axes[i, j]
        if j > i:
            ax.set_visible(False)
        elif i == j:
            _draw_one(marginal(parameters, [chosen[i]]), rows[:, chosen[i]], ends[:, i], ax)
        else:
            pair = [chosen[j], chosen[i]]
            _scatter(rows[:, pair], colours, size, ax)
            _draw_pair(marginal(parameters, pair), ends[:, [j, i]], ax)
        _label(model, chosen, i, j, ax)
    figure.align_labels()
    _draw_legend(figure, len(parameters.weights), len(chosen))
    if features is None and len(chosen) < model.means_.shape[1]:
        figure.suptitle(f"the first {len(chosen)} of {model.means_.shape[1]} features")
    return axes


def side_of(model: Mixture, features: Sequence[Feature] | None) -> float:
    """Inches that a figure of these features takes each way."""
    return SIDE * len(_features(model, features)) + 0.6  # for the names


def _features(model: Mixture, features: Sequence[Feature] | None) -> list[int]:
    n_features = model.means_.shape[1]
    if features is None:
        features = range(min(DEFAULT_FEATURES, n_features))
    chosen = numbers_of(model, features)
    if not 2 <= len(chosen) <= MOST_FEATURES:
        raise DataError(
            f"a corner of {len(chosen)} features cannot be drawn; choose 2 to {MOST_FEATURES} with "
            "features=, or draw one with histogram"
        )
    return chosen


def _draw_one(mixture: Parameters, values: np.ndarray, ends: np.ndarray, ax: Axes) -> None:
    heights, _ = np.histogram(values, BARS, tuple(ends))
    draw_densities(heights, mixture, ends, ax, width=1.0)


def _scatter(rows: np.ndarray, colours: np.ndarray, size: float, ax: Axes) -> None:
    ax.scatter(rows[:, 0], rows[:, 1], s=size, c=colours, linewidths=0, rasterized=True)


def _draw_pair(mixture: Parameters, ends: np.ndarray, ax: Axes) -> None:
    draw_ellipses(mixture, 0.6 * component_colours(len(mixture.weights)), ax, linewidth=1.4)
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1])


def _label(model: Mixture, chosen: list[int], i: int, j: int, ax: Axes) -> None:
    """Write names and numbers at the outer edges only."""
    locator = require("matplotlib.ticker", "plot").MaxNLocator
    ax.xaxis.set_major_locator(locator(3))
    ax.yaxis.set_major_locator(locator(3))
    ax.tick_params(labelsize="small")
    if i == len(chosen) - 1:
        ax.set_xlabel(name_of(model, chosen[j], LONGEST), fontsize="small")
    else:
        ax.tick_params(labelbottom=False)
    if i == j:
        ax.tick_params(left=False, labelleft=False)  # densities, in a unit nobody asks for
    elif j == 0:
        ax.set_ylabel(name_of(model, chosen[i], LONGEST), fontsize="small")
    else:
        ax.tick_params(labelleft=False)


def _draw_legend(figure: Any, n_components: int, n_features: int) -> None:
    """Name the colours in the corner that is empty."""
    if n_components > MOST_NAMED:
        return
    colours = component_colours(n_components)
    marks = [
        line_of(f"component {k}", color=ink, marker="o", linestyle="none")
        for k, ink in enumerate(colours)
    ]
    size = "small" if n_features > 2 else "x-small"
    figure.legend(handles=marks, loc="upper right", frameon=False, fontsize=size)
