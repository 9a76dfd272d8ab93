"""How a pass grows with rows and threads; and many cores, simulated.

    python -m bench.scaling

Measured: doubled rows, and one thread beside two. Simulated: the lanes of one call handed out to
more cores than this machine has, from the time of a lane and of what one thread does alone.
"""

from __future__ import annotations

import heapq
import os
import time

import numba
import numpy as np

from bench import data
from fastgmm import open_source, passes
from fastgmm.kernels.lanes import block_rows
from fastgmm.parameters import Parameters

CASES = [(2, 4), (10, 10), (32, 16)]


def prepare(n_rows: int, d: int, n_components: int):
    """Return a function that makes one pass."""
    mixture = data.mixture(d, n_components)
    parameters = Parameters.from_covariances("full", *mixture)
    source = open_source(data.rows(mixture, n_rows))
    return lambda: passes.statistics(source, [parameters])


def best(*functions, turns: int = 25) -> list[float]:
    """Return the seconds of every function's fastest turn, all of them in turn.

    Machines are faster in one minute than in the next: one after another, twice the rows took 1.7
    to 2.5 times as long.
    """
    found = [np.inf] * len(functions)
    for turn in range(turns + 1):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            if turn:  # the first one compiles
                found[i] = min(found[i], time.perf_counter() - began)
    return found


def on_threads(n_threads: int, function):
    """Return the function on so many of Numba's threads."""

    def run():
        numba.set_num_threads(n_threads)
        function()

    return run


def makespan(lanes: np.ndarray, n_cores: int) -> float:
    """Return when the last core is done, if each takes the next lane as soon as it is free."""
    free = [0.0] * n_cores
    for lane in lanes:
        heapq.heappush(free, heapq.heappop(free) + lane)
    return max(free)


def main() -> None:
    """Print the three tables."""
    print("| d, K | rows | ms | twice the rows, ms | ratio |\n| --- | --: | --: | --: | --: |")
    for d, n_components in CASES:
        n_rows = 4 * block_rows(d)
        one, two = best(*(prepare(n, d, n_components) for n in (n_rows, 2 * n_rows)))
        print(
            f"| {d}, {n_components} | {n_rows} | {one * 1e3:.2f} | {two * 1e3:.2f} "
            f"| {two / one:.2f} |"
        )
    print("\n| d, K | 1 thread, ms | 2 threads, ms | ratio |\n| --- | --: | --: | --: |")
    for d, n_components in CASES:
        run = prepare(4 * block_rows(d), d, n_components)
        one, two = best(*(on_threads(min(n, os.cpu_count() or 1), run) for n in (1, 2)))
        print(f"| {d}, {n_components} | {one * 1e3:.2f} | {two * 1e3:.2f} | {one / two:.2f} |")
    print("\n| cores | 32 lanes a call | 128 lanes a call |\n| --: | --: | --: |")
    # lanes differ by a tenth (other work, memory far away); 0.5% of a call's work is done alone
    rng = np.random.default_rng(0)
    for n_cores in (2, 8, 16, 32, 64):
        gains = []
        for n_lanes in (32, 128):
            lanes = rng.normal(1.0, 0.1, n_lanes) / n_lanes
            gains.append(1.0 / (makespan(lanes, n_cores) + 0.005))
        print(f"| {n_cores} | {gains[0]:.1f} | {gains[1]:.1f} |")


if __name__ == "__main__":
    main()
