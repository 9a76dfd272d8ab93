"""Rows that Dask's workers make, what can be done to those workers, and a fit of the rows."""

from __future__ import annotations

import os
import signal
import threading

import dask.array as da
import numpy as np
import pytest
from numba import get_num_threads

from fastgmm import GaussianMixture
from fastgmm.parallel.threads import reserved

PARTITIONS, ROWS = 12, 400


def made(visited=None):
    """Rows that are made where they are wanted; `visited(partition)` runs there first."""

    def block(block_info=None):
        (number, _) = block_info[None]["chunk-location"]
        if visited is not None:
            visited(number)
        rng = np.random.default_rng(number)
        return rng.normal(size=(ROWS, 3)) + 5.0 * rng.integers(0, 2, size=(ROWS, 1))

    return da.map_blocks(block, chunks=((ROWS,) * PARTITIONS, (3,)), dtype=float)


def fitted(rows, max_iter=6, checkpoint=None, sample_weight=None):
    """The bits of what a fit of some passes finds."""
    model = GaussianMixture(2, max_iter=max_iter, tol=0.0, random_state=0)
    with pytest.warns(match="did not converge"):
        model.fit(rows, sample_weight=sample_weight, checkpoint=checkpoint)
    return b"".join(
        values.tobytes() for values in (model.weights_, model.means_, model.covariances_)
    )


def counting(folder, meet=lambda number, visits: None):
    """Count the visits to every partition in a file each, and meet the count."""

    def visited(number):
        with open(folder / str(number), "a") as file:
            file.write(".")
        meet(number, (folder / str(number)).stat().st_size)

    return visited


def counts(folder):
    """How often each partition was visited."""
    return [(folder / str(number)).stat().st_size for number in range(PARTITIONS)]


def dying(partition, at_visits):
    """Kill the worker that makes a partition, at some visits."""

    def meet(number, visits):
        if number == partition and visits in at_visits:
            os.kill(os.getpid(), signal.SIGKILL)

    return meet


def killing(pid, partition, at_visit):
    """Kill another process from the worker that makes a partition, at some visit."""

    def meet(number, visits):
        if number == partition and visits == at_visit:
            os.kill(pid, signal.SIGKILL)

    return meet


def dying_midway(folder, visit):
    """Kill the worker once, when half of the partitions have been met so many times."""

    def meet(number, visits):
        told = folder / "killed"
        reached = [each.stat().st_size >= visit for each in folder.iterdir() if each.name.isdigit()]
        if sum(reached) > PARTITIONS // 2 and not told.exists():
            told.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return meet


def computing_threads(source, walk):
    """The thread that each block is computed in, and how many a kernel would use there."""
    found = set()
    for _ in walk:
        with reserved() as are_ours:
            n_threads = get_num_threads() if are_ours else 1
        found.add((os.getpid(), threading.get_ident(), n_threads))
    return found
