"""Prints a model: a table of its components, with some figures below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastgmm.cli import inputs
from fastgmm.estimators.active import active
from fastgmm.estimators.base import Mixture
from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture

MARGINS = 2  # characters per column
WIDTH_BESIDE = 36  # of the columns "component", "weight" and "28 more", with the edges
MOST_FEATURES = 24  # shown on a screen of any width


def show(model: Mixture, figures: Mapping[str, str]) -> None:
    """Print the components of a model, and some figures by name."""
    console = Console()
    console.print(components(model, console))
    console.print(_side_by_side(figures, 3 if console.width >= 76 else 2))


def components(model: Mixture, console: Console) -> Table:
    """Return a table of weights, means and spreads, for as many features as fit.

    Components that hold no rows are counted below it: all that is known of them is the prior.
    """
    columns = _features(model)
    n_shown = _n_fitting(columns, console.width - WIDTH_BESIDE)
    holding = active(model)
    n_empty = len(holding) - int(holding.sum())
    caption = f"{n_empty} more of {len(holding)} hold no rows" if n_empty else None
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", caption=caption)
    table.add_column("component", justify="right")
    table.add_column("weight", justify="right")
    for name, *_ in columns[:n_shown]:
        table.add_column(escape(name), justify="right", no_wrap=True)
    n_left = model.means_.shape[1] - n_shown
    if n_left:
        table.add_column(f"{n_left} more", justify="center", no_wrap=True)
    for k in np.flatnonzero(holding):
        cells = [column[1 + k] for column in columns[:n_shown]]
        table.add_row(str(k), f"{model.weights_[k]:.4f}", *cells, *(["…"] if n_left else []))
    return table


def _features(model: Mixture) -> list[list[str]]:
    """Name and cells of the first features."""
    spreads = deviations(model)
    return [
        [name, *map(mean_and_spread, model.means_[:, j], spreads[:, j])]
        for j, name in enumerate(feature_names(model)[:MOST_FEATURES])
    ]


def _n_fitting(columns: Sequence[Sequence[str]], width: int) -> int:
    """Return how many columns fit side by side, and at least one."""
    edges = np.cumsum([max(map(len, column)) + MARGINS for column in columns])
    return max(1, int(np.searchsorted(edges, width, side="right")))


def deviations(model: Mixture) -> np.ndarray:
    """Return the standard deviation of every feature in every component, (K, d)."""
    return np.sqrt(inputs.parameters(model).variances)


def feature_names(model: Mixture) -> list[str]:
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


def n_passes(model: Mixture) -> str:
    """Return the passes of EM as text, with a note if they did not converge."""
    return f"{model.n_iter_}" if model.converged_ else f"{model.n_iter_}, not converged"


def of_posterior(model: BayesianGaussianMixture) -> dict[str, str]:
    """Return what is said of every Bayesian mixture."""
    return {
        "active": f"{model.n_active_} of {len(model.weights_)}",
        "bound per row": f"{model.lower_bound_:.6f}",
    }


def _side_by_side(figures: Mapping[str, str], n_pairs: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 1))
    for _ in range(n_pairs):
        table.add_column(style="dim")
        table.add_column(justify="right")
    cells = [cell for pair in figures.items() for cell in pair]
    for start in range(0, len(cells), 2 * n_pairs):
        table.add_row(*cells[start : start + 2 * n_pairs])
    return table
