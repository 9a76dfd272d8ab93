"""Criteria over the number of components, with their minima marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastgmm.errors import require
from fastgmm.plot.axes import new_axes
from fastgmm.plot.colours import component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    styles = ["-", "--", "-.", ":"]
    for index, (name, values) in enumerate(curves.items()):
        values = np.asarray(values, dtype=np.float64)
        least = int(np.nanargmin(values))
        style = {"color": colours[index], "linestyle": styles[index % len(styles)]}
        label = f"{name}, least at {n_components[least]}"
        ax.plot(n_components, values, marker=".", label=label, **style)
        ax.plot(
            n_components[least],
            values[least],
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgewidth=1.8,
            color=colours[index],
        )
    ax.set_xlabel("number of components")
    ax.set_ylabel("criterion (lower is better)")
    ax.xaxis.set_major_locator(require("matplotlib.ticker", "plot").MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax
