"""Pictures of a mixture: every function takes and returns an Axes, and none shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastgmm import passes
from fastgmm.errors import DataError, require
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.published import parameters_of
from fastgmm.estimators.rows import to_score
from fastgmm.sources import Source, blocks, open_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLOCK_ROWS = 65_536
INK = "#333333"


def clusters(
    model: GaussianMixture,
    data: Any,
    ax: Axes | None = None,
    *,
    features: tuple[int, int] = (0, 1),
    max_rows: int = 5_000,
) -> Axes:
    """Draw rows in the colours of their components, and each component as two ellipses.

    Parameters
    ----------
    model : GaussianMixture
        A fitted model of two features or more.
    data : array-like, table, path or source
        Whatever `model.predict` takes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes without it.
    features : pair of int
        The features across and up. The covariance drawn is the marginal one of these two.
    max_rows : int
        Of more rows, a random sample of this many is drawn, the same one every time.

    Returns
    -------
    matplotlib.axes.Axes
        A row of several components has a mix of their colours, by responsibility. The ellipses
        lie at one and at two standard deviations, and a component's number at its mean.
    """
    n_components, n_features = model.means_.shape
    across, up = _two_features(features, n_features)
    rows = _sample(to_score(model, data, None, n_features), max_rows)
    parameters = parameters_of(vars(model), model.covariance_type)
    responsibilities = passes.responsibilities(open_source(rows), parameters)
    colours = component_colours(n_components)
    ax = ax or _new_axes()
    ax.scatter(
        rows[:, across],
        rows[:, up],
        s=point_size(len(rows)),
        c=np.clip(responsibilities @ colours, 0.0, 1.0),
        linewidths=0,
        rasterized=True,
    )
    for k in range(n_components):
        _draw_component(model, k, (across, up), colours[k], ax)
    line = require("matplotlib.lines", "plot").Line2D([], [], color=INK, linewidth=2)
    ax.legend([line], ["1 and 2 standard deviations"], frameon=False, fontsize="small")
    names = getattr(model, "feature_names_in_", None)
    ax.set_xlabel(f"feature {across}" if names is None else str(names[across]))
    ax.set_ylabel(f"feature {up}" if names is None else str(names[up]))
    return ax


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
    ax = ax or _new_axes()
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


def component_colours(n_components: int) -> np.ndarray:
    """Colours of rising lightness (K, 3), so that they differ in grey too."""
    matplotlib = require("matplotlib", "plot")
    # viridis ends in a yellow that is lost on white: it stops at 0.85
    scale = np.linspace(0.0, 0.85, n_components) if n_components > 1 else np.array([0.3])
    return np.asarray(matplotlib.colormaps["viridis"](scale))[:, :3]


def point_size(n_rows: int) -> float:
    """Area of a point that lets so many rows be told apart."""
    return float(np.clip(12_000 / max(n_rows, 1), 3.0, 24.0))


def _draw_component(
    model: GaussianMixture, k: int, features: tuple[int, int], colour: np.ndarray, ax: Axes
) -> None:
    mean = model.means_[k, list(features)].astype(np.float64)
    # eigenvectors of a 2 x 2 covariance are the axes of its ellipse; in double for any model
    variances, axes = np.linalg.eigh(_marginal(model, k, features).astype(np.float64))
    radii = np.sqrt(np.maximum(variances, 0.0))
    ink = 0.6 * colour
    for deviations in (1, 2):
        _draw_ellipse(mean, axes, deviations * radii, ax, edgecolor=ink, linewidth=2 / deviations)
    # autoscaling knows of ellipses only their middle
    reach = 2.0 * np.hypot(*(axes * radii).T)
    ax.update_datalim([mean - reach, mean + reach])
    ax.autoscale_view()
    paper = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": ink, "alpha": 0.9}
    ax.annotate(str(k), mean, ha="center", va="center", color=INK, size="small", bbox=paper)


def _draw_ellipse(
    middle: np.ndarray, axes: np.ndarray, radii: np.ndarray, ax: Axes, **line: Any
) -> None:
    """Draw the ellipse with these axes (columns) as a line that is seen on rows of its colour."""
    effects = require("matplotlib.patheffects", "plot")
    halo = effects.withStroke(linewidth=line["linewidth"] + 1.5, foreground="white")
    angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
    ellipse = require("matplotlib.patches", "plot").Ellipse(
        middle, *(2.0 * radii), angle=angle, facecolor="none", path_effects=[halo], **line
    )
    ax.add_patch(ellipse)


def _marginal(model: GaussianMixture, k: int, features: tuple[int, int]) -> np.ndarray:
    """Covariance (2, 2) of two features in a component."""
    covariances, pair = model.covariances_, list(features)
    match model.covariance_type:
        case "full":
            return covariances[k][np.ix_(pair, pair)]
        case "tied":
            return covariances[np.ix_(pair, pair)]
        case "diag":
            return np.diag(covariances[k, pair])
        case _:
            return covariances[k] * np.eye(2)


def _sample(source: Source, n_rows: int) -> np.ndarray:
    """Draw rows without replacement, with chances by weight, in one pass over any source."""
    rng = np.random.default_rng(0)
    rows = np.empty((0, source.n_features))
    keys = np.empty(0)
    for block in blocks(source, BLOCK_ROWS):
        # Efraimidis and Spirakis (2006): the least of exponential / weight are such a sample
        drawn = rng.exponential(size=len(block.rows))
        if block.weights is not None:
            with np.errstate(divide="ignore"):
                drawn = drawn / block.weights
        limit = keys.max() if len(keys) == n_rows else np.inf
        good = drawn < limit
        rows = np.vstack([rows, block.rows[good]])
        keys = np.concatenate([keys, drawn[good]])
        least = np.argsort(keys, kind="stable")[:n_rows]
        rows, keys = rows[least], keys[least]
    return rows


def _two_features(features: tuple[int, int], n_features: int) -> tuple[int, int]:
    across, up = features
    if n_features < 2:
        raise DataError("a picture of clusters needs two features, and the model has one")
    if not (0 <= across < n_features and 0 <= up < n_features):
        raise DataError(
            f"features={features!r} are not both among the model's features, "
            f"which are 0 to {n_features - 1}"
        )
    return across, up


def _new_axes() -> Axes:
    pyplot = require("matplotlib.pyplot", "plot")
    return pyplot.subplots(layout="constrained")[1]
