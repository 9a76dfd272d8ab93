"""Clusters with rows that belong to none: plain, with noise and with heavy tails, beside others.

    python -m bench.tables.contaminated
    python -m bench.tables.contaminated --tgmm /path/to/python

Three normal clusters of 2000 rows in all, in four dimensions, of ten seeds. mclust (through
Rscript, where it is installed) is given as the noise of its start the twentieth of the rows that is
farthest from its fifth neighbour. tgmm is run by a Python that has it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from bench.tools.table import Table
from fastgmm import GaussianMixture, StudentTMixture

SEEDS, N_ROWS, N_FEATURES, K = 10, 2000, 4, 3
NONE = -1

MCLUST = """
arguments <- commandArgs(TRUE)
suppressMessages(library(mclust))
X <- as.matrix(read.csv(arguments[1], header = FALSE))
far <- apply(as.matrix(dist(X)), 1, function(d) sort(d, partial = 6)[6])
noise <- far > quantile(far, 0.95)
found <- Mclust(X, G = 3, modelNames = "VVV", initialization = list(noise = noise), verbose = FALSE)
write.table(found$classification - 1, arguments[2], row.names = FALSE, col.names = FALSE)
write.table(t(found$parameters$mean), arguments[3], row.names = FALSE, col.names = FALSE)
deviations <- t(sqrt(apply(found$parameters$variance$sigma, 3, diag)))
write.table(deviations, arguments[4], row.names = FALSE, col.names = FALSE)
"""
TGMM = """
import sys
import numpy as np, torch
from tgmm import StudentTMixture as Theirs
rows = torch.tensor(np.loadtxt(sys.argv[1], delimiter=","))
torch.manual_seed(0)
model = Theirs(n_features=rows.shape[1], n_components=3, n_init=1)
model.fit(rows)
np.savetxt(sys.argv[2], np.asarray(model.predict(rows)))
np.savetxt(sys.argv[3], np.asarray(model.means_))
np.savetxt(sys.argv[4], np.sqrt(np.diagonal(np.asarray(model.covariances_), axis1=1, axis2=2)))
"""


class Set(NamedTuple):
    """Rows, the clusters of those that are clean, and the parameters of these."""

    rows: np.ndarray  # (n, d)
    labels: np.ndarray  # (n,) NONE of rows of no cluster
    means: np.ndarray  # (K, d)
    deviations: np.ndarray  # (K, d)


class Answer(NamedTuple):
    """What a method says."""

    labels: np.ndarray
    means: np.ndarray
    deviations: np.ndarray


def clean(rng: np.random.Generator, degrees: float = np.inf) -> Set:
    """Draw three clusters, of t-distributions where degrees of freedom are given."""
    means = rng.normal(scale=4.0, size=(K, N_FEATURES))
    factors = np.eye(N_FEATURES) + 0.4 * rng.normal(size=(K, N_FEATURES, N_FEATURES))
    labels = rng.choice(K, size=N_ROWS, p=[0.5, 0.3, 0.2])
    steps = rng.normal(size=(N_ROWS, N_FEATURES))
    if np.isfinite(degrees):
        steps *= np.sqrt(degrees / rng.chisquare(degrees, size=(N_ROWS, 1)))
    rows = means[labels] + np.einsum("nij,nj->ni", factors[labels], steps)
    return Set(rows, labels, means, np.sqrt((factors**2).sum(axis=2)))


def uniform(rng: np.random.Generator) -> Set:
    """A row in twenty from anywhere in a box three times as wide as the clusters."""
    found, n = clean(rng), N_ROWS // 20
    low, high = found.rows.min(axis=0), found.rows.max(axis=0)
    spread = high - low
    return spoilt(found, n, rng.uniform(low - spread, high + spread, size=(n, N_FEATURES)))


def far(rng: np.random.Generator) -> Set:
    """A row in a hundred far away in one direction."""
    found, n = clean(rng), N_ROWS // 100
    direction = rng.normal(size=N_FEATURES)
    direction /= np.linalg.norm(direction)
    return spoilt(found, n, rng.uniform(30.0, 300.0, size=(n, 1)) * direction)


def heavy(rng: np.random.Generator) -> Set:
    """Clusters with 3 degrees of freedom, and nothing else."""
    return clean(rng, 3.0)


def stuck(rng: np.random.Generator) -> Set:
    """One feature of a row in twenty is stuck at one value, far from the clusters."""
    found, n = clean(rng), N_ROWS // 20
    rows = found.rows[:n].copy()
    rows[:, 0] = found.rows[:, 0].max() + 20.0
    return spoilt(found, n, rows)


def spoilt(found: Set, n_rows: int, rows: np.ndarray) -> Set:
    """Replace the first rows."""
    labels = found.labels.copy()
    labels[:n_rows] = NONE
    return found._replace(rows=np.vstack([rows, found.rows[n_rows:]]), labels=labels)


KINDS: dict[str, Callable[[np.random.Generator], Set]] = {
    "clean": clean,
    "5% uniform": uniform,
    "1% far": far,
    "t, 3 degrees": heavy,
    "stuck sensor": stuck,
}


def ours(model: GaussianMixture) -> Callable[[np.ndarray], Answer]:
    """Answer by one of our estimators; a t-component by its scale."""

    def answer(rows: np.ndarray) -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a stuck sensor's component, which has no width
            found = model.fit(rows)
        matrices = getattr(found, "scales_", found.covariances_)
        return Answer(found.predict(rows), found.means_, np.sqrt(np.einsum("kii->ki", matrices)))

    return answer


def outside(command: list[str], code: str, suffix: str) -> Callable[[np.ndarray], Answer]:
    """Answer by a script in another language, or another Python."""

    def answer(rows: np.ndarray) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            names = ("script" + suffix, "rows", "labels", "means", "deviations")
            script, *files = (Path(folder) / name for name in names)
            script.write_text(code)
            np.savetxt(files[0], rows, delimiter=",")
            subprocess.run([*command, script, *files], check=True, capture_output=True)
            labels, means, deviations = map(np.loadtxt, files[1:])
        return Answer(labels, means, deviations)

    return answer


def errors(answer: Answer, truth: Set) -> tuple[float, float, float]:
    """Rand index of clean rows; errors of centres in deviations, and of log deviations.

    Both are roots of means of squares over components and features.
    """
    good = truth.labels != NONE
    index = adjusted_rand_score(truth.labels[good], answer.labels[good])
    gaps = (answer.means[:, None] - truth.means) / truth.deviations
    found, known = linear_sum_assignment((gaps**2).sum(axis=2))
    centres = np.sqrt((gaps[found, known] ** 2).mean())
    ratios = np.log(answer.deviations[found] / truth.deviations[known])
    return index, float(centres), float(np.sqrt((ratios**2).mean()))


def methods(tgmm: str | None) -> Iterator[tuple[str, Callable[[np.ndarray], Answer]]]:
    """Name every method there is."""
    yield "plain", ours(GaussianMixture(K, random_state=0))
    yield "noise", ours(GaussianMixture(K, noise=True, random_state=0))
    yield "Student-t, each", ours(StudentTMixture(K, random_state=0))
    shared = StudentTMixture(K, degrees_of_freedom="shared", random_state=0)
    yield "Student-t, shared", ours(shared)
    if shutil.which("Rscript"):
        yield "mclust, noise", outside(["Rscript"], MCLUST, ".R")
    if tgmm:
        yield "tgmm, Student-t", outside([tgmm], TGMM, ".py")


def main() -> None:
    """Print a row per set and method: medians over seeds, and the worst index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tgmm", metavar="PYTHON", help="a Python that has tgmm")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    table = Table(
        {
            "rows": "",
            "method": "",
            "Rand index": ".3f",
            "worst": ".3f",
            "centres": ".3f",
            "deviations": ".3f",
            "failed": "d",
        }
    )
    for kind, draw in KINDS.items():
        for name, answer in methods(arguments.tgmm):
            found, n_failed = [], 0
            for seed in range(arguments.seeds):
                truth = draw(np.random.default_rng(seed))
                try:
                    found.append(errors(answer(truth.rows), truth))
                except subprocess.CalledProcessError:
                    n_failed += 1
            if not found:
                table.row(kind, name, None, None, None, None, n_failed)
                continue
            index, centres, deviations = np.median(found, axis=0)
            worst = min(each[0] for each in found)
            table.row(kind, name, index, worst, centres, deviations, n_failed)


if __name__ == "__main__":
    main()
