"""Log-likelihood per pass of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastgmm.errors import DataError
from fastgmm.estimators.active import has_bound
from fastgmm.estimators.base import Mixture
from fastgmm.plot.axes import count_across, legend, name_axes, new_axes
from fastgmm.plot.colours import component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKERS = 60  # passes: of more, the marks would run into each other


def trace(model: Mixture, ax: Axes | None = None) -> Axes:
    """Draw the mean log-likelihood of a row, or its lower bound, over the passes of a fit.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model; its `lower_bounds_` are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.

    Returns
    -------
    matplotlib.axes.Axes
        The legend says where the fit has ended, and if it converged.

    Raises
    ------
    DataError
        If the model was made from its parameters, or fitted without a pass.
    """
    bounds = np.asarray(getattr(model, "lower_bounds_", []), dtype=np.float64)
    if not len(bounds):
        raise DataError(
            "the model has no trace to draw: it was made from its parameters or fitted with "
            "max_iter=0; fit it with passes"
        )
    ax = ax or new_axes()
    passes = np.arange(1, len(bounds) + 1)
    colour = component_colours(1)[0]
    marker = "." if len(bounds) <= MOST_MARKERS else None
    ax.plot(passes, bounds, color=colour, marker=marker)
    how = "converged" if model.converged_ else "not converged"
    ax.plot(
        passes[-1],
        bounds[-1],
        marker="o" if model.converged_ else "X",
        markersize=9,
        markerfacecolor="none" if model.converged_ else colour,
        markeredgewidth=1.8,
        linestyle="none",
        color=colour,
        label=f"{how} after {_counted(len(bounds))}, at {bounds[-1]:.6g}",
    )
    up = "lower bound per row" if has_bound(model) else "mean log-likelihood of a row"
    name_axes(ax, "pass over the rows", up)
    count_across(ax)
    legend(ax)
    return ax


def _counted(n_passes: int) -> str:
    return "1 pass" if n_passes == 1 else f"{n_passes} passes"
