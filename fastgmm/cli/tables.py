"""A model as a person reads it: a table of its components, and figures below."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from fastgmm.estimators.gaussian_mixture import GaussianMixture

WIDTH_OF_FEATURE = 19  # "-123.4 ± 12.3" with its margins, in most data
WIDTH_OF_REST = 30  # the columns of numbers, weights and what was left out


def show(model: GaussianMixture, figures: Mapping[str, str]) -> None:
    """Print the components of a model, and some figures by name."""
    console = Console()
    console.print(components(model, console))
    console.print(_in_threes(figures))


def components(model: GaussianMixture, console: Console) -> Table:
    """Weight, mean and spread of every component; as many features as fit the screen."""
    n_features = model.means_.shape[1]
    n_shown = min(n_features, max(1, (console.width - WIDTH_OF_REST) // WIDTH_OF_FEATURE))
    spreads = deviations(model)
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("component", justify="right")
    table.add_column("weight", justify="right")
    for name in feature_names(model)[:n_shown]:
        table.add_column(name, justify="right", no_wrap=True)
    if n_shown < n_features:
        table.add_column(f"and {n_features - n_shown} more", justify="center")
    for k, weight in enumerate(model.weights_):
        cells = [
            mean_and_spread(mean, spread)
            for mean, spread in zip(model.means_[k, :n_shown], spreads[k, :n_shown], strict=True)
        ]
        more = ["…"] if n_shown < n_features else []
        table.add_row(str(k), f"{weight:.4f}", *cells, *more)
    return table


def deviations(model: GaussianMixture) -> np.ndarray:
    """Take the standard deviation of every feature in every component, (K, d)."""
    shape = model.means_.shape
    covariances = np.asarray(model.covariances_, dtype=np.float64)
    match model.covariance_type:
        case "full":
            variances = np.diagonal(covariances, axis1=1, axis2=2)
        case "tied":
            variances = np.broadcast_to(np.diagonal(covariances), shape)
        case "diag":
            variances = covariances
        case _:
            variances = np.broadcast_to(covariances[:, None], shape)
    return np.sqrt(variances)


def feature_names(model: GaussianMixture) -> list[str]:
    """Names of the columns the model was fitted on, or x0, x1, ... where they had none."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return [f"x{j}" for j in range(model.means_.shape[1])]
    return [str(name) for name in names]


def mean_and_spread(mean: float, spread: float) -> str:
    """Write a mean to a hundredth of its spread, however far from zero it lies."""
    digits = 3
    if mean != 0.0 and spread > 0.0:
        digits = int(np.clip(3 + math.floor(math.log10(abs(mean) / spread)), 3, 15))
    return f"{mean:.{digits}g} ± {spread:.3g}"


def n_passes(model: GaussianMixture) -> str:
    """Count the passes of EM, and say if they were not enough."""
    return f"{model.n_iter_}" if model.converged_ else f"{model.n_iter_}, not converged"


def _in_threes(figures: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 1))
    for _ in range(3):
        table.add_column(style="dim")
        table.add_column(justify="right")
    cells = [cell for pair in figures.items() for cell in pair]
    for start in range(0, len(cells), 6):
        table.add_row(*cells[start : start + 6])
    return table
