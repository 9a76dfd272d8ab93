"""What partial_fit loses against a batch fit, by the size of batches, and how it follows a drift.

    python -m bench.tables.online

Markdown tables: nats a row of held-out rows below the batch fit of the same rows, best seed to
worst, with the rows a second; the same where many components overlap, as a stream goes on; and nats
a row below the present mixture, where means move. Ten minutes.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture

K, D = 4, 3
MANY = 20  # components that overlap
LONG, SHORTER = 100_000, (30_000, 60_000)  # rows of such a stream
CLOSE = 0.5  # what brings means so near that EM is slow
SIZES = (1, 10, 100, 1000)
SEEDS = (0, 7, 8)
SEEDS_OF_MIXTURES = (0, 1, 2)
POWERS = (0.6, 0.7, 0.8, 0.9, 1.0)


def drawn(n_rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Four clusters of unequal size that overlap a little."""
    rng = np.random.default_rng(seed)
    means = 3.0 * np.random.default_rng(1).normal(size=(K, D)) + shift
    labels = rng.choice(K, p=[0.4, 0.3, 0.2, 0.1], size=n_rows)
    scales = np.array([0.5, 1.0, 1.5, 0.8])
    return means[labels] + scales[labels, None] * rng.normal(size=(n_rows, D))


def arrived(batches: list[np.ndarray], power: float) -> GaussianMixture:
    """Learn from all batches."""
    model = GaussianMixture(K, random_state=0, step_power=power)
    for batch in batches:
        model.partial_fit(batch)
    return model


def stationary(n_rows: int = 4_000) -> None:
    """Print what is lost by batch size."""
    held_out = drawn(20_000, seed=99)
    arrived([drawn(2_000, 0)] * 2, 0.9)  # what compiles, compiles now
    below = {"nats a row below the batch fit": ">"}
    table = Table({"rows a batch": "d", **below, "rows a second": ",.0f"})
    for size in SIZES:
        lost, clock = [], 0.0
        for seed in SEEDS:
            rows = drawn(n_rows, seed)
            whole = GaussianMixture(K, random_state=0, tol=1e-6, max_iter=1000).fit(rows)
            first = max(size, K)
            cuts = [0, *range(first, n_rows, size), n_rows]
            batches = [rows[a:b] for a, b in itertools.pairwise(cuts)]
            took, model = timed(arrived, batches, 0.9)
            clock += took
            lost.append(whole.score(held_out) - model.score(held_out))
        rate = len(SEEDS) * n_rows / clock
        table.row(size, f"{min(lost):.4f} to {max(lost):.4f}", rate)


def overlapping() -> None:
    """Print what is lost where many components overlap, on the way and by the size of batches.

    In brackets what a fit to so many rows must lose: parameters / 2n.
    """
    print()
    table = Table(
        {
            "features, distance, data set": "",
            "batch fit below the truth": ".4f",
            "stream below that fit, in batches of 100, 1000, 10 000": ">",
            "below the truth after 30 000, 60 000": ">",
            "rows a second": ",.0f",
        }
    )
    for d, scale, seed in itertools.product((10, 32), (1.0, CLOSE), SEEDS_OF_MIXTURES):
        made_of = data.mixture(d, MANY, seed)
        made_of = made_of._replace(means=scale * made_of.means)
        rows, held_out = data.rows(made_of, LONG, seed=seed), data.rows(made_of, 20_001, seed=99)
        truth = GaussianMixture.from_parameters(*made_of).score(held_out)
        whole = GaussianMixture(MANY, random_state=0).fit(rows).score(held_out)
        lost, clock, on_the_way = [], 0.0, []
        for size in (100, 1000, 10_000):
            model = GaussianMixture(MANY, random_state=0)
            for start in range(0, LONG, size):
                clock += timed(model.partial_fit, rows[start : start + size])[0]
                if size == 1000 and start + size in SHORTER:
                    on_the_way.append(truth - model.score(held_out))
            lost.append(whole - model.score(held_out))
        n_parameters = MANY * (d + 1) * (d + 2) // 2 - 1
        table.row(
            f"{d}, {scale}, {seed}",
            truth - whole,
            ", ".join(f"{each:.4f}" for each in lost),
            ", ".join(
                f"{each:.4f} ({n_parameters / 2 / n:.4f})"
                for each, n in zip(on_the_way, SHORTER, strict=True)
            ),
            3 * LONG / clock,
        )


def drift(n_batches: int = 100, speed: float = 0.05) -> None:
    """Print what is lost by power, where every batch of 500 rows has moved all means."""
    now = drawn(20_000, seed=999, shift=speed * (n_batches - 1))
    best = GaussianMixture(K, random_state=0).fit(now).score(now)
    batches = [drawn(500, seed, speed * seed) for seed in range(n_batches)]
    print()
    table = Table({"step_power": "", "nats a row below a fit of the present": ".3f"})
    for power in POWERS:
        table.row(power, best - arrived(batches, power).score(now))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stationary()
        drift()
        overlapping()
