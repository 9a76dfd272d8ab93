"""Density of two features, as the regions that hold 50, 90 and 99% of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm import passes
from fastgmm.errors import require
from fastgmm.estimators.base import Mixture
from fastgmm.mixture import sampling
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.marginal import marginal
from fastgmm.mixture.parameters import Parameters
from fastgmm.plot.axes import (
    Feature,
    has_legend,
    inches_of,
    legend,
    letters_of,
    line_of,
    name_both,
    new_axes,
    pair_of,
)
from fastgmm.plot.colours import component_colours
from fastgmm.plot.ellipses import shape_of
from fastgmm.plot.rows import counts, reach, sample, source_of
from fastgmm.sources import open_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = (0.99, 0.9, 0.5)
STYLES = (":", "--", "-")
DRAWN_ROWS = 20_000  # from the mixture: shares are right to 0.0005
CELLS = 150  # each way, in which rows are counted: of few rows, cells that are large enough to see
FEWEST_CELLS = 20
REACH_ROWS = 2_000  # of the mixture and of the rows decide from where to where
GRID = 160  # lines each way, and for each component as many as there are
WIDEST = 1.5  # lines of the grid, by which a component may be widened
LEGEND_SIZE = np.array([14.0, 5.2])  # times the size of its letters
HIDDEN = 0.003  # of the rows may be under the legend
# standard deviations: or a small component slips through; its contours may lie 9 away, where its
# density is 1e-18 of its highest, if another is as much wider
NEAR = np.array([-9.0, -6.5, -4.5, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0])


def density(
    model: Mixture,
    data: Any = None,
    ax: Axes | None = None,
    *,
    features: tuple[Feature, Feature] = (0, 1),
) -> Axes:
    """Draw the density of two features as three contours, over counts of the rows.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model of two features or more.
    data : array-like, table, path or source, optional
        Whatever `model.predict` takes. All rows are counted, in cells; without data, only the
        contours are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.
    features : pair of int or str
        The features across and up.

    Returns
    -------
    matplotlib.axes.Axes
        The contours are the smallest regions that hold 50, 90 and 99 % of the mixture's rows. Where
        rows lie outside of them, the mixture does not describe them.
    """
    parameters = model._parameters()
    pair = pair_of(model, features, "density")
    mixture = marginal(parameters, pair)
    drawn, _ = sampling.sample(mixture, REACH_ROWS, np.random.RandomState(0))
    ax = ax or new_axes()
    source = None if data is None else source_of(model, data)
    rows = drawn[:0] if source is None else sample(source, DRAWN_ROWS)[:, pair]
    seen = np.vstack([drawn, rows[:REACH_ROWS]])
    ends, corner = _with_room(seen, reach(seen, mixture.means), ax)
    if source is not None:
        cells = int(np.clip(1.5 * np.sqrt(len(rows)), FEWEST_CELLS, CELLS))
        _draw_counts(counts(source, pair, ends, (cells, cells)), ends, ax)
    lines = _draw_contours(_wide_enough(mixture, ends), ends, ax)
    legend(ax, handles=lines, loc=corner)
    name_both(model, pair, ax)
    return ax


def _draw_counts(found: np.ndarray, ends: np.ndarray, ax: Axes) -> None:
    """Draw the rows in grey, by the logarithm of their number; no row, no ink."""
    colours = require("matplotlib.colors", "plot")
    matplotlib = require("matplotlib", "plot")
    greys = colours.LinearSegmentedColormap.from_list(
        "rows", matplotlib.colormaps["Greys"](np.linspace(0.18, 0.7, 64))
    )
    seen = np.ma.masked_equal(found.T, 0.0)
    ax.imshow(
        seen,
        norm=colours.LogNorm(seen.min(), max(seen.max(), 2.0 * seen.min())),
        cmap=greys,
        extent=tuple(ends.T.ravel().tolist()),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )


def _wide_enough(mixture: Parameters, ends: np.ndarray) -> Parameters:
    """Widen components that lie aslant and would slip through the grid: they were rows of dots."""
    cell = WIDEST * (ends[1] - ends[0]) / GRID
    squares = mixture.covariances / np.outer(cell, cell)
    aslant = (np.diagonal(squares, axis1=1, axis2=2) > 1.0).all(axis=1)
    thin = aslant & (np.array([shape_of(each).shorter for each in squares]) < 1.0)
    wider = mixture.covariances + thin[:, None, None] * np.diag(cell**2)
    found = Parameters.from_covariances("full", mixture.weights, mixture.means, wider)
    return Tailed.of(found, mixture.degrees_of_freedom) if isinstance(mixture, Tailed) else found


def _draw_contours(mixture: Parameters, ends: np.ndarray, ax: Axes) -> list[Any]:
    """Draw the regions, and return lines for their legend."""
    drawn, _ = sampling.sample(mixture, DRAWN_ROWS, np.random.RandomState(0))
    across, up = (_lines(mixture, feature, ends) for feature in (0, 1))
    places = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    height = log_densities(mixture, places).reshape(len(up), len(across))
    # where the density exceeds the level, there lies the share
    levels = np.quantile(log_densities(mixture, drawn), 1.0 - np.array(SHARES))
    inks = component_colours(len(SHARES) + 1)[: len(SHARES)][::-1]
    for level, style, ink in zip(levels, STYLES, inks, strict=True):
        ax.contour(across, up, height, levels=[level], linestyles=[style], colors=[ink])
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1])
    lines = [
        line_of(f"{share:.0%} of the mixture", linestyle=style, color=ink)
        for share, style, ink in zip(SHARES, STYLES, inks, strict=True)
    ]
    return lines[::-1]


def _with_room(rows: np.ndarray, ends: np.ndarray, ax: Axes) -> tuple[np.ndarray, str]:
    """Add room for the legend above if no corner has it; return the ends, and the corner.

    Matplotlib looks for points and lines alone, not for contours.
    """
    size = LEGEND_SIZE * letters_of(ax) / 72.0 / inches_of(ax)
    place = (rows - ends[0]) / (ends[1] - ends[0])
    found = {}
    for up in ("upper", "lower"):
        for across in ("right", "left"):
            beside = np.abs(place - [across == "right", up == "upper"]) < size
            found[f"{up} {across}"] = int(beside.all(axis=1).sum())
    corner = min(found, key=lambda corner: found[corner])
    if found[corner] <= HIDDEN * len(rows) or not has_legend(ax):
        return ends, corner
    height = (ends[1, 1] - ends[0, 1]) / (1.0 - size[1])
    return np.array([ends[0], [ends[1, 0], ends[0, 1] + height]]), "upper right"


def _lines(mixture: Parameters, feature: int, ends: np.ndarray) -> np.ndarray:
    """Where to know the density: everywhere, and closely about each component."""
    low, high = ends[:, feature]
    deviations = np.sqrt(mixture.covariances[:, feature, feature])
    near = mixture.means[:, feature, None] + deviations[:, None] * NEAR
    everywhere = np.linspace(low, high, GRID)
    return np.unique(np.concatenate([everywhere, near[(near > low) & (near < high)]]))


def log_densities(mixture: Parameters, points: np.ndarray) -> np.ndarray:
    """Log densities of a mixture at some points, (n,)."""
    return np.asarray(passes.log_likelihoods(open_source(points), mixture))
