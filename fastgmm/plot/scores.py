"""Histogram of the log-likelihoods of rows, with the threshold of outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm.estimators.base import Mixture
from fastgmm.plot.axes import legend, name_axes, new_axes
from fastgmm.plot.colours import PALE, component_colours
from fastgmm.plot.density import log_densities
from fastgmm.plot.rows import source_of, weighed_sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 80
ROOM = 0.35  # of the height of the bars is left above them, for the legend
TAIL = 1e-3  # of the rows lie further left than the picture, if the threshold does not


def scores(
    model: Mixture,
    data: Any,
    ax: Axes | None = None,
    *,
    contamination: float = 0.01,
    max_rows: int = 100_000,
) -> Axes:
    """Draw the log densities of the rows, and the threshold below which they are outliers.

    Parameters
    ----------
    model : GaussianMixture, BayesianGaussianMixture or AutoGaussianMixture
        A fitted model.
    data : array-like, table, path or source
        Whatever `model.predict` takes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.
    contamination : float
        The share of outliers. Their threshold, `model.threshold`, is that of all rows.
    max_rows : int
        Of more rows, the log densities of a random sample of this many are drawn.

    Returns
    -------
    matplotlib.axes.Axes
        Shares of the rows, on a logarithmic scale since outliers are few. What would lie left of
        the picture is in its first bar, such as outliers very far away.
    """
    source = source_of(model, data)
    threshold = model.threshold(source, contamination)
    rows, weights = weighed_sample(source, max_rows)
    found = log_densities(model._parameters(), rows)
    edges = _edges(found, threshold)
    heights = np.histogram(np.maximum(found, edges[0]), edges, weights=weights)[0]
    heights = heights / (len(found) if weights is None else weights.sum())
    ax = ax or new_axes()
    ax.stairs(heights, edges, fill=True, color=PALE, label="rows")
    below = int(np.searchsorted(edges, threshold))
    if below:
        ink = component_colours(2)[0]
        label = f"outliers, {100.0 * contamination:.3g} % of the rows"
        ax.stairs(heights[:below], edges[: below + 1], fill=True, color=ink, label=label)
    low, high = 0.5 * heights[heights > 0.0].min(), 1.5 * heights.max()
    label = f"threshold {threshold:.5g}"
    ax.plot([threshold, threshold], [low, high], color="black", linestyle="--", label=label)
    ax.set_yscale("log")
    ax.set_ylim(low, high * (high / low) ** ROOM)
    ax.set_xlim(edges[0], edges[-1])
    name_axes(ax, "log density of a row", "share of the rows")
    legend(ax, loc="upper left")
    return ax


def _edges(found: np.ndarray, threshold: float) -> np.ndarray:
    """Edges of the bars, the threshold among them."""
    finite = found[np.isfinite(found)]
    low, high = np.quantile(finite, [TAIL, 1.0]) if len(finite) else (threshold - 1.0, threshold)
    if not np.isfinite(threshold):
        return np.linspace(low, max(high, low + 1e-9), BARS + 1)
    # as far left of the threshold as a third of the way to the likeliest row shows the tail, and
    # farther than all the way would press the rest flat
    low = np.clip(low, threshold - (high - threshold), threshold - (high - threshold) / 3.0)
    width = max((high - low) / BARS, 1e-9)
    n_below = int(np.ceil((threshold - low) / width))
    n_above = max(1, int(np.ceil((high - threshold) / width)))
    return threshold + width * np.arange(-n_below, n_above + 1)
