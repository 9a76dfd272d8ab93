"""What starts cost: k-means beside scikit-learn's KMeans, and the default start beside its fit.

``python -m bench.tables.cost_of_starts`` prints two Markdown tables, ``python -m
bench.tables.cost_of_starts many`` the default fit of hundreds of components beside scikit-learn's,
by seconds and likelihood, and ``python -m bench.tables.cost_of_starts wide`` what the default start
of many features costs beside a dense pass of EM, in seconds of one processor. Both k-means label
all that they see by k-means++ and Lloyd's steps with a tolerance of 1e-4; ours sees a sample of at
most 50 000 rows, and draws it and takes an M-step in the time shown.
"""

from __future__ import annotations

import sys
import time
import warnings

import numba
import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SkMixture
from threadpoolctl import threadpool_limits

from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import DegenerateComponentWarning, GaussianMixture, passes
from fastgmm.covariance import family
from fastgmm.em import Maximisation
from fastgmm.initialisation.auto import regularised_start
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.prior_strength import STRENGTHS
from fastgmm.initialisation.work import Shape, cost, planned
from fastgmm.passes.subsample import draw_sample, most_rows
from fastgmm.sources import open_source

CASES = (  # rows, features, components
    (300, 2, 3),
    (2_000, 2, 4),
    (20_000, 10, 10),
    (200_000, 10, 20),
    (100_000, 32, 16),
)
FITS = (  # of the default start
    (300, 2, 3),
    (100_000, 8, 8),
    (1_000_000, 8, 8),
    (1_000_000, 2, 12),
)
MANY = ((50_000, 4, 100), (50_000, 4, 300), (20_000, 2, 1000))
WIDE = (  # rows, features, components
    (2_000, 60, 5),
    (2_000, 300, 5),
    (20_000, 30, 20),
    (20_000, 100, 5),
    (20_000, 100, 20),
    (20_000, 100, 100),
    (5_000, 500, 5),
    (1_200, 1_200, 5),
    (200_000, 30, 20),
)
KINDS = ("full", "tied", "diag", "spherical")
TOLERANCES = (1e-3, 1e-5, 1e-7)
TURNS = 5


def drawn(n_rows: int, n_features: int, n_components: int) -> np.ndarray:
    """Clusters that overlap a little."""
    rng = np.random.default_rng(0)
    centres = 3.0 * rng.standard_normal((n_components, n_features))
    labels = rng.integers(n_components, size=n_rows)
    return centres[labels] + rng.standard_normal((n_rows, n_features))


def start(rows: np.ndarray, n_components: int, method: str, seed: int, kind: str = "full") -> None:
    """Find the first parameters of a fit."""
    rng = np.random.default_rng(seed)
    rule = Maximisation(family(kind), 1e-6)
    start_from(draw_sample(open_source(rows), rng), method, n_components, rule, rng)


def best_ms(work, turns: int = TURNS) -> float:
    """Milliseconds of the best of several turns, each of its own seed, after one that compiles."""
    work(0)
    return 1e3 * min(timed(work, turn)[0] for turn in range(1, turns + 1))


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", DegenerateComponentWarning)
    if "many" in sys.argv[1:]:
        print_many()
        return
    if "wide" in sys.argv[1:]:
        numba.set_num_threads(1)
        with threadpool_limits(1):
            print_wide()
        return
    print_k_means()
    print()
    print_default()


def print_wide() -> None:
    """Print what the default start of many features, and of its prior, costs beside a pass."""
    times = dict.fromkeys(("start, ms", "dense pass, ms", "passes", "planned"), ".1f")
    table = Table({"rows × features, components": "", "type": ""} | times)
    for n_rows, n_features, k in WIDE:
        rows = drawn(n_rows, n_features, k) / 3.0
        for kind in KINDS:
            shape = Shape(n_rows, n_features, k, family(kind).structure)
            n_sampled = min(n_rows, most_rows(n_features))
            plan = cost(planned(shape, n_sampled), shape, n_sampled) / shape.dense_pass
            begin, dense = start_and_pass(rows, k, kind)
            title = f"{n_rows} × {n_features}, {k}"
            table.row(title, kind, 1e3 * begin, 1e3 * dense, begin / dense, plan)


def start_and_pass(rows: np.ndarray, n_components: int, kind: str) -> tuple[float, float]:
    """Return the processor's seconds of a start and of a pass with its M-step: the best of two."""
    rule, source = Maximisation(family(kind), 1e-6), open_source(rows)
    seconds = [[], []]
    for seed in range(3):
        begin, rng = time.process_time(), np.random.default_rng(seed)
        sample = draw_sample(source, rng)
        found = regularised_start(sample, n_components, rule, STRENGTHS, rng).parameters
        seconds[0].append(time.process_time() - begin)
        begin = time.process_time()
        rule.estimate(*passes.statistics(source, [found], prune=False), found)
        seconds[1].append(time.process_time() - begin)
    return min(seconds[0][1:]), min(seconds[1][1:])


def print_many() -> None:
    """Print default fits of hundreds of components, diagonal, of clusters that overlap."""
    times = dict.fromkeys(("start, s", "fit, s", "scikit-learn, s"), ".1f")
    above = {"nats a row above scikit-learn": ".4f"}
    table = Table({"rows × features, components": ""} | times | above)
    start(drawn(3_000, 2, 60), 60, "auto", 0, "diag")  # compiles
    for n_rows, n_features, k in MANY:
        rng = np.random.default_rng(0)
        centres = 10.0 * rng.normal(size=(k, n_features))
        rows = centres[rng.integers(k, size=n_rows)] + rng.normal(size=(n_rows, n_features))
        ours = GaussianMixture(k, covariance_type="diag", random_state=0)
        theirs = SkMixture(k, covariance_type="diag", random_state=0)
        found = [
            timed(start, rows, k, "auto", 0, "diag")[0],
            timed(ours.fit, rows)[0],
            timed(theirs.fit, rows)[0],
        ]
        table.row(f"{n_rows} × {n_features}, {k}", *found, ours.score(rows) - theirs.score(rows))


def print_default() -> None:
    """Print what the default start takes of a fit."""
    parts = {f"fit, ms, and part, tol={tol:g}": ">" for tol in TOLERANCES}
    table = Table({"rows × features, components": "", "start, ms": ".1f", **parts})
    for n_rows, n_features, k in FITS:
        rows = drawn(n_rows, n_features, k)
        begin = best_ms(lambda seed, rows=rows, k=k: start(rows, k, "auto", seed), 3)
        fits = [best_ms(fit, 3) for fit in fits_of(rows, k)]
        parts = (f"{fit:.1f}, {begin / fit:.2f}" for fit in fits)
        table.row(f"{n_rows} × {n_features}, {k}", begin, *parts)


def fits_of(rows: np.ndarray, n_components: int):
    """Walk the fits by seed, one for each tolerance."""
    for tol in TOLERANCES:
        yield lambda seed, tol=tol: GaussianMixture(
            n_components, random_state=seed, tol=tol, max_iter=500
        ).fit(rows)


def print_k_means() -> None:
    """Print k-means beside scikit-learn's."""
    table = Table(
        {
            "rows × features, components": "",
            "k-means, ms": ".1f",
            "KMeans, ms": ".1f",
            "in KMeans": ".2f",
            "k-means++, ms": ".1f",
            "kmeans_plusplus, ms": ".1f",
            "in kmeans_plusplus": ".2f",
            "k-means' part of a fit, tol=1e-5": ".2f",
            "by default": ".2f",
        }
    )
    for n_rows, n_features, k in CASES:
        rows = drawn(n_rows, n_features, k)
        ours, theirs, plus, their_plus, loose, fit = (
            best_ms(work)
            for work in (
                lambda seed, rows=rows, k=k: start(rows, k, "kmeans", seed),
                lambda seed, rows=rows, k=k: KMeans(k, n_init=1, random_state=seed).fit(rows),
                lambda seed, rows=rows, k=k: start(rows, k, "k-means++", seed),
                lambda seed, rows=rows, k=k: kmeans_plusplus(rows, k, random_state=seed),
                lambda seed, rows=rows, k=k: GaussianMixture(
                    k, init_params="kmeans", tol=1e-5, random_state=seed
                ).fit(rows),
                lambda seed, rows=rows, k=k: GaussianMixture(
                    k, init_params="kmeans", random_state=seed
                ).fit(rows),
            )
        )
        k_means, seeding = (ours, theirs, ours / theirs), (plus, their_plus, plus / their_plus)
        title = f"{n_rows} × {n_features}, {k}"
        table.row(title, *k_means, *seeding, ours / loose, ours / fit)


if __name__ == "__main__":
    main()
