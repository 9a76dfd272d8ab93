"""Whether curves of the log-likelihood dip, over many data sets and seeds.

``python -m bench.tables.curve_dips`` sweeps 1 to 10 components of all four covariance types over
each, and prints a Markdown table: the smallest gain of one more component on any curve, in nats a
row, and how many components BIC chose. A dip is a start that has failed, since one more component
can only add to the likelihood.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
from sklearn.datasets import load_digits, load_iris, load_wine

from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import DegenerateComponentWarning, select

COUNTS = range(1, 11)
DRAWS, SEEDS = 3, 2


def drawn(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Walk data sets of one draw."""
    rng = np.random.default_rng(seed)
    centres = 3.0 * rng.standard_normal((5, 2))
    yield "5 blobs, d=2", centres[rng.integers(5, size=1500)] + rng.standard_normal((1500, 2))
    turns = rng.standard_normal((4, 6, 6)) / np.sqrt(6.0)
    labels = rng.integers(4, size=2000)
    steps = np.einsum("nij,nj->ni", turns[labels], rng.standard_normal((2000, 6)))
    yield "4 oblong, d=6", 3.0 * rng.standard_normal((4, 6))[labels] + steps
    yield "noise, d=3", rng.standard_normal((1500, 3))
    unequal = rng.standard_normal((3000, 2))
    unequal[:30] = 0.1 * unequal[:30] + [6.0, 0.0]
    yield "100:1, d=2", unequal


def real() -> Iterator[tuple[str, np.ndarray]]:
    """Walk data sets that scikit-learn ships."""
    yield "iris", load_iris().data
    yield "wine, d=5", load_wine().data[:, :5]
    digits = load_digits().data - load_digits().data.mean(axis=0)
    yield "digits, d=6", digits @ np.linalg.svd(digits, full_matrices=False)[2][:6].T


def smallest_gain(table, n_rows: int) -> float:
    """Return the least that one more component has added on any of the curves, in nats a row."""
    gains = [
        np.diff(table["log_likelihood"][table["covariance_type"] == name]).min()
        for name in np.unique(table["covariance_type"])
    ]
    return np.min(gains) / n_rows  # not a number where a candidate's is none


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore", DegenerateComponentWarning)
    gain = {"smallest gain, nats a row": ".5f"}
    table = Table({"data": "", "draw, seed": ">", **gain, "by BIC": "", "s": ".1f"})
    sets = [(draw, *each) for draw in range(DRAWS) for each in drawn(draw)]
    for draw, name, rows in sets + [(0, *each) for each in real()]:
        for seed in range(SEEDS):
            seconds, found = timed(partial(select, rows, COUNTS, random_state=seed))
            best = found.best_estimator_
            lowest = smallest_gain(found.table, len(rows))
            chosen = f"{best.n_components} {best.covariance_type}"
            table.row(name, f"{draw}, {seed}", lowest, chosen, seconds)


if __name__ == "__main__":
    main()
