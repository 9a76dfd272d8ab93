"""What leaving out pairs that are nothing gains: seconds a pass against K, dense and pruned.

    python -m bench.tables.pruning [--out pruning.png]

Overlapping clusters have means about four apart, separated ones ten. Passes are timed at the
truth, in turn; the largest difference of any sum between the two ways is printed beside.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from bench.tools import data
from fastgmm import open_source, passes
from fastgmm.kernels import pruned
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import accumulate

APART = {"overlapping": 1.0, "separated": 2.5}
SIZES = [
    *((50_000, 32, n_components) for n_components in (4, 8, 16, 32, 64)),
    *((100_000, 10, n_components) for n_components in (5, 10, 20, 50)),
    (200_000, 2, 4),
    (20_000, 128, 16),
]
WAYS = {"dense": lambda rows, factors: factors, "pruned": pruned.choose}


def measure(
    n_rows: int, d: int, n_components: int, apart: float, turns: int = 7
) -> tuple[dict[str, float], float]:
    """Return the seconds of both ways, and the largest relative difference of their sums."""
    mixture = data.mixture(d, n_components)
    mixture = mixture._replace(means=mixture.means * apart)
    parameters = Parameters.from_covariances("full", *mixture)
    source = open_source(data.rows(mixture, n_rows))
    clock, found = dict.fromkeys(WAYS, np.inf), {}
    for turn in range(turns + 1):
        for name, way in WAYS.items():
            accumulate.choose_factors = way
            began = time.perf_counter()
            (found[name],) = passes.statistics(source, [parameters])
            if turn:  # the first compiles
                clock[name] = min(clock[name], time.perf_counter() - began)
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
    print("| clusters | rows×features, K | dense, ms | pruned, ms | gain | difference of sums |")
    print("| --- | --- | --: | --: | --: | --: |")
    for kind, apart in APART.items():
        for n_rows, d, n_components in SIZES:
            clock, difference = measure(n_rows, d, n_components, apart)
            results[kind, n_rows, d, n_components] = clock
            print(
                f"| {kind} | {n_rows}×{d}, {n_components} | {clock['dense'] * 1e3:.1f} "
                f"| {clock['pruned'] * 1e3:.1f} | {clock['dense'] / clock['pruned']:.2f} "
                f"| {difference:.0e} |",
                flush=True,
            )
    if arguments.out:
        draw(results, arguments.out)


if __name__ == "__main__":
    main()
