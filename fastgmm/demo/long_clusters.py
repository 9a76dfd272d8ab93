"""Part two: long parallel clusters, which k-means splits wrongly and a mixture finds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from fastgmm import plot
from fastgmm.demo.figure import saved_figure
from fastgmm.estimators.gaussian_mixture import GaussianMixture

STRETCH = np.array([[0.6, -0.6], [-0.4, 0.8]])  # makes three round blobs long and parallel


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same rows labelled by k-means and by a mixture, and how right each is."""

    rows: np.ndarray  # (1500, 2)
    kmeans: KMeans
    mixture: GaussianMixture
    kmeans_index: float  # adjusted Rand index: 1 is right, 0 is chance
    mixture_index: float


def compare() -> Comparison:
    """Fit both to three stretched blobs."""
    blobs, truth = make_blobs(n_samples=1500, centers=3, random_state=170)
    rows = blobs @ STRETCH
    kmeans = KMeans(3, n_init=10, random_state=0).fit(rows)
    mixture = GaussianMixture(3, random_state=0).fit(rows)
    return Comparison(
        rows,
        kmeans,
        mixture,
        adjusted_rand_score(truth, kmeans.labels_),
        adjusted_rand_score(truth, mixture.predict(rows)),
    )


def draw(found: Comparison, path: Path) -> None:
    """Draw both labellings side by side."""

    def panels(axes: Any) -> None:
        _draw_kmeans(found, axes[0])
        axes[0].set_title(f"k-means: adjusted Rand index {found.kmeans_index:.2f}")
        plot.clusters(found.mixture, found.rows, axes[1])
        axes[1].set_title(f"mixture: adjusted Rand index {found.mixture_index:.2f}")

    saved_figure(path, panels)


def _draw_kmeans(found: Comparison, ax: Any) -> None:
    centres = found.kmeans.cluster_centers_
    colours = plot.component_colours(len(centres))[_nearest(centres, found.mixture.means_)]
    colours = colours[found.kmeans.labels_]
    ax.scatter(*found.rows.T, s=plot.point_size(len(found.rows)), c=colours, linewidths=0)
    ax.plot(
        *centres.T, "X", color="white", markeredgecolor=plot.INK, markersize=10, label="centres"
    )
    ax.set_xlabel("feature 0")
    ax.set_ylabel("feature 1")
    ax.legend(frameon=False, fontsize="small")


def _nearest(centres: np.ndarray, means: np.ndarray) -> list[int]:
    """Pair each centre with one mean, so that both panels give alike clusters one colour."""
    orders = map(list, permutations(range(len(means))))
    return min(orders, key=lambda order: float(((centres - means[order]) ** 2).sum()))
