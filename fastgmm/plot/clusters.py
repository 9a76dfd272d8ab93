"""Rows in the colours of their components, and the components as ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastgmm import passes
from fastgmm.estimators.base import Mixture
from fastgmm.mixture.marginal import marginal
from fastgmm.plot.axes import Feature, legend, name_both, new_axes, outside_lines, pair_of
from fastgmm.plot.colours import component_colours, point_size, soft_colours
from fastgmm.plot.components import empty_lines, only, shown
from fastgmm.plot.ellipses import corners, draw_ellipses, draw_numbers, legend_line
from fastgmm.plot.rows import outside, reach, sample, source_of
from fastgmm.sources import open_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def clusters(
    model: Mixture,
    data: Any,
    ax: Axes | None = None,
    *,
    features: tuple[Feature, Feature] = (0, 1),
    max_rows: int = 5_000,
) -> Axes:
    """Draw rows in the colours of their components, and each component as two ellipses.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model of two features or more.
    data : array-like, table, path or source
        Whatever `model.predict` takes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.
    features : pair of int or str
        The features across and up. The covariance drawn is the marginal one of these two.
    max_rows : int
        Of more rows, a random sample of this many is drawn, the same one every time.

    Returns
    -------
    matplotlib.axes.Axes
        A row of several components has a mix of their colours, by responsibility. The ellipses
        lie at one and at two standard deviations, and a component's number at its mean. The
        legend counts the rows that are too far away to be shown, and the components of a Bayesian
        mixture that hold none and are not drawn.
    """
    parameters = model._parameters()
    pair = pair_of(model, features, "clusters")
    rows = sample(source_of(model, data), max_rows)
    numbers = shown(model)
    mixture, inks = only(marginal(parameters, pair), numbers), 0.6 * component_colours(len(numbers))
    ends = reach(rows[:, pair], corners(mixture))
    responsibilities = passes.responsibilities(open_source(rows), parameters)
    ax = ax or new_axes()
    ax.scatter(
        rows[:, pair[0]],
        rows[:, pair[1]],
        s=point_size(len(rows)),
        c=soft_colours(responsibilities, numbers),
        linewidths=0,
        rasterized=True,
    )
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1])
    draw_ellipses(mixture, inks, ax)
    draw_numbers(mixture.means, inks, ax, numbers)
    notes = empty_lines(model, numbers) + outside_lines(outside(rows[:, pair], ends))
    legend(ax, handles=[legend_line(), *notes])
    name_both(model, pair, ax)
    return ax
