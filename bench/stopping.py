"""Which `tol` and `stopping` find a cluster a hundredth the size of its neighbour, and the cost.

``python -m bench.stopping`` prints a Markdown table over 20 seeds of each of two sets: two round
clusters, four deviations apart, 100:1, in 8 dimensions and in 2. Right: an adjusted Rand index that
is at most 0.02 below that of the limit, and within 0.01 nats a row of it; the limit is where
`tol=1e-9` ends from the same start.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from fastgmm import GaussianMixture

SEEDS = range(20)
RULES = [(rule, tol) for rule in ("change", "aitken") for tol in (1e-3, 1e-4, 1e-5, 1e-6)]
STARTS = ("auto", "kmeans")
SETS = ((5050, 8), (5050, 2))  # rows, features
APART = 4.0  # deviations
NEAR = 0.01  # nats a row


class End(NamedTuple):
    """How one fit ended."""

    index: float
    log_likelihood: float
    n_passes: int


def drawn(seed: int, n_rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw two round clusters, the second a hundredth the size of the first."""
    rng = np.random.default_rng([11, seed])
    labels = (np.arange(n_rows) % 101 == 0).astype(int)
    centres = np.zeros((2, n_features))
    centres[1] = APART / np.sqrt(n_features)
    return centres[labels] + rng.normal(size=(n_rows, n_features)), labels


def ended(rows: np.ndarray, labels: np.ndarray, seed: int, **settings) -> End:
    """Fit, and compare with the truth."""
    model = GaussianMixture(2, random_state=seed, max_iter=2000, **settings).fit(rows)
    index = adjusted_rand_score(labels, model.predict(rows))
    return End(index, float(model.score(rows)), model.n_iter_)


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    print("| features, start | stopping | tol | right | lowest index | passes, median | most |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for n_rows, n_features in SETS:
        data = [drawn(seed, n_rows, n_features) for seed in SEEDS]
        for start in STARTS:
            limits = [ended(*data[s], s, tol=1e-9, init_params=start) for s in SEEDS]
            for rule, tol in RULES:
                ends = [
                    ended(*data[s], s, tol=tol, stopping=rule, init_params=start) for s in SEEDS
                ]
                right = [
                    e.index >= limit.index - 0.02 and e.log_likelihood > limit.log_likelihood - NEAR
                    for e, limit in zip(ends, limits, strict=True)
                ]
                n_passes = [e.n_passes for e in ends]
                print(
                    f"| {n_features}, {start} | {rule} | {tol:.0e} | {sum(right)} of {len(ends)} "
                    f"| {min(e.index for e in ends):.2f} | {np.median(n_passes):.0f} "
                    f"| {max(n_passes)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
