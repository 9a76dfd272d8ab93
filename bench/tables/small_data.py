"""Little data: fits of 300 rows and calls on ten, beside scikit-learn from the same kind of start.

``python -m bench.tables.small_data`` prints two Markdown tables: medians of calls that take turns.
"""

from __future__ import annotations

import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from fastgmm import DegenerateComponentWarning, GaussianMixture

STARTS = ("kmeans", "k-means++", "random", "random_from_data")
CALLS = ("predict", "predict_proba", "score_samples", "score")
SEEDS, TURNS = 10, 20


def rows(n_rows: int = 300) -> np.ndarray:
    """Four round clusters that touch, in the plane."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [6.0, 6.0]])
    return centres[np.arange(n_rows) % 4] + rng.standard_normal((n_rows, 2))


def seconds(ours, theirs, n_turns: int) -> tuple[float, float]:
    """Return the median seconds of both, which take turns."""
    found = np.empty((2, n_turns))
    for turn in range(n_turns):
        for who, call in enumerate((ours, theirs)):
            began = time.perf_counter()
            call()
            found[who, turn] = time.perf_counter() - began
    return tuple(np.median(found, axis=1))


def row(name: str, times: list[tuple[float, float]], rest: str = "") -> str:
    """Return a row of a table: milliseconds of both, and how often ours fits into theirs."""
    ours, theirs = np.mean(times, axis=0)
    return f"| {name} | {ours * 1e3:.2f} | {theirs * 1e3:.2f} | {theirs / ours:.1f} |{rest}"


def fits(start: str) -> str:
    """Return the table's row of one kind of start, over some seeds."""
    data, times, passes = rows(), [], []
    for seed in range(SEEDS):
        options = {"init_params": start, "random_state": seed, "tol": 1e-3}
        ours, theirs = GaussianMixture(4, **options), Theirs(4, **options)
        times.append(seconds(partial(ours.fit, data), partial(theirs.fit, data), TURNS))
        passes.append((ours.n_iter_, theirs.n_iter_))
    mean = np.mean(passes, axis=0)
    return row(start, times, f" {mean[0]:.1f} | {mean[1]:.1f} |")


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", DegenerateComponentWarning)
    data = rows()
    GaussianMixture(4, random_state=0).fit(data).predict(data)  # compile
    print("| fit of 300 × 2, 4, tol=1e-3 | ms | scikit-learn, ms | ratio | passes | its |")
    print("| --- | --: | --: | --: | --: | --: |")
    for start in STARTS:
        print(fits(start))
    default, theirs = GaussianMixture(4, random_state=0), Theirs(4, random_state=0)
    both = seconds(partial(default.fit, data), partial(theirs.fit, data), TURNS)
    print(row("both by default", [both], f" {default.n_iter_} | {theirs.n_iter_} |"))
    print("\n| call on 10 × 2 | ms | scikit-learn, ms | ratio |\n| --- | --: | --: | --: |")
    for call in CALLS:
        pair = (partial(getattr(model, call), data[:10]) for model in (default, theirs))
        print(row(call, [seconds(*pair, 10 * TURNS)]))


if __name__ == "__main__":
    main()
