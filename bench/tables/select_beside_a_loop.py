"""What `select` chooses from many seeds, beside a loop of our own fits with five starts.

``python -m bench.tables.select_beside_a_loop`` prints a Markdown table: how often each number of
components and type of covariances is chosen by BIC over the seeds, and by how much the BIC of the
worst choice is above the lowest of the loop. Fits that warn of a degenerate component are left out
of the loop. ``--seeds 20 --most 8`` takes other numbers of seeds and of components.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA

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


def lowest_of_loop(rows: np.ndarray, most: int, types: Sequence[str]) -> float:
    """Return the lowest BIC of sound fits with five starts."""
    found = []
    for kind, count in product(types, range(1, most + 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = GaussianMixture(count, covariance_type=kind, n_init=5, random_state=0).fit(rows)
        if not any(issubclass(each.category, DegenerateComponentWarning) for each in caught):
            found.append(model.bic(rows))
    return min(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=8, help="components")
    parser.add_argument("--only", default="", help="sets whose name has this in it")
    arguments = parser.parse_args()
    table = Table({"data": "", "types": "", "chosen": "", "worst BIC above the loop's": "+.1f"})
    warnings.simplefilter("ignore")
    for name, rows in sets().items():
        if arguments.only not in name:
            continue
        for types in (("full",), ("diag",), TYPES):
            chosen, worst = Counter[str](), -np.inf
            lowest = lowest_of_loop(rows, arguments.most, types)
            for seed in range(arguments.seeds):
                found = select(rows, range(1, arguments.most + 1), types, random_state=seed)
                best = found.best_estimator_
                chosen[f"{best.covariance_type} {best.n_components}"] += 1
                worst = max(worst, best.bic(rows) - lowest)
            said = ", ".join(f"{what}: {count}" for what, count in chosen.most_common())
            table.row(name, types[0] if len(types) == 1 else "all", said, worst)


if __name__ == "__main__":
    main()
