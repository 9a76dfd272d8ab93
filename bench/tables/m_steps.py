"""What the M-step of each family costs beside a pass over the rows.

    python -m bench.tables.m_steps --rows 100000 --features 10 --components 10

EM goes on from labels that have little to do with the components, so that covariances change from
pass to pass and the axes of components have nothing in common: iterative M-steps have most to do.
An M-step is what EM calls: from sums to Cholesky factors, with all checks.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np

from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import em, passes
from fastgmm.covariance import ALL, Family
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample
from fastgmm.sources import open_source

PASSES = 40


def main() -> None:
    """Time both for each family, and print medians in milliseconds."""
    arguments = _arguments()
    rng = np.random.default_rng(1)
    k, d = arguments.components, arguments.features
    maps = rng.normal(size=(k, d, d)) * np.exp(0.5 * rng.normal(size=(k, d, 1)))
    each = [rng.normal(size=(arguments.rows // k, d)) @ m + 3 * rng.normal(size=d) for m in maps]
    rows = np.concatenate(each)
    labels = (rows @ rng.normal(size=(d, k))).argmax(axis=1)
    table = Table({"family": "", "pass, ms": ".2f", "M-step, ms": ".2f", "of a pass": ".3f"})
    for family in ALL:
        table.row(family.name, *_measured(family, rows, labels))


def _measured(family: Family, rows: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    weights, nowhere = np.full(len(rows), 1.0 / len(rows)), np.zeros(rows.shape[1])
    its = [labels == k for k in range(labels.max() + 1)]
    rule = em.Maximisation(family, 1e-6)
    members = [Members(rows[mine], weights[mine], nowhere) for mine in its]
    parameters = maximise(Sample(rows, weights, nowhere), members, rule)
    source = open_source(rows)
    of_pass, of_step = [], []
    for _ in range(PASSES):
        seconds, (found,) = timed(partial(passes.statistics, source, [parameters]))
        of_pass.append(seconds)
        with one_blas_thread():  # as in a step of EM, which is inside one
            seconds, parameters = timed(partial(rule.estimate, found, parameters))
        of_step.append(seconds)
    a, b = 1e3 * np.median(of_pass), 1e3 * np.median(of_step)
    return a, b, b / a


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--components", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
