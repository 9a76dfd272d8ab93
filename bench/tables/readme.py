"""The four rows of README's table: scikit-learn, fastgmm, and how many times faster.

    python -m bench.tables.readme [--quick]

`rivals` times the iterations and `million_rows` the rest; all cores for both.
"""

from __future__ import annotations

import argparse

from sklearn.mixture import GaussianMixture as Theirs

from bench.tables import million_rows, rivals
from bench.tools.table import Table
from fastgmm import GaussianMixture

ITERATIONS = [("full", 200_000, 10, 10), ("full", 20_000, 128, 16)]
LIBRARIES = {"fastgmm": GaussianMixture, "scikit-learn": Theirs}
WHOLE = 1_000_000, 10, 20  # rows, features, components


def print_row(to: Table, name: str, size: tuple[int, ...], took: dict[str, float]) -> None:
    """Print the seconds of both libraries for one case."""
    n_rows, n_features, n_components = size
    case = f"{name}, {n_rows:,}×{n_features}, K={n_components}".replace(",000", " 000")
    ours, theirs = took["fastgmm"], took["scikit-learn"]
    to.row(case, theirs * 1e3, ours * 1e3, theirs / ours)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    fewer = 10 if parser.parse_args().quick else 1
    table = Table({"case": "", "scikit-learn, ms": ",.1f", "fastgmm, ms": ",.1f", "times": ".1f"})
    fits = {name: rivals.fit_estimator(each) for name, each in LIBRARIES.items()}
    for kind, n_rows, *shape in ITERATIONS:
        case = rivals.Case(kind, n_rows // fewer, *shape, "float64")
        found = rivals.measure(case, fits, repeats=5)
        took = {name: seconds for name, (seconds, _) in found.items()}
        print_row(table, f"one EM iteration, {kind}", (case.n_rows, *shape), took)
    size = WHOLE[0] // fewer, *WHOLE[1:]
    both = million_rows.measure(*size)
    for name, key in (("`fit`, default arguments", "fit, s"), ("`predict`", "predict, s")):
        print_row(table, name, size, {library: each[key] for library, each in both.items()})


if __name__ == "__main__":
    main()
