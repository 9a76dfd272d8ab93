"""The density of new rows where rows are few: plain and predictive, beside `GaussianMixture`.

    python -m bench.tables.predictive

Rows of three blobs of covariance 1, ten components in the Bayesian mixtures, three in the others;
means over 20 draws of the log density of some 20 000 other rows.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.datasets import make_blobs

from bench.tools.table import Table
from fastgmm import BayesianGaussianMixture, DegenerateComponentWarning, GaussianMixture

SIZES = (15, 30, 60, 150, 600)
N_ROWS, DRAWS = 20_000, 20
TOLD = {"covariance_prior": 2.0 * np.eye(2), "mean_precision_prior": 0.01}


def measure(rows: np.ndarray, others: np.ndarray, seed: int) -> list[float]:
    """Fit to some rows; return mean log densities of the others, and components with rows."""
    found: list[float] = []
    for priors in ({}, TOLD):
        model = BayesianGaussianMixture(n_components=10, random_state=seed, **priors).fit(rows)
        predictive = model.score_samples(others, predictive=True)
        found += [model.score(others), float(predictive.mean()), model.n_active_]
    for prior in ("auto", None):
        likeliest = GaussianMixture(3, prior=prior, random_state=seed).fit(rows)
        found.append(likeliest.score(others))
    return found


def main() -> None:
    """Print the table."""
    drawn, _ = make_blobs(N_ROWS, centers=3, random_state=1)
    kinds = ("default priors", "told the covariance")
    columns = {"rows": "d"}
    for kind in kinds:
        columns |= {f"{kind}: plain": ".3f", f"{kind}: predictive": ".3f", f"{kind}: active": ".2f"}
    table = Table(columns | {"GaussianMixture(3)": ".3f", "and prior=None": ".3f"})
    for size in SIZES:
        found = []
        for seed in range(DRAWS):
            order = np.random.default_rng(seed).permutation(N_ROWS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DegenerateComponentWarning)
                found.append(measure(drawn[order[:size]], drawn[order[size:]], seed))
        table.row(size, *np.mean(found, axis=0).tolist())


if __name__ == "__main__":
    main()
