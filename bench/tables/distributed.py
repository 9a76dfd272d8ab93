"""Seconds per pass on a Dask cluster of this machine, beside the same pass in one process.

    python -m bench.tables.distributed [--quick]

One Markdown table, by number of workers and partitions. A worker is a process with one thread, and
the one process has as many threads as there are workers. About two minutes; --quick takes one
small case.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from numba import set_num_threads

from bench.tools import data
from fastgmm import open_source, passes
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.threads import run_in_parallel

WORKERS = (1, 2)
CASES = [  # rows, features, components, partitions
    (1_600_000, 10, 10, 16),
    (1_600_000, 10, 10, 256),
    (400_000, 10, 10, 1024),
    (200_000, 32, 16, 8),
    (100_000, 2, 4, 512),
]
QUICK = [(400_000, 10, 10, 4), (400_000, 10, 10, 64)]
TURNS = 3  # whose median is shown


@contextmanager
def cluster(n_workers: int) -> Iterator[Client]:
    """Start workers with one thread each."""
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address=":0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as found,
        Client(found) as client,
    ):
        client.wait_for_workers(n_workers, timeout=60)
        yield client


def made(n_rows: int, d: int, k: int, n_partitions: int) -> Any:
    """Make rows on the workers, which keep them."""
    each = n_rows // n_partitions

    def block(block_info: Any = None) -> np.ndarray:
        number, _ = block_info[None]["chunk-location"]
        return data.rows(data.mixture(d, k), each, seed=number)

    found = da.map_blocks(block, chunks=((each,) * n_partitions, (d,)), dtype=float).persist()
    wait(found, timeout=120)
    return found


def one_pass(rows: Any, d: int, k: int) -> Callable[[], Any]:
    """Return a function that sums the statistics of rows once."""
    parameters = Parameters.from_covariances("full", *data.mixture(d, k))
    return partial(passes.statistics, open_source(rows), [parameters])


def seconds(*works: Callable[[], Any]) -> list[float]:
    """Return the median seconds of each work; they alternate, as the processor is shared."""
    clocks: list[list[float]] = [[] for _ in works]
    for work in works:
        work()  # compiles
    for _ in range(TURNS):
        for work, clock in zip(works, clocks, strict=True):
            began = time.perf_counter()
            work()
            clock.append(time.perf_counter() - began)
    return [statistics.median(clock) for clock in clocks]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every case on every cluster, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small case alone")
    cases = QUICK if parser.parse_args(argv).quick else CASES
    # as a fit starts Numba's threads: set_num_threads would start them to spin beside the workers
    run_in_parallel(lambda: None, lambda: None)
    print("| workers | rows | d, K | partitions | one process, s | cluster, s | ratio |")
    print("| --: | --: | --- | --: | --: | --: | --: |")
    for n_workers in WORKERS:
        set_num_threads(n_workers)
        with cluster(n_workers):
            for n_rows, d, k, n_partitions in cases:
                rows = made(n_rows, d, k, n_partitions)
                alone, there = seconds(one_pass(rows.compute(), d, k), one_pass(rows, d, k))
                print(
                    f"| {n_workers} | {n_rows:,} | {d}, {k} | {n_partitions} "
                    f"| {alone:.3f} | {there:.3f} | {there / alone:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
