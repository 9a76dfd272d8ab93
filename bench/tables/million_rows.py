"""A whole fit of a million rows with default arguments, and scoring them, beside scikit-learn.

    python -m bench.tables.million_rows [--rows 1000000] [--features 10] [--components 20]
                                        [--seeds 5]

Held-out rows judge both fits. Memory is what the process holds above the rows at its peak. With
`--seeds` only fits are compared, from each of so many seeds: ours before and after scikit-learn's.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from bench.tables.image_patches import Peak
from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture

SCORES = ("predict", "predict_proba", "score_samples")


def fit_from(estimator: type, rows: Any, n_components: int, seed: int) -> tuple[float, Any]:
    """Fit with default arguments from a seed; return the seconds and the model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return timed(estimator(n_components, random_state=seed).fit, rows)


def print_seeds(n_rows: int, n_features: int, n_components: int, n_seeds: int) -> None:
    """Print how often our fit fits into scikit-learn's, and what held-out rows say, by seed."""
    mixture = data.mixture(n_features, n_components)
    rows = data.rows(mixture, n_rows)
    held_out = data.rows(mixture, n_rows // 10, seed=1)
    fit_from(GaussianMixture, rows, n_components, 0)  # compiles
    of_both = {"s": ".2f", "scikit-learn, s": ".1f", "ratio": ".0f"}
    judged = {"held out": ".4f", "scikit-learn": ".4f", "passes": "d", "its": "d"}
    table = Table({"seed": "", **of_both, **judged})
    for seed in range(n_seeds):
        before, ours = fit_from(GaussianMixture, rows, n_components, seed)
        took, theirs = fit_from(Theirs, rows, n_components, seed)
        mean = (before + fit_from(GaussianMixture, rows, n_components, seed)[0]) / 2
        scores = ours.score(held_out), theirs.score(held_out)
        table.row(str(seed), mean, took, took / mean, *scores, ours.n_iter_, theirs.n_iter_)


def fit_with_peak(estimator: type, rows: Any, n_components: int) -> tuple[Any, float]:
    """Fit with default arguments; return the model and the megabytes above the rows."""
    peak = Peak()
    peak.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = estimator(n_components, random_state=0).fit(rows)
    peak.done.set()
    peak.join()
    return model, (peak.most - peak.before) / 1e6


def measure(n_rows: int, n_features: int, n_components: int) -> dict[str, dict[str, float]]:
    """Fit and score with both: what was found, by library."""
    mixture = data.mixture(n_features, n_components)
    rows = data.rows(mixture, n_rows)
    held_out = data.rows(mixture, n_rows // 10, seed=1)
    fit_with_peak(GaussianMixture, rows, n_components)  # compiles
    table: dict[str, dict[str, float]] = {}
    for name, estimator, turns in (("fastgmm", GaussianMixture, 3), ("scikit-learn", Theirs, 1)):
        fits = [timed(fit_with_peak, estimator, rows, n_components) for _ in range(turns)]
        model, memory = fits[-1][1]
        found = table[name] = {"fit, s": min(took for took, _ in fits), "MB above the rows": memory}
        found["passes"] = model.n_iter_
        found["held-out log-likelihood"] = model.score(held_out)
        for score in SCORES:
            getattr(model, score)(held_out)
            scored = getattr(model, score)
            found[f"{score}, s"] = min(timed(scored, rows)[0] for _ in range(turns))
    return table


def main() -> None:
    """Fit and score with both, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--components", type=int, default=20)
    parser.add_argument("--seeds", type=int)
    arguments = parser.parse_args()
    shape = arguments.rows, arguments.features, arguments.components
    if arguments.seeds:
        print_seeds(*shape, arguments.seeds)
        return
    table = measure(*shape)
    for name, found in table.items():
        print(name, {key: round(value, 4) for key, value in found.items()})
    for key in ("fit, s", *(f"{score}, s" for score in SCORES)):
        print(f"{key[:-3]}: {table['scikit-learn'][key] / table['fastgmm'][key]:.1f} times")


if __name__ == "__main__":
    main()
