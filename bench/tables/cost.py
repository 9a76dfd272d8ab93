"""What a pass costs on a cluster: seconds, from rows, features, components, workers and partitions.

Pure functions of measured constants, which `bench.tables.distributed` measures and checks. The
terms are added as if nothing overlapped, so their sum is at most as many times too long as there
are terms.
"""

from __future__ import annotations

import math
from typing import NamedTuple

FAN_IN = 8  # fastgmm.sources.dask.collection.FAN_IN: results that one task combines
NUMBER = 8  # bytes
SHARE = 0.1  # of the computing, which tasks may take beside it
MEGABYTES = 1e6
SMALLEST, LARGEST = 100 * MEGABYTES, 1000 * MEGABYTES  # partitions


class Machine(NamedTuple):
    """What is measured; seconds, or bytes a second."""

    row_component: float  # of the kernel, a row and component: an exponential, sums
    multiplication: float  # of the kernel, a row and component and each of (d + 2)^2
    number: float  # of checking and fingerprinting, a number of a row
    scheduler_task: float  # of client and scheduler, which do one thing at a time
    worker_task: float  # of a worker, beside the work of the task
    link: float  # from the end of a task to the start of one that waited for it
    fixed: float  # of a pass over one empty partition
    summed_byte: float  # of making a partition's statistics, a byte, whatever its rows
    combined_byte: float  # of adding statistics up, a byte of those that are added
    bandwidth: float  # between two workers


class Job(NamedTuple):
    """One pass over rows of full covariances, one thread a worker."""

    n_rows: float
    n_features: int
    n_components: int
    n_workers: int
    n_partitions: int


class Seconds(NamedTuple):
    """A pass, by what takes them."""

    compute: float  # rows, on the worker that has most of them
    workers: float  # what workers do for each task, beside its work
    scheduler: float  # what client and scheduler do for each task
    broadcast: float  # the parameters, from the worker that has them to all others
    tree: float  # statistics: made and added up by every worker, and the last ones' way to the root
    fixed: float


def statistics_bytes(n_features: int, n_components: int) -> float:
    """Count the bytes that one partition leaves: weights, means and the triangle of products."""
    return NUMBER * n_components * (n_features + 1) * (n_features + 2) / 2


def parameters_bytes(n_features: int, n_components: int) -> float:
    """Count the bytes of the work that all partitions are given: the factors of a candidate."""
    return NUMBER * n_components * (n_features + 1) ** 2


def row_seconds(machine: Machine, n_features: int, n_components: int) -> float:
    """One row on one thread."""
    pair = machine.row_component + machine.multiplication * (n_features + 2) ** 2
    return n_components * pair + machine.number * n_features


def tree_levels(n_partitions: int) -> int:
    """Count the levels of combining tasks above so many partitions."""
    levels = 0
    while n_partitions > 1:
        n_partitions, levels = math.ceil(n_partitions / FAN_IN), levels + 1
    return levels


def n_tasks(n_partitions: int) -> int:
    """Count the tasks of a pass: partitions, and the combining tasks above them."""
    found = level = n_partitions
    while level > 1:
        level = math.ceil(level / FAN_IN)
        found += level
    return found


def predict(machine: Machine, job: Job) -> Seconds:
    """Predict the seconds of one pass."""
    shape = job.n_features, job.n_components
    tasks, busy = n_tasks(job.n_partitions), min(job.n_workers, job.n_partitions)
    turns = math.ceil(job.n_partitions / job.n_workers)  # of the worker that has most
    level = machine.link + FAN_IN * _moved(machine, *shape)
    return Seconds(
        compute=turns * job.n_rows / job.n_partitions * row_seconds(machine, *shape),
        workers=tasks / busy * machine.worker_task,
        scheduler=tasks * machine.scheduler_task,
        broadcast=(busy - 1) * parameters_bytes(*shape) / machine.bandwidth,
        tree=turns * _left(machine, *shape) + tree_levels(job.n_partitions) * level,
        fixed=machine.fixed,
    )


def _moved(machine: Machine, n_features: int, n_components: int) -> float:
    """Seconds that one partition's statistics take to travel and to be added."""
    moved = machine.combined_byte + 1 / machine.bandwidth
    return statistics_bytes(n_features, n_components) * moved


def _left(machine: Machine, n_features: int, n_components: int) -> float:
    """Seconds that one partition's statistics take in all."""
    made = statistics_bytes(n_features, n_components) * machine.summed_byte
    return made + _moved(machine, n_features, n_components)


def limit(seconds: Seconds) -> str:
    """Name the term that takes longest."""
    return max(seconds._fields, key=lambda name: getattr(seconds, name))


def partition_rows(
    machine: Machine, n_rows: float, n_features: int, n_components: int, n_workers: int
) -> float:
    """Choose how many rows a partition holds.

    So many that tasks and statistics take a tenth of the time of computing, but no more than leave
    a partition to every worker. Within these, 100 MB to 1 GB: smaller ones are many tasks to
    remember for nothing, and a worker holds several while they are made.
    """
    shape = n_features, n_components
    task = n_workers * machine.scheduler_task + machine.worker_task + _left(machine, *shape)
    enough = task / (SHARE * row_seconds(machine, *shape))
    row_bytes = NUMBER * n_features
    held = min(max(enough, SMALLEST / row_bytes), LARGEST / row_bytes)
    return max(1.0, min(held, n_rows / n_workers))
