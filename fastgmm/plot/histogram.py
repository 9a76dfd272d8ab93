"""Histogram of one feature, with the densities of the components and their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm.estimators.base import Mixture
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.marginal import marginal
from fastgmm.mixture.parameters import Parameters
from fastgmm.plot.axes import (
    Feature,
    legend,
    most_letters,
    name_axes,
    name_of,
    new_axes,
    numbers_of,
)
from fastgmm.plot.colours import INK, PALER, component_colours
from fastgmm.plot.components import only, shown
from fastgmm.plot.ellipses import draw_numbers
from fastgmm.plot.rows import counts, reach, sample, source_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH_ROWS = 2_000  # a sample of these decides from where to where
FEWEST_BARS, MOST_BARS = 10, 120
MOST_PLAIN = 4  # components: of more, the lines are numbered, for their greys are too near
MOST_NAMED = 8  # components: of more, the lines are too many to tell by a legend
LINES = 500  # points of a curve, and for each component as many as there are
HIGHEST = 2.5  # times the highest bar: a peak above that would press all else flat, and is cut
DARKER = 0.8  # times the colours, of lines
NEAR = np.linspace(-4.0, 4.0, 41)  # standard deviations, so that a narrow peak keeps its height


def histogram(model: Mixture, data: Any, ax: Axes | None = None, *, feature: Feature = 0) -> Axes:
    """Draw how one feature is spread, with the components and their sum.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model.
    data : array-like, table, path or source
        Whatever `model.predict` takes. All rows are counted.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.
    feature : int or str
        Which one. Of a mixture of several features, the marginal densities are drawn.

    Returns
    -------
    matplotlib.axes.Axes
        Densities: the bars have an area of 1 in sum, but for rows beyond the edges (at most 1 in
        100), and each component has that of its weight. A peak of more than 2.5 times the
        height of the bars is cut.
    """
    parameters = model._parameters()
    (number,) = numbers_of(model, [feature])
    source = source_of(model, data)
    mixture = marginal(parameters, [number])
    drawn = sample(source, REACH_ROWS)[:, [number]]
    ends = reach(drawn, mixture.means)
    n_rows = source.n_rows or len(drawn)
    heights = counts(source, [number], ends, (_n_bars(n_rows),))
    ax = ax or new_axes()
    numbers = shown(model)
    draw_densities(heights, mixture, ends[:, 0], ax, numbers)
    if len(numbers) > MOST_PLAIN:
        _number_peaks(only(mixture, numbers), ax, numbers)
    name_axes(ax, name_of(model, number, most_letters(ax)[0]), "density")
    legend(ax)
    return ax


def draw_densities(
    counted: np.ndarray,
    mixture: Parameters,
    ends: np.ndarray,
    ax: Axes,
    numbers: np.ndarray,
    width: float = 1.5,
) -> None:
    """Draw counts in equal intervals as a density, and a mixture of one feature over them.

    Of its components those of these numbers have lines of their own.
    """
    edges = np.linspace(ends[0], ends[1], len(counted) + 1)
    bars = counted / (counted.sum() or 1.0) / (edges[1] - edges[0])
    ax.stairs(bars, edges, fill=True, color=PALER, label="rows")
    highest = _draw_components(mixture, ends, ax, numbers, width)
    ax.set_xlim(ends[0], ends[1])
    ax.set_ylim(0.0, 1.05 * max(bars.max(), min(highest, HIGHEST * bars.max() or highest)))


def _draw_components(
    mixture: Parameters, ends: np.ndarray, ax: Axes, numbers: np.ndarray, width: float
) -> float:
    """Draw components of a mixture of one feature, and their sum; return its height."""
    means, deviations = mixture.means[:, 0], np.sqrt(mixture.covariances[:, 0, 0])
    near = (means[:, None] + deviations[:, None] * NEAR).ravel()
    inside = near[(near > ends[0]) & (near < ends[1])]
    at = np.unique(np.concatenate([np.linspace(ends[0], ends[1], LINES), inside]))
    standardised = (at - means[:, None]) / deviations[:, None]
    heights = _peaks(mixture)[:, None] * np.exp(log_profiles(mixture, standardised**2))
    inks = DARKER * component_colours(len(numbers))
    named = len(numbers) <= MOST_NAMED
    for k, ink in zip(numbers, inks, strict=True):
        label = f"component {k}" if named else ("components" if k == numbers[0] else None)
        ax.plot(at, heights[k], color=ink, linewidth=width, label=label)
    total = heights.sum(axis=0)
    ax.plot(at, total, color=INK, linewidth=width, linestyle="--", label="sum")
    return float(total.max())


def _number_peaks(mixture: Parameters, ax: Axes, numbers: np.ndarray) -> None:
    peaks = _peaks(mixture)
    seen = np.minimum(peaks, ax.get_ylim()[1])
    inks = DARKER * component_colours(len(peaks))
    draw_numbers(np.column_stack([mixture.means[:, 0], seen]), inks, ax, numbers)


def _peaks(mixture: Parameters) -> np.ndarray:
    """Height of each component at its centre."""
    peaks = mixture.weights / np.sqrt(2.0 * np.pi * mixture.covariances[:, 0, 0])
    return peaks * np.exp(mixture.log_heights) if isinstance(mixture, Tailed) else peaks


def log_profiles(mixture: Parameters, squares: np.ndarray) -> np.ndarray:
    """Log density of each component below its peak, at squared distances (K, n)."""
    if not isinstance(mixture, Tailed):
        return -0.5 * squares
    finite = ~mixture.is_normal[:, None]
    degrees = np.where(finite, mixture.degrees_of_freedom[:, None], 1.0)
    tails = -0.5 * (degrees + 1.0) * np.log1p(squares / degrees)
    return np.where(finite, tails, -0.5 * squares)


def _n_bars(n_rows: int) -> int:
    """Bars that are wide enough for a hundred rows on average, within reason."""
    return int(np.clip(2.0 * n_rows ** (1 / 3), FEWEST_BARS, MOST_BARS))
