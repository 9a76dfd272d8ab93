"""How many components BIC and held-out rows choose, beside scikit-learn's cross-validation.

``python -m bench.tables.criteria_chosen`` draws sets of known numbers of clusters, and two without:
rows of heavy tails, and moons. It prints a Markdown table of the numbers that `select` chooses by
``bic``, ``held-out`` and ``held-out-1se`` over some seeds, and that scikit-learn's ``GridSearchCV``
chooses over five shuffled folds; then ratios of processor seconds, in turn and the least over the
seeds, since other work on the machine shows in them least: held-out rows beside BIC, and
scikit-learn beside held-out rows. One type of covariances, full; both by default arguments, so
scikit-learn stops at a change of 1e-3 per row.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.datasets import make_blobs, make_moons
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold

import fastgmm
from bench.tools.table import Table

CRITERIA = ("bic", "held-out", "held-out-1se")


class Kind(NamedTuple):
    """Rows that are drawn."""

    name: str
    true: int | None
    counts: range
    draw: Callable[[np.random.Generator], np.ndarray]


def four_blobs(rng: np.random.Generator) -> np.ndarray:
    return make_blobs(300, centers=4, cluster_std=0.6, random_state=int(rng.integers(1000)))[0]


def three_in_a_row(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((5000, 1)) + 1.8 * rng.integers(3, size=(5000, 1))


def one_in_a_hundred(rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((20_000, 2))
    rows[:200, 0] += 3.5
    return rng.permutation(rows)


def five_in_six_dimensions(rng: np.random.Generator) -> np.ndarray:
    """Return rows of five overlapping clusters, of unlike sizes and shapes."""
    labels = rng.choice(5, size=10_000, p=[0.3, 0.25, 0.2, 0.15, 0.1])
    factors = 0.3 * rng.standard_normal((5, 6, 6)) + np.eye(6)
    middles = 2.0 * rng.standard_normal((5, 6))
    return middles[labels] + np.einsum(
        "nij,nj->ni", factors[labels], rng.standard_normal((10_000, 6))
    )


def few_rows(rng: np.random.Generator) -> np.ndarray:
    """Return 60 rows of two clusters in five dimensions."""
    return rng.standard_normal((60, 5)) + 3.0 * rng.integers(2, size=(60, 1))


def heavy_tails(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_t(4, size=(5000, 2))


def moons(rng: np.random.Generator) -> np.ndarray:
    return make_moons(2000, noise=0.07, random_state=int(rng.integers(1000)))[0]


KINDS = (
    Kind("four blobs, 300 × 2", 4, range(1, 9), four_blobs),
    Kind("three in a row, 5 000 × 1", 3, range(1, 7), three_in_a_row),
    Kind("99 to 1, 20 000 × 2", 2, range(1, 6), one_in_a_hundred),
    Kind("five that overlap, 10 000 × 6", 5, range(1, 9), five_in_six_dimensions),
    Kind("two of few rows, 60 × 5", 2, range(1, 5), few_rows),
    Kind("heavy tails, 5 000 × 2", None, range(1, 9), heavy_tails),
    Kind("moons, 2 000 × 2", None, range(1, 17), moons),
)


def ours(rows: np.ndarray, counts: range, criterion: str, seed: int) -> int:
    """Return the number that we choose."""
    found = fastgmm.select(rows, counts, "full", criterion, random_state=seed)
    return found.best_estimator_.n_components


def theirs(rows: np.ndarray, counts: range, seed: int) -> int:
    """Return the number that their search chooses."""
    search = GridSearchCV(
        GaussianMixture(random_state=seed),
        {"n_components": list(counts)},
        cv=KFold(5, shuffle=True, random_state=seed),
    )
    return search.fit(rows).best_params_["n_components"]


def timed(search: Callable[[], int]) -> tuple[float, int]:
    """Return the processor seconds of a search, and what it chooses."""
    began = time.process_time()
    chosen = search()
    return time.process_time() - began, chosen


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    ours(few_rows(np.random.default_rng(0)), range(1, 3), "held-out", 0)  # compile
    ours(three_in_a_row(np.random.default_rng(0)), range(1, 3), "held-out", 0)
    names = {"rows": "", "true": "", **dict.fromkeys(CRITERIA, ""), "scikit-learn's": ""}
    table = Table(names | {"held-out / BIC": ".1f", "scikit-learn / held-out": ".1f"})
    for kind in KINDS:
        chosen: list[list[tuple[float, int]]] = [[] for _ in range(len(CRITERIA) + 1)]
        for seed in range(arguments.seeds):
            rows = kind.draw(np.random.default_rng(100 + seed))
            searches = [partial(ours, rows, kind.counts, name, seed) for name in CRITERIA]
            searches.append(partial(theirs, rows, kind.counts, seed))
            for its, search in zip(chosen, searches, strict=True):
                its.append(timed(search))
        texts = [", ".join(str(count) for _, count in its) for its in chosen]
        seconds = [min(each for each, _ in its) for its in chosen]
        held_out = min(seconds[1:3])
        table.row(
            kind.name,
            str(kind.true or "-"),
            *texts,
            held_out / seconds[0],
            seconds[3] / held_out,
        )


if __name__ == "__main__":
    main()
