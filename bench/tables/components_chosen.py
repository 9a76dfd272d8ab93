"""How many components `select` chooses of long data, beside scikit-learn's loop.

``python -m bench.tables.components_chosen`` draws two clusters, 99 to 1 and 3.5 deviations apart,
and three in a row, 1.8 apart, of 20 000 to a million rows; 1 to 5 components, full covariances. It
prints a Markdown table of the numbers chosen by BIC over three seeds, and seconds: ours by default,
and a loop of scikit-learn's fits on the same rows, by its own ``tol`` and by the 1e-6 that it needs
to be right.

``python -m bench.tables.components_chosen --drawn 40`` draws so many mixtures of 2 to 5 components,
in 1 to 6 dimensions, that overlap, and prints how much higher than that of EM from the truth the
BIC is that we choose (a larger one is a start that has failed, or a choice that is wrong).
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial

import numpy as np
from sklearn.mixture import GaussianMixture

import fastgmm
from bench.tools.table import Table
from bench.tools.timing import timed

COUNTS = range(1, 6)
SEEDS = range(3)
LARGEST_OF_THEIRS = 300_000  # rows: their loop with tol=1e-6 takes minutes


def two_clusters(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((n_rows, 2))
    rows[: n_rows // 100, 0] += 3.5
    return rng.permutation(rows)


def three_in_a_row(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n_rows, 1)) + 1.8 * rng.integers(3, size=(n_rows, 1))


def theirs(rows: np.ndarray, seed: int, tol: float) -> int:
    """Return the number that their loop chooses."""
    fits = [GaussianMixture(k, random_state=seed, tol=tol, max_iter=1000) for k in COUNTS]
    criteria = [each.fit(rows).bic(rows) for each in fits]
    return COUNTS[int(np.argmin(criteria))]


def ours(rows: np.ndarray, seed: int) -> int:
    """Return the number that we choose."""
    return fastgmm.select(rows, COUNTS, "full", random_state=seed).best_estimator_.n_components


def long_data() -> None:
    """Print the table of the two kinds."""
    ours_and_times = {"ours": "", "s": ".2f", "scikit-learn": "", "times": ".1f"}
    its = {"its, tol=1e-6": "", "times, tol=1e-6": ".1f"}
    table = Table({"data": "", "rows": "d", "true": "d"} | ours_and_times | its)
    for name, true, draw in (
        ("99 to 1", 2, two_clusters),
        ("three in a row", 3, three_in_a_row),
    ):
        for n_rows in (20_000, 100_000, 300_000, 1_000_000):
            found: list[list[tuple[float, int]]] = [[], [], []]
            for seed in SEEDS:
                rows = draw(n_rows, np.random.default_rng(100 + seed))
                found[0].append(timed(ours, rows, seed))
                if n_rows <= LARGEST_OF_THEIRS:
                    found[1].append(timed(theirs, rows, seed, 1e-3))
                    found[2].append(timed(theirs, rows, seed, 1e-6))
            chosen = [", ".join(str(k) for _, k in each) or "-" for each in found]
            seconds = [sum(s for s, _ in each) / len(SEEDS) for each in found]
            ratios = [each / seconds[0] if each else None for each in seconds]
            theirs_and_times = chosen[1], ratios[1], chosen[2], ratios[2]
            table.row(name, n_rows, true, chosen[0], seconds[0], *theirs_and_times)


def mixture(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw a mixture and rows of it: weights, means, covariances, rows."""
    rng = np.random.default_rng(1000 + seed)
    n_rows, n_features = int(rng.choice([20_000, 100_000, 300_000])), int(rng.choice([1, 2, 3, 6]))
    n_components, apart = int(rng.integers(2, 6)), rng.choice([1.5, 2.0, 3.0])
    weights = np.maximum(rng.dirichlet(np.full(n_components, 0.7)), 0.003)
    weights /= weights.sum()
    means = apart * rng.standard_normal((n_components, n_features))
    factors = 0.3 * rng.standard_normal((n_components, n_features, n_features))
    factors += np.eye(n_features) * rng.uniform(0.5, 1.5, size=(n_components, 1, 1))
    labels = rng.choice(n_components, size=n_rows, p=weights)
    steps = np.einsum("nij,nj->ni", factors[labels], rng.standard_normal((n_rows, n_features)))
    return weights, means, factors @ factors.swapaxes(1, 2), means[labels] + steps


def drawn(count: int) -> None:
    """Print a line for every mixture drawn."""
    names = {"rows × features": "", "components": "d", "chosen": "d"}
    names |= {"BIC above the truth's": ".1f", "doubt": ".2f", "passes": "d", "s": ".1f"}
    lines = Table(names)
    for seed in range(count):
        weights, means, covariances, rows = mixture(seed)
        counts = range(1, len(weights) + 4)
        choose = partial(fastgmm.select, rows, counts, "full", random_state=seed)
        seconds, found = timed(choose)
        truth = fastgmm.GaussianMixture(
            len(weights),
            weights_init=weights,
            means_init=means,
            precisions_init=np.linalg.inv(covariances),
            tol=1e-9,
            max_iter=3000,
            acceleration="squarem",
        ).fit(rows)
        best, table = found.best_estimator_, found.table
        above = best.bic(rows) - truth.bic(rows)
        at = int(np.flatnonzero(table["n_components"] == best.n_components)[0])
        lines.row(
            f"{len(rows)} × {rows.shape[1]}",
            len(weights),
            best.n_components,
            above,
            table["doubt"][at],
            table["n_passes"].max(),
            seconds,
        )


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawn", type=int, default=0, help="mixtures to draw instead")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    ours(two_clusters(1000, np.random.default_rng(0)), 0)  # compile
    if arguments.drawn:
        drawn(arguments.drawn)
    else:
        long_data()


if __name__ == "__main__":
    main()
