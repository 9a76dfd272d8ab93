"""What the concentration of the weights does: three blobs, ten components.

    python -m bench.tables.concentration [--out bayesian.png]

Drawn are ellipses of one and two standard deviations, the fainter the less weight, and above them
the number of components that hold rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_blobs

from bench.tools.table import Table
from fastgmm import BayesianGaussianMixture
from fastgmm.plot import component_colours

CONCENTRATIONS = (1e-3, 1.0, 1e3)
KINDS = ("dirichlet_process", "dirichlet_distribution")
N_COMPONENTS = 10
FAINTEST = 0.002  # weights below are not seen: of 600 rows it is one


def fits(rows: np.ndarray) -> dict[tuple[str, float], Any]:
    """Fit each prior with each concentration."""
    found = {}
    for kind in KINDS:
        for concentration in CONCENTRATIONS:
            model = BayesianGaussianMixture(
                n_components=N_COMPONENTS,
                weight_concentration_prior_type=kind,
                weight_concentration_prior=concentration,
                random_state=0,
            )
            found[kind, concentration] = model.fit(rows)
    return found


def draw(rows: np.ndarray, found: dict[tuple[str, float], Any], path: Path) -> None:
    """Draw the fits side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    grid = figure.subplots(len(KINDS), len(CONCENTRATIONS), sharex=True, sharey=True)
    for ax, ((kind, concentration), model) in zip(grid.flat, found.items(), strict=True):
        ax.scatter(*rows.T, s=6, c="#c9ced6", linewidths=0)
        for k in np.argsort(model.weights_):
            if model.weights_[k] >= FAINTEST:
                _ellipses(model, k, ax)
        ax.set_title(f"concentration {concentration:g}: n_active_ = {model.n_active_}", size=10)
        if concentration == CONCENTRATIONS[0]:
            ax.set_ylabel(kind)
        ax.set_aspect("equal")
    figure.savefig(path, dpi=80)


def _ellipses(model: Any, k: int, ax: Any) -> None:
    """Draw a component as faint as its weight is low."""
    from matplotlib.patches import Ellipse

    variances, axes = np.linalg.eigh(model.covariances_[k])
    degrees = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    opacity = float(np.sqrt(model.weights_[k] / model.weights_.max()))
    for times in (1, 2):
        height, width = 2 * times * np.sqrt(variances)
        ellipse = Ellipse(model.means_[k], width, height, angle=degrees, alpha=opacity)
        ellipse.set(facecolor="none", edgecolor=component_colours(1)[0], linewidth=2 / times)
        ax.add_patch(ellipse)


def main() -> None:
    """Print the table, and draw it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows, _ = make_blobs(600, centers=3, random_state=1)
    found = fits(rows)
    columns = {"prior of the weights": "", "concentration": "g", "active": "d", "bound": ".3f"}
    table = Table(columns | {"least weight": ".4f", "largest": ".4f", "passes": "d"})
    for (kind, concentration), model in found.items():
        weights = model.weights_
        numbers = model.n_active_, model.lower_bound_, weights.min(), weights.max(), model.n_iter_
        table.row(kind, concentration, *numbers)
    if arguments.out:
        draw(rows, found, arguments.out)


if __name__ == "__main__":
    main()
