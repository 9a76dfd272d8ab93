"""What choosing a prior costs: a default fit beside one by maximum likelihood.

``python -m bench.tables.cost_of_prior`` times both in turn on a collection of 300, 2000 and 100 000
rows, by the clock, and prints a Markdown table, with the median of each size at the end.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from sklearn.datasets import load_iris, make_blobs

from bench.tools.table import Table
from bench.tools.timing import in_turn
from fastgmm import GaussianMixture

SHAPES = [(2, 2, 0.6), (4, 2, 0.6), (7, 2, 0.6), (4, 10, 1.5), (3, 5, 3.0)]  # K, d, deviation
LARGER = [(3, 2, 1.5), (8, 2, 1.5), (8, 5, 3.0), (4, 10, 2.0), (12, 8, 3.0)]
SIZES = {300: SHAPES, 2000: LARGER, 100_000: LARGER[:4]}
SEEDS, TURNS = 3, 3


def measure(n_components: int, rows: np.ndarray) -> np.ndarray:
    """Return the median seconds of both over seeds and turns: default, and maximum likelihood."""
    found = []
    for seed in range(SEEDS):
        ours = GaussianMixture(n_components, random_state=seed)
        plain = GaussianMixture(n_components, random_state=seed, prior=None)
        fits = (partial(ours.fit, rows), partial(plain.fit, rows))
        found.append(in_turn(*fits, turns=TURNS).seconds)
    return np.median(np.concatenate(found), axis=0)


def main() -> None:
    """Print the table and the medians."""
    warnings.simplefilter("ignore")
    table = Table(
        {"data": "", "K": "d", "default, ms": ".1f", "prior=None, ms": ".1f", "times": ".2f"}
    )
    for n_rows, shapes in SIZES.items():
        sets = []
        for n_components, d, deviation in shapes:
            rows, _ = make_blobs(
                n_rows, d, centers=4, cluster_std=deviation, shuffle=True, random_state=0
            )
            sets.append((f"4 blobs {n_rows}×{d}, deviation {deviation}", n_components, rows))
        if n_rows == min(SIZES):
            sets.append(("iris", 3, load_iris().data))
        found = []
        for name, n_components, rows in sets:
            found.append(1e3 * measure(n_components, rows))
            table.row(name, n_components, *found[-1], found[-1][0] / found[-1][1])
        default, plain = np.median(found, axis=0)
        ratio = np.median([each[0] / each[1] for each in found])
        table.row(f"median, {n_rows} rows", len(found), default, plain, ratio)


if __name__ == "__main__":
    main()
