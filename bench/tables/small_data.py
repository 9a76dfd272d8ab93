"""Little data: fits of 300 rows and calls on ten, beside scikit-learn from the same kind of start.

``python -m bench.tables.small_data`` prints two Markdown tables: medians of calls that take turns.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from bench.tools.table import Table
from bench.tools.timing import in_turn
from fastgmm import DegenerateComponentWarning, GaussianMixture

STARTS = ("kmeans", "k-means++", "random", "random_from_data")
CALLS = ("predict", "predict_proba", "score_samples", "score")
SEEDS, TURNS = 10, 20


def rows(n_rows: int = 300) -> np.ndarray:
    """Four round clusters that touch, in the plane."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [6.0, 6.0]])
    return centres[np.arange(n_rows) % 4] + rng.standard_normal((n_rows, 2))


def print_row(to: Table, name: str, times: list[np.ndarray], *rest: float) -> None:
    """Print milliseconds of both, and how often ours fits into theirs."""
    ours, theirs = np.mean(times, axis=0)
    to.row(name, ours * 1e3, theirs * 1e3, theirs / ours, *rest)


def print_fits(to: Table, start: str) -> None:
    """Print the row of one kind of start, over some seeds."""
    data, times, passes = rows(), [], []
    for seed in range(SEEDS):
        options = {"init_params": start, "random_state": seed, "tol": 1e-3}
        ours, theirs = GaussianMixture(4, **options), Theirs(4, **options)
        both = in_turn(partial(ours.fit, data), partial(theirs.fit, data), turns=TURNS)
        times.append(both.median)
        passes.append((ours.n_iter_, theirs.n_iter_))
    print_row(to, start, times, *np.mean(passes, axis=0))


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", DegenerateComponentWarning)
    data = rows()
    times = {"ms": ".2f", "scikit-learn, ms": ".2f", "ratio": ".1f"}
    table = Table({"fit of 300 × 2, 4, tol=1e-3": "", **times, "passes": ".1f", "its": ".1f"})
    for start in STARTS:
        print_fits(table, start)
    default, theirs = GaussianMixture(4, random_state=0), Theirs(4, random_state=0)
    both = in_turn(partial(default.fit, data), partial(theirs.fit, data), turns=TURNS)
    print_row(table, "both by default", [both.median], default.n_iter_, theirs.n_iter_)
    print()
    table = Table({"call on 10 × 2": "", **times})
    for call in CALLS:
        pair = (partial(getattr(model, call), data[:10]) for model in (default, theirs))
        print_row(table, call, [in_turn(*pair, turns=10 * TURNS).median])


if __name__ == "__main__":
    main()
