"""Factor analysers: how well they predict digits, and what a pass over image patches costs.

    python -m bench.tables.factors [--rows 100000] [--components 200] [--factors 5]

Digits, each pixel plus noise of variance 1, of which 360 of 1797 are held out; and patches of 8 x 8
of scikit-learn's sample images, grey from 0 to 255, plus such noise. A pass of factors and one of
diagonal covariances are taken in turn, both from where some passes of EM have led. The patches need
Pillow, which comes with the `plot` extra.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from sklearn.datasets import load_digits

from bench.tables.image_patches import patches
from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture, passes
from fastgmm.sources import open_source

SEEDS = 3
REG_COVAR = 1e-3
SETTLED = 10  # passes of EM before a pass is timed
TURNS = 7


def main() -> None:
    """Print both tables."""
    arguments = _arguments()
    digits()
    patch_passes(arguments.rows, arguments.components, arguments.factors)


def digits() -> None:
    """Held-out log-likelihood per row, K = 20, beside other covariances."""
    rng = np.random.default_rng(0)
    rows = load_digits().data
    rows = rows + rng.normal(size=rows.shape)
    order = rng.permutation(len(rows))
    train, held_out = rows[order[360:]], rows[order[:360]]
    table = Table({"digits": "", "parameters": "", "train": ".2f", "held out": ".2f", "s": ".1f"})
    kinds = [("factors", q) for q in (2, 5, 8)] + [("ppca", q) for q in (2, 5, 8)]
    for kind, q in [("diag", None), ("tied", None), *kinds]:
        found = []
        for seed in range(SEEDS):
            model = GaussianMixture(
                20, covariance_type=kind, n_factors=q, random_state=seed, reg_covar=REG_COVAR
            )
            seconds, _ = timed(partial(model.fit, train))
            found.append((model.score(train), model.score(held_out), seconds))
        name = kind if q is None else f"{kind}, {q}"
        table.row(name, model._n_parameters(), *np.mean(found, axis=0))


def patch_passes(n_rows: int, n_components: int, n_factors: int) -> None:
    """Milliseconds of a pass, factors and diagonal in turn."""
    rng = np.random.default_rng(0)
    rows = 255.0 * patches()
    rows = rows[rng.choice(len(rows), n_rows, replace=False)]
    rows += rng.normal(size=rows.shape)
    source, settled = open_source(rows), []
    for kind, q in (("diag", None), ("factors", n_factors)):
        model = GaussianMixture(
            n_components,
            covariance_type=kind,
            n_factors=q,
            init_params="random_from_data",
            reg_covar=REG_COVAR,
            max_iter=SETTLED,
            acceleration=None,
            prior=None,
            random_state=0,
        )
        settled.append(model.fit(rows)._parameters())
    of_pass: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for each, parameters in zip(of_pass, settled, strict=True):
            each.append(timed(partial(passes.statistics, source, [parameters]))[0])
    of_diag, of_factors = (1e3 * np.median(each) for each in of_pass)
    table = Table({"patches": "", "ms a pass": ".0f", "of diag": ".2f"})
    table.row(f"diag, K = {n_components}", of_diag, 1.0)
    table.row(f"factors, q = {n_factors}", of_factors, of_factors / of_diag)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--components", type=int, default=200)
    parser.add_argument("--factors", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
