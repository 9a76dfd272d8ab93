"""Log-likelihoods of held-out rows over the number of components, with their standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastgmm.plot.axes import count_across, legend, line_of, name_axes, new_axes
from fastgmm.plot.colours import INK, component_colours
from fastgmm.plot.criteria import STYLES, marker_of, ring, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART, WIDE = 0.12, 0.7  # components: between error bars of neighbouring curves, and of all


def held_out(
    n_components: Sequence[int],
    curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    ax: Axes | None = None,
) -> Axes:
    """Draw held-out log-likelihoods over the number of components, the highest marked.

    Parameters
    ----------
    n_components : sequence of int
        The numbers of components tried.
    curves : mapping of str to (array-like, array-like)
        Means per row and their standard errors, by the name of a covariance type.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are one standard error up and down. A dotted line is one below the highest mean of all.
    """
    ax = ax or new_axes()
    colours = component_colours(len(curves) + 1)  # the lightest is too light for a line
    apart = min(APART, WIDE / len(curves))
    known = {name: np.array(its, np.float64) for name, its in curves.items()}
    for index, (name, (means, errors)) in enumerate(known.items()):
        best = int(np.nanargmax(means))
        places = np.asarray(n_components) + apart * (index - 0.5 * (len(known) - 1))
        ax.errorbar(
            places,
            means,
            yerr=np.where(np.isfinite(errors), errors, 0.0),
            marker=marker_of(index),
            capsize=2.0,
            elinewidth=0.8,
            color=colours[index],
            linestyle=STYLES[index % len(STYLES)],
            label=f"{name}, highest at {n_components[best]}",
        )
        ring(ax, places[best], means[best], colours[index], index)
    least = _one_error_below(list(known.values()))
    ax.axhline(least, color=INK, linestyle=":", linewidth=1.0, zorder=0)
    name_axes(ax, "number of components", "held-out log-likelihood per row (higher is better)")
    _cut(list(known.values()), least, ax)
    count_across(ax)
    below = line_of("one standard error below", color=INK, linestyle=":", linewidth=1.0)
    legend(ax, handles=[*ax.get_legend_handles_labels()[0], below])
    return ax


def _one_error_below(curves: Sequence[np.ndarray]) -> float:
    """Where the mean of a candidate must be to be within the standard error of the best."""
    means, errors = np.concatenate(curves, axis=1)
    best = int(np.nanargmax(means))
    return float(means[best] - errors[best])


def _cut(curves: Sequence[np.ndarray], least: float, ax: Axes) -> None:
    """Leave out what is so low that it would press the maxima flat."""
    means, errors = np.concatenate(curves, axis=1)
    ends = means + np.where(np.isfinite(errors), errors, 0.0)
    best, lowest = (-each for each in visible(-means))
    if lowest > np.nanmin(means):
        lowest, best = min(lowest, least), float(np.nanmax(ends))
        ax.set_ylim(lowest, best + 0.05 * (best - lowest))
