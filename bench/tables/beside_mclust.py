"""M-steps and EM of all fourteen families from the same labels as mclust, on its public sets.

    python -m bench.tables.beside_mclust [--sets faithful iris banknote ...]

R gives the rows, labels (the classes of a set, or `hclass(hc(X), K)`), the covariances of
`mstep`, the log-likelihood after it, and that to which `me` climbs. Ours come from the same labels,
without a prior or `reg_covar`, and climb until a pass gains 1e-13 per row. Printed per family: how
far first covariances are from mclust's at most, in parts of the largest entry; by how much the
log-likelihood after the first M-step and at the end is above mclust's, least and most; and in how
many fits the end is at mclust's or above. Where mclust gives up, there is nothing to compare.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.tools.table import Table
from fastgmm import em, passes
from fastgmm.covariance import ALL, Family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.passes.subsample import Sample
from fastgmm.sources import open_source

# Rows in R, their classes where they have some, and numbers of components
SETS = {
    "faithful": ("faithful", "NULL", (2, 3)),
    "iris": ("iris[, 1:4]", "iris[, 5]", (2, 3, 4)),
    "banknote": ("banknote[, -1]", "banknote[, 1]", (2, 3, 4)),
    "thyroid": ("thyroid[, -1]", "thyroid[, 1]", (3, 4)),
    "diabetes": ("diabetes[, -1]", "diabetes[, 1]", (3, 4)),
    "wreath": ("wreath", "NULL", (5, 14)),
    "simulated": (
        "{ set.seed(1); A <- function() matrix(rnorm(9), 3); "
        "rbind(matrix(rnorm(450), 150) %*% A(), matrix(rnorm(600), 200) %*% A() + 3, "
        "matrix(rnorm(300), 100) %*% A() - 3) }",
        "rep(1:3, c(150, 200, 100))",
        (3, 4),
    ),
}
SCRIPT = """
library(mclust)
arguments <- commandArgs(TRUE); folder <- arguments[1]
X <- as.matrix({rows}); classes <- {classes}
put <- function(values, name) writeBin(as.double(values), file.path(folder, name))
tight <- emControl(tol = c(1e-12, 1e-15), itmax = c(5000, 10000))
put(t(X), "rows")
for (K in c({counts})) {{
  own <- !is.null(classes) && length(unique(classes)) == K
  labels <- if (own) as.integer(as.factor(classes)) else as.integer(hclass(hc(X), K))
  put(labels, paste0("labels-", K))
  for (name in mclust.options("emModelNames")) {{
    numbers <- tryCatch({{
      first <- mstep(X, modelName = name, z = unmap(labels), control = tight)
      after <- estep(X, modelName = name, parameters = first$parameters)
      end <- me(X, modelName = name, z = unmap(labels), control = tight)
      c(after$loglik, end$loglik, first$parameters$variance$sigma)
    }}, error = function(e) NA)
    put(numbers, paste0(name, "-", K))
  }}
}}
cat(as.character(packageVersion("mclust")), ncol(X), "\\n")
"""


class Beside(NamedTuple):
    """Ours less mclust's, of one family and one set of labels."""

    covariances: float
    first: float
    end: float


def main() -> None:
    """Compare all, and print a line for each family."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    found: dict[str, list[Beside]] = {each.name: [] for each in ALL}
    below: list[str] = []
    for name in parser.parse_args().sets:
        with tempfile.TemporaryDirectory() as folder:
            _compare(name, Path(folder), found, below)
    columns = {"family": "", "fits": "", "covariances": ".0e", "first": "", "end": "", "above": ""}
    table = Table(columns)
    for name, fits in found.items():
        of_first, of_end = (np.array([fit[i] for fit in fits]) for i in (1, 2))
        table.row(
            name,
            len(fits),
            max(fit.covariances for fit in fits),
            f"{of_first.min():+.1e} to {of_first.max():+.1e}",
            f"{of_end.min():+.1e} to {of_end.max():+.1e}",
            f"{np.sum(of_end > -1e-6)} of {len(fits)}",
        )
    print("\nbelow mclust's end by more than 1e-6:", *(below or ["none"]))


def _compare(name: str, folder: Path, found: dict[str, list[Beside]], below: list[str]) -> None:
    """Add what a set says of each family."""
    rows_in_r, classes, counts = SETS[name]
    script = SCRIPT.format(rows=rows_in_r, classes=classes, counts=", ".join(map(str, counts)))
    (folder / "m.R").write_text(script)
    done = subprocess.run(
        ["Rscript", folder / "m.R", folder], capture_output=True, text=True, check=True
    )
    version, width = done.stdout.split()[-2:]
    rows = np.fromfile(folder / "rows").reshape(-1, int(width))
    print(f"{name}, {rows.shape[0]}x{width}, mclust {version}", flush=True)
    for count in counts:
        labels = np.fromfile(folder / f"labels-{count}").astype(int) - 1
        for family in ALL:
            theirs = np.fromfile(folder / f"{family.name}-{count}")
            if not np.isfinite(theirs[:2]).all():
                continue
            try:
                fit = _beside(rows, labels, family, theirs)
            except DegenerateCovarianceError:
                print(f"{family.name} of {name}, {count}: none of ours")
                continue
            found[family.name].append(fit)
            if fit.end < -1e-6:
                below.append(f"{family.name} {name} {count} ({fit.end:+.2g})")


def _beside(rows: np.ndarray, labels: np.ndarray, family: Family, theirs: np.ndarray) -> Beside:
    weights, nowhere = np.full(len(rows), 1.0 / len(rows)), np.zeros(rows.shape[1])
    its = [labels == k for k in range(labels.max() + 1)]
    rule = em.Maximisation(family, 0.0)
    members = [Members(rows[mine], weights[mine], nowhere) for mine in its]
    start = maximise(Sample(rows, weights, nowhere), members, rule)
    expected = theirs[2:].reshape(start.matrices.shape)
    source = open_source(rows)

    def data_pass(candidates: list) -> list:
        return passes.statistics(source, candidates)

    (state,) = em.run([em.State(rule, start)], data_pass, em.Stopping(1e-13, 5000))
    if state.failure is not None:
        raise state.failure
    first, end = state.trace[0] * len(rows), state.trace[-1] * len(rows)
    apart = np.abs(start.matrices - expected).max() / np.abs(expected).max()
    return Beside(float(apart), first - theirs[0], end - theirs[1])


if __name__ == "__main__":
    main()
