"""How a pass grows with rows and threads; and many cores, simulated.

    python -m bench.tables.growth

Measured: doubled rows on one thread, and one thread beside two, where a product of matrices by BLAS
says what a second thread of this machine is worth. Simulated: the slices of one call handed out to
more cores than this machine has, from the time of a slice and of what one thread does alone.
"""

from __future__ import annotations

import heapq

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import in_turn
from fastgmm import open_source, passes
from fastgmm.kernels.block_sizes import block_rows
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


def beside(function, other, *, threads: tuple[int, int], turns: int = 41):
    """Return median seconds of both functions, and quartiles of the second's in the first's.

    Each has so many threads of Numba and BLAS.
    """
    blas = ThreadpoolController()

    def limited(at: int):
        numba.set_num_threads(threads[at])
        return blas.limit(limits=threads[at])

    found = in_turn(function, other, turns=turns, within=limited)
    return found.median, np.quantile(found.ratios[:, 1], [0.25, 0.5, 0.75])


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


def print_row(to: Table, name: str, medians: np.ndarray, ratios: np.ndarray) -> None:
    """Print medians, and of the ratio the quartiles, too."""
    low, middle, high = ratios
    to.row(name, *medians * 1e3, middle, f"{low:.2f}-{high:.2f}")


def main() -> None:
    """Print the three tables."""
    rest = {"ratio": ".2f", "half of the turns": ">"}
    few = f"{4 * block_rows(2)} rows, ms"
    table = Table({"d, K, one thread": "", few: ".2f", "twice as many, ms": ".2f"} | rest)
    for d, n_components in CASES:
        mixture = data.mixture(d, n_components)
        rows = data.rows(mixture, 8 * block_rows(d))
        # of one array: another copy of the same rows took up to a quarter longer
        half, whole = over(rows[: len(rows) // 2], mixture), over(rows, mixture)
        print_row(table, f"{d}, {n_components}", *beside(half, whole, threads=(1, 1)))
    print()
    table = Table({"d, K": "", "2 threads, ms": ".2f", "1 thread, ms": ".2f"} | rest)
    works = {f"{d}, {k}": prepare(4 * block_rows(d), d, k) for d, k in CASES} | {"dgemm": product()}
    for name, work in works.items():
        print_row(table, name, *beside(work, work, threads=(2, 1)))
    print()
    table = Table({"cores": "d", "32 slices per call": ".1f", "128 slices per call": ".1f"})
    # slices differ by a tenth (other work, memory far away); 0.5% of a call's work is done alone
    rng = np.random.default_rng(0)
    for n_cores in (2, 8, 16, 32, 64):
        gains = []
        for n_slices in (32, 128):
            slices = rng.normal(1.0, 0.1, n_slices) / n_slices
            gains.append(1.0 / (makespan(slices, n_cores) + 0.005))
        table.row(n_cores, *gains)


if __name__ == "__main__":
    main()
