"""Corner plot: every pair of features in a triangle of panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm import passes
from fastgmm.errors import DataError, require
from fastgmm.estimators.base import Mixture
from fastgmm.mixture.marginal import marginal
from fastgmm.mixture.parameters import Parameters
from fastgmm.plot.axes import Feature, legend, line_of, most_letters, name_axes, name_of, numbers_of
from fastgmm.plot.colours import component_colours, point_size, soft_colours
from fastgmm.plot.components import empty_lines, only, shown
from fastgmm.plot.ellipses import corners, draw_ellipses, draw_numbers
from fastgmm.plot.histogram import MOST_PLAIN, draw_densities
from fastgmm.plot.rows import reach, source_of, weighed_sample
from fastgmm.sources import open_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 1.9  # inches of a panel
GAP = 0.09  # of a panel is between two: the room for 1e6 above it
LONGEST = 18  # characters of a name beside it
MOST_FEATURES = 12  # 66 panels
DEFAULT_FEATURES = 6
MOST_NAMED = 10  # components in the legend
BARS = 40
LARGEST = 9.0  # area of a point


def corner(
    model: Mixture,
    data: Any,
    ax: Axes | None = None,
    *,
    features: Sequence[Feature] | None = None,
    max_rows: int = 3_000,
) -> Axes:
    """Draw every pair of features as `clusters` does, and each feature as `histogram` does.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model of two features or more.
    data : array-like, table, path or source
        Whatever `model.predict` takes.
    ax : matplotlib.axes.Axes, optional
        Axes whose place the panels share; those of a new figure, as large as the panels need,
        without it.
    features : sequence of int or str, optional
        Which ones, at most 12. Without it the first 6, or all if there are not more; a title says
        if some are left out.
    max_rows : int
        Of more rows, a random sample of this many is drawn, the same one every time.

    Returns
    -------
    matplotlib.axes.Axes
        Nothing is drawn on them but a legend. The panels are their ``child_axes``, row by row: the
        i-th row has the pairs of feature i, up, with those before it, and feature i by itself.
    """
    parameters = model._parameters()
    chosen = _features(model, features)
    rows, weights = weighed_sample(source_of(model, data), max_rows)
    numbers = shown(model)
    colours = soft_colours(passes.responsibilities(open_source(rows), parameters), numbers)
    ax = ax or _new_axes(side_of(model, features))
    ax.set_axis_off()
    size = min(point_size(len(rows)), LARGEST)
    ends = reach(rows[:, chosen], corners(only(marginal(parameters, chosen), numbers)))
    for i, j in [(row, column) for row in range(len(chosen)) for column in range(row + 1)]:
        panel = _panel(ax, i, j, len(chosen))
        if i == j:
            heights, _ = np.histogram(rows[:, chosen[i]], BARS, tuple(ends[:, i]), weights=weights)
            mixture = marginal(parameters, [chosen[i]])
            draw_densities(heights, mixture, ends[:, i], panel, numbers, width=1.0)
        else:
            pair = [chosen[j], chosen[i]]
            _scatter(rows[:, pair], colours, size, panel)
            _draw_pair(only(marginal(parameters, pair), numbers), numbers, ends[:, [j, i]], panel)
        _label(model, chosen, i, j, panel)
    _draw_legend(ax, numbers, empty_lines(model, numbers))
    if features is None and len(chosen) < model.means_.shape[1]:
        ax.set_title(f"the first {len(chosen)} of {model.means_.shape[1]} features")
    return ax


def side_of(model: Mixture, features: Sequence[Feature] | None) -> float:
    """Inches that a figure of these features takes each way."""
    return SIDE * len(_features(model, features)) + 0.6  # for the names


def _new_axes(side: float) -> Any:
    figure = require("matplotlib.pyplot", "plot").figure(figsize=(side, side), layout="constrained")
    return figure.subplots()


def _panel(ax: Axes, i: int, j: int, n_features: int) -> Axes:
    """Make axes in row i and column j of the axes."""
    width = 1.0 / (n_features - GAP)
    side = (1.0 - GAP) * width
    return ax.inset_axes((j * width, 1.0 - i * width - side, side, side))


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


def _scatter(rows: np.ndarray, colours: np.ndarray, size: float, ax: Axes) -> None:
    ax.scatter(rows[:, 0], rows[:, 1], s=size, c=colours, linewidths=0, rasterized=True)


def _draw_pair(mixture: Parameters, numbers: np.ndarray, ends: np.ndarray, ax: Axes) -> None:
    inks = 0.6 * component_colours(len(mixture.weights))
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1])
    draw_ellipses(mixture, inks, ax, linewidth=1.4)
    if len(inks) > MOST_PLAIN:
        draw_numbers(mixture.means, inks, ax, numbers)


def _label(model: Mixture, chosen: list[int], i: int, j: int, ax: Axes) -> None:
    """Write names and numbers at the outer edges only."""
    locator = require("matplotlib.ticker", "plot").MaxNLocator
    ax.xaxis.set_major_locator(locator(3))
    ax.yaxis.set_major_locator(locator(3))
    bottom, left = i == len(chosen) - 1, j == 0 < i  # densities are in a unit nobody asks for
    ax.tick_params(labelsize="small", labelbottom=bottom, labelleft=left, bottom=bottom, left=left)
    longest = min(LONGEST, *most_letters(ax))
    across = name_of(model, chosen[j], longest) if bottom else ""
    name_axes(ax, across, name_of(model, chosen[i], longest) if left else "")
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize("small")


def _draw_legend(ax: Axes, numbers: np.ndarray, notes: list[Any]) -> None:
    """Name the colours in the corner that is empty."""
    marks = [
        line_of(f"component {k}", color=ink, marker="o", linestyle="none")
        for k, ink in zip(numbers, component_colours(len(numbers)), strict=True)
        if len(numbers) <= MOST_NAMED
    ]
    if marks or notes:
        legend(ax, handles=marks + notes, loc="upper right", borderaxespad=0.0)
