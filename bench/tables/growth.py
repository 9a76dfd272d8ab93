"""How a pass grows with rows and threads; and many cores, simulated.

    python -m bench.tables.growth

Measured: doubled rows on one thread, and one thread beside two, where a product of matrices by BLAS
says what a second thread of this machine is worth. Simulated: the slices of one call handed out to
more cores than this machine has, from the time of a slice and of what one thread does alone.
"""

from __future__ import annotations

import heapq
import time

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

from bench.tools import data
from fastgmm import open_source, passes
from fastgmm.kernels.plan import block_rows
from fastgmm.mixture.parameters import Parameters

CASES = [(2, 4), (10, 10), (32, 16)]


def prepare(n_rows: int, d: int, n_components: int):
    """Return a function that makes one pass."""
    mixture = data.mixture(d, n_components)
    return over(data.rows(mixture, n_rows), mixture)


def over(rows: np.ndarray, mixture):
    """Return a function that makes one pass over these rows."""
    parameters = Parameters.from_covariances("full", *mixture)
    source = open_source(rows)
    return lambda: passes.statistics(source, [parameters])


def beside(function, other, *, threads: tuple[int, int], turns: int = 40):
    """Return median seconds of both functions, and quartiles of the second's in the first's.

    Each has so many threads of Numba and BLAS.

    Machines are faster in one moment than in the next, so each turn of the second stands between
    two of the first, and is compared with their mean. The least of several turns flatters the
    shorter one, which fits into a fast moment: by it twice the rows took 1.8 to 2.4 times as long.
    """
    function(), other()  # compiled and warm
    blas = ThreadpoolController()
    seconds = []
    for turn in range(2 * turns + 1):
        numba.set_num_threads(threads[turn % 2])
        with blas.limit(limits=threads[turn % 2]):
            began = time.perf_counter()
            (other if turn % 2 else function)()
            seconds.append(time.perf_counter() - began)
    firsts, others = np.array(seconds[::2]), np.array(seconds[1::2])
    ratios = others / (0.5 * (firsts[:-1] + firsts[1:]))
    return np.median(firsts), np.median(others), np.quantile(ratios, [0.25, 0.5, 0.75])


def product(size: int = 1500):
    """Return a function that multiplies two matrices."""
    a, b = np.random.default_rng(0).standard_normal((2, size, size))
    return lambda: a @ b


def makespan(slices: np.ndarray, n_cores: int) -> float:
    """Return when the last core is done, if each takes the next slice as soon as it is free."""
    free = [0.0] * n_cores
    for each in slices:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def row(name: str, one: float, two: float, ratios: np.ndarray) -> str:
    """Return a row of a table: medians, and of the ratio the quartiles, too."""
    low, middle, high = ratios
    return f"| {name} | {one * 1e3:.2f} | {two * 1e3:.2f} | {middle:.2f} | {low:.2f}-{high:.2f} |"


def main() -> None:
    """Print the three tables."""
    head = "ratio | half of the turns |\n| --- | --: | --: | --: | --: |"
    print(f"| d, K, one thread | {4 * block_rows(2)} rows, ms | twice as many, ms | {head}")
    for d, n_components in CASES:
        mixture = data.mixture(d, n_components)
        rows = data.rows(mixture, 8 * block_rows(d))
        # of one array: another copy of the same rows took up to a quarter longer
        half, whole = over(rows[: len(rows) // 2], mixture), over(rows, mixture)
        print(row(f"{d}, {n_components}", *beside(half, whole, threads=(1, 1))))
    print(f"\n| d, K | 2 threads, ms | 1 thread, ms | {head}")
    works = {f"{d}, {k}": prepare(4 * block_rows(d), d, k) for d, k in CASES} | {"dgemm": product()}
    for name, work in works.items():
        print(row(name, *beside(work, work, threads=(2, 1))))
    print("\n| cores | 32 slices per call | 128 slices per call |\n| --: | --: | --: |")
    # slices differ by a tenth (other work, memory far away); 0.5% of a call's work is done alone
    rng = np.random.default_rng(0)
    for n_cores in (2, 8, 16, 32, 64):
        gains = []
        for n_slices in (32, 128):
            slices = rng.normal(1.0, 0.1, n_slices) / n_slices
            gains.append(1.0 / (makespan(slices, n_cores) + 0.005))
        print(f"| {n_cores} | {gains[0]:.1f} | {gains[1]:.1f} |")


if __name__ == "__main__":
    main()
