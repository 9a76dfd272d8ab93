"""What `select` chooses from many seeds, beside a loop of our own fits with five starts.

``python -m bench.tables.select_beside_a_loop`` prints a Markdown table: how often each number of
components and type of covariances is chosen by BIC over the seeds, and by how much the BIC of the
worst choice is above the lowest of the loop. Fits that warn of a degenerate component are left out
of the loop. ``--seeds 20 --most 8`` takes other numbers of seeds and of components. ``--drawn``
takes sets of thousands of rows instead, most of them of clusters that overlap, with full
covariances, from 1 to twice the number of clusters; the loop then goes from four fewer to two more
than that number, with two starts.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA

from bench.tools import data
from bench.tools.table import Table
from fastgmm import GaussianMixture, select
from fastgmm.errors import DegenerateComponentWarning

TYPES = ("full", "tied", "diag", "spherical")


def standardised(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def sets() -> dict[str, np.ndarray]:
    """Return the sets by name."""
    blobs, _ = datasets.make_blobs(300, centers=4, cluster_std=0.60, random_state=0)
    digits = PCA(8, random_state=0).fit_transform(datasets.load_digits().data)
    return {
        "wine, standardised": standardised(datasets.load_wine().data),
        "iris": datasets.load_iris().data,
        "digits, 8 axes": digits,
        "blobs of the article": blobs,
    }


class Drawn(NamedTuple):
    """Rows drawn from a mixture of clusters that overlap."""

    n_rows: int
    n_features: int
    n_clusters: int
    seed: int

    @property
    def rows(self) -> np.ndarray:
        """Draw them."""
        made_of = data.mixture(self.n_features, self.n_clusters, self.seed)
        return data.rows(made_of, self.n_rows)


DRAWN = (
    Drawn(20_000, 5, 10, 0),
    Drawn(20_000, 5, 10, 1),
    Drawn(20_000, 2, 10, 0),
    Drawn(20_000, 2, 10, 1),
    Drawn(20_000, 3, 8, 0),
    Drawn(20_000, 3, 8, 1),
    Drawn(8_000, 4, 6, 1),
    Drawn(8_000, 10, 5, 0),
    Drawn(100_000, 3, 6, 2),
    Drawn(30_000, 8, 12, 3),
)


def lowest_of_loop(
    rows: np.ndarray, counts: Sequence[int], types: Sequence[str], n_init: int = 5
) -> float:
    """Return the lowest BIC of sound fits with several starts."""
    found = []
    for kind, count in product(types, counts):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = GaussianMixture(count, covariance_type=kind, n_init=n_init, random_state=0).fit(
                rows
            )
        if not any(issubclass(each.category, DegenerateComponentWarning) for each in caught):
            found.append(model.bic(rows))
    return min(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=8, help="components")
    parser.add_argument("--drawn", action="store_true", help="thousands of rows")
    parser.add_argument("--only", default="", help="sets whose name has this in it")
    arguments = parser.parse_args()
    table = Table({"data": "", "types": "", "chosen": "", "worst BIC above the loop's": "+.1f"})
    warnings.simplefilter("ignore")
    if arguments.drawn:
        for case in DRAWN:
            rows, k = case.rows, case.n_clusters
            name = f"{case.n_clusters} clusters, {case.n_rows}x{case.n_features}"
            lowest = lowest_of_loop(rows, range(max(1, k - 4), k + 3), ("full",), n_init=2)
            _row(table, name, rows, range(1, 2 * k + 1), ("full",), lowest, arguments.seeds)
        return
    counts = range(1, arguments.most + 1)
    for name, rows in sets().items():
        if arguments.only not in name:
            continue
        for types in (("full",), ("diag",), TYPES):
            lowest = lowest_of_loop(rows, counts, types)
            _row(table, name, rows, counts, types, lowest, arguments.seeds)


def _row(
    table: Table,
    name: str,
    rows: np.ndarray,
    counts: Sequence[int],
    types: Sequence[str],
    lowest: float,
    n_seeds: int,
) -> None:
    """Print what is chosen from each seed, and the worst of it."""
    chosen, worst = Counter[str](), -np.inf
    for seed in range(n_seeds):
        best = select(rows, counts, types, random_state=seed).best_estimator_
        chosen[f"{best.covariance_type} {best.n_components}"] += 1
        worst = max(worst, best.bic(rows) - lowest)
    said = ", ".join(f"{what}: {count}" for what, count in chosen.most_common())
    table.row(name, types[0] if len(types) == 1 else "all", said, worst)


if __name__ == "__main__":
    main()
