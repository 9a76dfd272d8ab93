"""Criteria over the number of components, with their minima marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastgmm.plot.axes import count_across, legend, name_axes, new_axes
from fastgmm.plot.colours import component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = ["-", "--", "-.", ":"]
MARKERS = [".", "^", "s", "x"]  # of the first four curves, of the next four ...
HIGHEST = 10.0  # times as far above the least value as three quarters of them are; cut above it


def criteria(
    n_components: Sequence[int],
    curves: Mapping[str, npt.ArrayLike],
    ax: Axes | None = None,
) -> Axes:
    """Draw criteria over the number of components, each with its minimum marked.

    Parameters
    ----------
    n_components : sequence of int
        The numbers of components tried.
    curves : mapping of str to array-like
        Values by the name of their criterion, such as ``{"BIC": [...], "AIC": [...]}``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.

    Returns
    -------
    matplotlib.axes.Axes
        The legend says where each criterion is least.
    """
    ax = ax or new_axes()
    colours = component_colours(len(curves) + 1)  # the lightest is too light for a line
    for index, (name, values) in enumerate(curves.items()):
        values = np.asarray(values, dtype=np.float64)
        least = int(np.nanargmin(values))
        style = {"color": colours[index], "linestyle": STYLES[index % len(STYLES)]}
        label = f"{name}, least at {n_components[least]}"
        ax.plot(n_components, values, marker=marker_of(index), label=label, **style)
        ring(ax, n_components[least], values[least], colours[index], index)
    name_axes(ax, "number of components", "criterion (lower is better)")
    _cut(np.concatenate([np.ravel(values) for values in curves.values()]), ax)
    count_across(ax)
    legend(ax)
    return ax


def marker_of(index: int) -> str:
    """Return a marker with which a curve differs from others of its line style."""
    return MARKERS[index // len(STYLES) % len(MARKERS)]


def ring(ax: Axes, across: float, up: float, colour: np.ndarray, index: int) -> None:
    """Mark the best place of a curve; rings about one place lie in each other."""
    ax.plot(
        across,
        up,
        marker="o",
        markersize=9 + 3 * (index % 4),
        markerfacecolor="none",
        markeredgewidth=1.8,
        color=colour,
    )


def _cut(values: np.ndarray, ax: Axes) -> None:
    """Leave out what is so high that it would press the minima flat."""
    least, highest = visible(values)
    if highest < np.nanmax(values, where=np.isfinite(values), initial=-np.inf):
        ax.set_ylim(least - 0.05 * (highest - least), highest)


def visible(values: np.ndarray) -> tuple[float, float]:
    """Return the least value, and the highest that does not press it flat."""
    finite = values[np.isfinite(values)]
    least, most = finite.min(), finite.max()
    highest = least + HIGHEST * (np.quantile(finite, 0.75) - least)
    return float(least), float(highest if least < highest < most else most)
