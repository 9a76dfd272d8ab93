"""All fourteen families for 1 to 9 components, beside mclust's `Mclust`.

    python -m bench.tables.families --rows 20000 --features 5
    python -m bench.tables.families --rows 1000000 --features 5 --no-mclust

mclust starts from a hierarchical clustering of 2000 rows, its own rule where there are more, and
then climbs on all. It is timed through Rscript where that and the package are installed. Both
begin from rows in memory; its table of BIC, with its sign turned, is compared with ours, whose
prior is left out, as mclust has none.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import fastgmm
from bench.tools import data
from bench.tools.timing import timed

COUNTS = range(1, 10)
SCRIPT = """
arguments <- commandArgs(TRUE)
library(mclust)
rows <- matrix(readBin(arguments[1], "double", 1e9), ncol = as.integer(arguments[2]))
seconds <- system.time(found <- Mclust(rows, G = 1:9, verbose = FALSE))
cat(seconds[["elapsed"]], as.character(packageVersion("mclust")), found$modelName, found$G, "\\n")
write.table(unclass(found$BIC)[, , drop = FALSE], arguments[3], col.names = TRUE)
"""


def main() -> None:
    """Time both, and print what was chosen."""
    arguments = _arguments()
    rows = data.rows(data.mixture(arguments.features, arguments.clusters), arguments.rows)
    fastgmm.select(rows[:500], [1, 2], "all", random_state=0)  # compile
    seconds, found = timed(
        partial(fastgmm.select, rows, COUNTS, "all", random_state=0, prior=arguments.prior)
    )
    best, table = found.best_estimator_, found.table
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"fastgmm {fastgmm.__version__}: {seconds:.1f} s for {len(table['bic'])} candidates on "
        f"{len(rows):,} rows of {rows.shape[1]} features, {int(table['n_passes'].max()) + 2} "
        f"passes, {memory:.0f} MB; {best.covariance_type}, {best.n_components} components, "
        f"BIC {table['bic'].min():.2f}"
    )
    if arguments.mclust and shutil.which("Rscript") is not None:
        _beside(rows, seconds, found)


def _beside(rows: np.ndarray, seconds: float, found: fastgmm.selection.Selection) -> None:
    """Time mclust on the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        script, binary, table = (Path(folder) / name for name in ("m.R", "rows", "bic"))
        script.write_text(SCRIPT)
        np.asfortranarray(rows, dtype=np.float64).T.tofile(binary)
        done = subprocess.run(
            ["Rscript", script, binary, str(rows.shape[1]), table],
            capture_output=True,
            text=True,
            check=True,
        )
        theirs, version, name, count = done.stdout.split()[-4:]
        lines = [line.split() for line in table.read_text().splitlines()]
    names = [name.strip('"') for name in lines[0]]
    values = np.array(
        [[np.nan if v == "NA" else -float(v) for v in line[1:]] for line in lines[1:]]
    )
    print(
        f"mclust {version}: {float(theirs):.1f} s; {name}, {count} components, "
        f"BIC {np.nanmin(values):.2f} (its sign turned)"
    )
    print(f"ratio {float(theirs) / seconds:.2f}")
    ours = np.array(
        [found.table["bic"][found.table["covariance_type"] == each] for each in names]
    ).T
    at_least = ours <= values + 1e-3 * np.abs(values).max() / len(rows)
    known, arrived = np.isfinite(values), found.table["converged"].reshape(len(names), -1).T
    print(
        f"of {int(np.sum(known & arrived))} candidates that came to an end and that mclust fits, "
        f"{int(np.sum(at_least & known & arrived))} have a BIC as low as its or lower"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--clusters", type=int, default=4)
    parser.add_argument("--prior", default=None, help="auto, or none by default, as in mclust")
    parser.add_argument("--mclust", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
