"""What leaving out pairs that are nothing gains: seconds a pass against K, dense and pruned.

    python -m bench.tables.pruning [--out pruning.png]

Overlapping clusters have means about four apart, separated ones ten. Passes are timed at the
truth, in turn; the largest difference of any sum between the two ways is printed beside.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import in_turn
from fastgmm import open_source, passes
from fastgmm.mixture.parameters import Parameters

APART = {"overlapping": 1.0, "separated": 2.5}
SIZES = [
    *((50_000, 32, n_components) for n_components in (4, 8, 16, 32, 64)),
    *((100_000, 10, n_components) for n_components in (5, 10, 20, 50)),
    (200_000, 2, 4),
    (20_000, 128, 16),
]
WAYS = {"dense": False, "pruned": True}


def measure(
    n_rows: int, d: int, n_components: int, apart: float, turns: int = 7
) -> tuple[dict[str, float], float]:
    """Return the seconds of both ways, and the largest relative difference of their sums."""
    mixture = data.mixture(d, n_components)
    mixture = mixture._replace(means=mixture.means * apart)
    parameters = Parameters.from_covariances("full", *mixture)
    source = open_source(data.rows(mixture, n_rows))
    found = {}

    def one_pass(name: str) -> None:
        (found[name],) = passes.statistics(source, [parameters], prune=WAYS[name])

    took = in_turn(*(partial(one_pass, name) for name in WAYS), turns=turns)
    clock = dict(zip(WAYS, took.best, strict=True))
    difference = np.abs(found["pruned"].second - found["dense"].second).max()
    return clock, float(difference / np.abs(found["dense"].second).max())


def draw(results: dict[tuple[str, int, int, int], dict[str, float]], path: Path) -> None:
    """Draw seconds a pass against K at d = 32."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for kind, colour in zip(APART, ("tab:blue", "tab:orange"), strict=True):
        for way, line in (("dense", "--"), ("pruned", "-")):
            points = [
                (key[3], t[way]) for key, t in results.items() if key[0] == kind and key[2] == 32
            ]
            axes.plot(
                *zip(*points, strict=True), line, color=colour, marker="o", label=f"{kind}, {way}"
            )
    axes.set(xlabel="components", ylabel="seconds a pass", title="50 000 rows of 32 features")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the table, and draw it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {}
    names = {"clusters": "", "rows×features, K": "", "dense, ms": ".1f", "pruned, ms": ".1f"}
    table = Table(names | {"gain": ".2f", "difference of sums": ".0e"})
    for kind, apart in APART.items():
        for n_rows, d, n_components in SIZES:
            clock, difference = measure(n_rows, d, n_components, apart)
            results[kind, n_rows, d, n_components] = clock
            ms = clock["dense"] * 1e3, clock["pruned"] * 1e3
            title = f"{n_rows}×{d}, {n_components}"
            table.row(kind, title, *ms, ms[0] / ms[1], difference)
    if arguments.out:
        draw(results, arguments.out)


if __name__ == "__main__":
    main()
