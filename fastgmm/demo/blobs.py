"""Part one: the number of clusters by BIC and AIC, on the blobs of a well-known article."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_blobs

from fastgmm import plot
from fastgmm.demo.figure import saved_figure
from fastgmm.estimators.gaussian_mixture import GaussianMixture

# the article's start and tol, ten times so that no curve has a bump where one went wrong
START: dict[str, Any] = {
    "init_params": "kmeans",
    "n_init": 10,
    "tol": 1e-3,
    "max_iter": 2000,
    "random_state": 0,
}


@dataclass(frozen=True, eq=False)
class Sweep:
    """The criteria over the number of components, and the model where BIC is least."""

    rows: np.ndarray  # (300, 2)
    n_components: list[int]
    bic: list[float]
    aic: list[float]
    best: GaussianMixture

    @property
    def least_bic(self) -> int:
        """Number of components where BIC is least."""
        return self.n_components[int(np.argmin(self.bic))]

    @property
    def least_aic(self) -> int:
        """Number of components where AIC is least."""
        return self.n_components[int(np.argmin(self.aic))]


def sweep(largest: int = 20) -> Sweep:
    """Fit 1 to `largest` components to four round clusters."""
    rows, _ = make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)
    n_components = list(range(1, largest + 1))
    models = [GaussianMixture(k, **START).fit(rows) for k in n_components]
    bic, aic = ([getattr(model, name)(rows) for model in models] for name in ("bic", "aic"))
    return Sweep(rows, n_components, bic, aic, models[int(np.argmin(bic))])


def draw(found: Sweep, path: Path) -> None:
    """Draw the criteria, and the clusters that BIC chose."""

    def panels(axes: Any) -> None:
        plot.criteria(found.n_components, {"BIC": found.bic, "AIC": found.aic}, axes[0])
        axes[0].set_title("How many components?")
        plot.clusters(found.best, found.rows, axes[1])
        axes[1].set_title(f"The mixture of {found.least_bic} that BIC chooses")

    saved_figure(path, panels)
