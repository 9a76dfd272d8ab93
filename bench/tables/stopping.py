"""Which `tol` and `stopping` find a small cluster beside a large one, and what they cost.

``python -m bench.tables.stopping`` prints two Markdown tables. The first is of two clusters of
unequal sizes, fitted from the default start with every rule. Right: an adjusted Rand index that is
at most 0.02 below that of the limit, and within 0.01 nats a row of it; the limit is where
`tol=1e-9` ends, in at most 5000 passes. The second is of ordinary sets: passes and milliseconds of
a whole fit, its start counted, the best of three turns. ``--only 4-8`` keeps the sets with this in
their names, ``--cost`` and ``--right`` one table.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from bench.tables import right_starts
from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture

RULES = [("change", tol) for tol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)]
RULES += [("aitken", tol) for tol in (1e-3, 1e-4, 1e-5, 1e-6)]
NEAR = 0.01  # nats a row
MOST = 5000  # passes


class Pair(NamedTuple):
    """Two clusters of unequal sizes, drawn by seed."""

    name: str
    draw: Callable[[int], right_starts.Drawn]
    n_seeds: int


class End(NamedTuple):
    """How one fit ended."""

    index: float
    log_likelihood: float
    n_passes: int


def round_pair(
    seed: int, n_rows: int, n_features: int, ratio: int, apart: float
) -> right_starts.Drawn:
    """Draw two round clusters so many deviations apart, the second the smaller."""
    rng = np.random.default_rng([11, seed])
    labels = (np.arange(n_rows) % (ratio + 1) == 0).astype(int)
    centres = np.zeros((2, n_features))
    centres[1] = apart / np.sqrt(n_features)
    return right_starts.Drawn(centres[labels] + rng.normal(size=(n_rows, n_features)), labels)


def tight_pair(seed: int, n_rows: int, n_features: int, ratio: int) -> right_starts.Drawn:
    """Draw the gentler ones of bench.tables.right_starts."""
    return right_starts.unequal(n_rows, n_features, ratio, np.random.default_rng([seed, 7]))


def _round(n_rows: int, n_features: int, ratio: int, apart: float, n_seeds: int = 10) -> Pair:
    name = f"{ratio}:1, {apart:g} apart, n={n_rows} d={n_features}"
    draw = partial(round_pair, n_rows=n_rows, n_features=n_features, ratio=ratio, apart=apart)
    return Pair(name, draw, n_seeds)


def _tight(n_rows: int, n_features: int, ratio: int) -> Pair:
    name = f"{ratio}:1, tight, n={n_rows} d={n_features}"
    return Pair(name, partial(tight_pair, n_rows=n_rows, n_features=n_features, ratio=ratio), 10)


PAIRS = [
    _round(5050, 8, 100, 4.0, 20),
    _round(5050, 2, 100, 4.0),
    _round(5050, 8, 100, 5.0),
    _round(20_200, 8, 100, 4.0),
    _round(20_200, 15, 100, 4.0),
    _round(30_100, 4, 300, 4.0),
    _round(30_100, 8, 300, 5.0),
    _tight(2000, 2, 100),
    _tight(5000, 6, 100),
    _tight(10_000, 10, 300),
]
ORDINARY = {
    "mixture n=300 d=2 k=3": (partial(right_starts.mixed, 300, 2, 3), 3),
    "separated n=20000 d=5 k=4": (partial(right_starts.blobs, 20_000, 5, 4), 4),
    "overlapping n=20000 d=5 k=4": (partial(right_starts.blobs, 20_000, 5, 4, distance=2.5), 4),
    "long n=20000 d=8 k=3": (partial(right_starts.oblong, 20_000, 8, 3), 3),
    "digits n=1797 d=8 k=10": (partial(right_starts.real, "digits"), 10),
    "pixels n=5000 d=3 k=5": (partial(right_starts.real, "pixels"), 5),
    "mixture n=100000 d=10 k=20": (
        lambda rng: right_starts.Drawn(data.rows(data.mixture(10, 20), 100_000), None),
        20,
    ),
}


def ended(drawn: right_starts.Drawn, seed: int, rule: str, tol: float) -> End:
    """Fit, and compare with the truth."""
    model = GaussianMixture(2, random_state=seed, max_iter=MOST, tol=tol, stopping=rule)
    model.fit(drawn.rows)
    index = adjusted_rand_score(drawn.labels, model.predict(drawn.rows))
    return End(index, float(model.score(drawn.rows)), model.n_iter_)


def print_right(only: str) -> None:
    """Print how often the small cluster is found, by rule and set, and in all sets."""
    rule_and_set = {"set": "", "stopping": "", "tol": ".0e", "right": ">"}
    table = Table(rule_and_set | {"lowest index": ".2f", "passes, median": ".0f", "most": "d"})
    n_right: dict[tuple[str, float], list[bool]] = {rule: [] for rule in RULES}
    for pair in PAIRS:
        if only not in pair.name:
            continue
        drawn = [pair.draw(seed) for seed in range(pair.n_seeds)]
        limits = [ended(d, seed, "change", 1e-9) for seed, d in enumerate(drawn)]
        for rule, tol in RULES:
            ends = [ended(d, seed, rule, tol) for seed, d in enumerate(drawn)]
            right = [
                e.index >= limit.index - 0.02 and e.log_likelihood > limit.log_likelihood - NEAR
                for e, limit in zip(ends, limits, strict=True)
            ]
            n_right[rule, tol] += right
            n_passes = [e.n_passes for e in ends]
            share, lowest = f"{sum(right)} of {len(ends)}", min(e.index for e in ends)
            table.row(pair.name, rule, tol, share, lowest, np.median(n_passes), max(n_passes))
    for (rule, tol), found in n_right.items():
        table.row("all", rule, tol, f"{sum(found)} of {len(found)}", "", "", "")


def print_cost(only: str) -> None:
    """Print passes and seconds of ordinary fits, by rule and set."""
    names = {"set": "", "stopping": "", "tol": ".0e"}
    table = Table(names | {"passes": "d", "ms": ".0f", "nats a row to the limit": ".1e"})
    for name, (draw, n_components) in ORDINARY.items():
        if only not in name:
            continue
        rows = draw(np.random.default_rng(0)).rows
        limit = fitted(rows, n_components, "change", 1e-9)[0].lower_bound_
        for rule, tol in RULES:
            model, seconds = fitted(rows, n_components, rule, tol)
            left = limit - model.lower_bound_
            table.row(name, rule, tol, model.n_iter_, 1e3 * seconds, left)


def fitted(rows: np.ndarray, n_components: int, rule: str, tol: float):
    """Fit; return the model and the seconds of the fastest of three turns."""
    seconds = []
    for _ in range(3 if tol > 1e-9 else 1):
        model = GaussianMixture(n_components, random_state=0, max_iter=MOST, tol=tol, stopping=rule)
        seconds.append(timed(model.fit, rows)[0])
    return model, min(seconds)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a set's name")
    parser.add_argument("--right", action="store_true", help="the first table alone")
    parser.add_argument("--cost", action="store_true", help="the second table alone")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if not asked.cost:
        print_right(asked.only)
    if not asked.right:
        print_cost(asked.only)


if __name__ == "__main__":
    main()
