"""A pass on a Dask cluster: its constants measured, its model checked and drawn.

    python -m bench.tables.distributed [docs/distributed.png]

Measured on this machine, on clusters of 1 and 2 processes with a thread each; the chart takes a
network of NETWORK bytes a second in place of this machine's own. About four minutes.
"""

from __future__ import annotations

import logging
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from numba import set_num_threads
from scipy.optimize import nnls

from bench.tables import cost
from bench.tools import data
from fastgmm import open_source, passes
from fastgmm.kernels.plan import block_rows
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.model import model
from fastgmm.sources.dask import worker as tasks
from fastgmm.sources.source import _folded

KERNEL = [(2, 4), (4, 16), (10, 10), (20, 8), (32, 16)]  # features, components
CHECKS = [  # rows, features, components, partitions
    (1_600_000, 10, 10, 16),
    (1_600_000, 10, 10, 256),
    (400_000, 10, 10, 1024),
    (200_000, 32, 16, 8),
    (100_000, 2, 4, 512),
]
FEW, MANY = 64, 512  # partitions, whose passes differ by the price of the tasks
NETWORK = 1.25e9  # 10 Gbit/s, bytes a second
TURNS = 5  # the best of which counts
CHECK_TURNS = 3  # of a pass beside its constants, the median of which counts
PROBE = 50_000  # rows that tell how fast the kernel is now


def parameters(d: int, k: int) -> Parameters:
    return Parameters.from_covariances("full", *data.mixture(d, k))


def best(work: Callable[[], Any]) -> float:
    """Return the seconds of the fastest turn, after one that is not counted."""
    work()
    clock = []
    for _ in range(TURNS):
        began = time.perf_counter()
        work()
        clock.append(time.perf_counter() - began)
    return min(clock)


class OnePartition(NamedTuple):
    """What a worker is given, and what it does with it, in this process."""

    sent: bytes
    rows: np.ndarray

    def __call__(self) -> tasks.Found:
        return tasks.done(self.sent, self.rows, None, 0, 0, None)


def one_partition(d: int, k: int, n_rows: int) -> OnePartition:
    rows = data.rows(data.mixture(d, k), n_rows)
    source = open_source(da.from_array(rows, chunks=(n_rows, d)))
    models = [model(parameters(d, k), source.dtype)]
    walk = partial(_folded, partial(passes.summarise, models), passes.add)
    work = tasks.Walk(source._layout._replace(block_rows=block_rows(d)), walk)
    return OnePartition(pickle.dumps((tasks.versions(), pickle.dumps(work))), rows)


# Constants


def kernel() -> tuple[float, float, float]:
    """Measure rows, and fit the three constants of `cost.row_seconds` to equal relative errors."""
    print("| d, K | ns a row | model | parameters, bytes | model | statistics, bytes | model |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    measured, terms, lines = [], [], []
    for d, k in KERNEL:
        work = one_partition(d, k, 200_000)
        measured.append(best(work) / len(work.rows))
        terms.append([k, k * (d + 2) ** 2, d])
        lines.append((len(work.sent), len(pickle.dumps(work()))))
    constants, _ = nnls(np.array(terms) / np.array(measured)[:, None], np.ones(len(measured)))
    for (d, k), seconds, term, (sent, found) in zip(KERNEL, measured, terms, lines, strict=True):
        print(
            f"| {d}, {k} | {seconds * 1e9:.0f} | {np.dot(term, constants) * 1e9:.0f} | {sent} "
            f"| {cost.parameters_bytes(d, k):.0f} | {found} | {cost.statistics_bytes(d, k):.0f} |"
        )
    return tuple(constants)


def statistics_bytes() -> dict[str, float]:
    """Measure what statistics cost by the byte, where they are large."""
    d, k = 100, 20
    n_bytes, work = cost.statistics_bytes(d, k), one_partition(d, k, 8)
    arrived = pickle.dumps(work())

    def combined() -> None:
        tasks.combined(passes.add, *(pickle.loads(arrived) for _ in range(cost.FAN_IN)))

    return {
        "summed_byte": best(work) / n_bytes,
        "combined_byte": best(combined) / (cost.FAN_IN * n_bytes),
    }


@contextmanager
def cluster(n_workers: int) -> Iterator[Client]:
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
    """Rows, held by the workers."""
    each = n_rows // n_partitions

    def block(block_info: Any = None) -> np.ndarray:
        number, _ = block_info[None]["chunk-location"]
        return data.rows(data.mixture(d, k), each, seed=number)

    found = da.map_blocks(block, chunks=((each,) * n_partitions, (d,)), dtype=float).persist()
    wait(found, timeout=120)
    return found


def one_pass(rows: Any, d: int, k: int) -> Callable[[], Any]:
    source = open_source(rows)
    return partial(passes.statistics, source, [parameters(d, k)])


def processors(client: Client, work: Callable[[], Any], turns: int = TURNS) -> tuple[float, float]:
    """Seconds of processors in client and scheduler, and in the workers: the least of turns."""
    found = []
    for _ in range(turns):
        here, there = time.process_time(), client.run(time.process_time)
        work()
        here = time.process_time() - here
        there = sum(client.run(time.process_time).values()) - sum(there.values())
        found.append((here, there))
    return tuple(min(each) for each in zip(*found, strict=True))


class Tasks(NamedTuple):
    """Passes of next to no rows, which differ by the price of the tasks."""

    few: Callable[[], Any]
    many: Callable[[], Any]

    def costs(self, client: Client, turns: int) -> dict[str, float]:
        """Measure what a task costs beside its work."""
        apart = cost.n_tasks(MANY) - cost.n_tasks(FEW)
        spent = (processors(client, work, turns) for work in self)
        scheduler, workers = ((many - few) / apart for few, many in zip(*spent, strict=True))
        return {"scheduler_task": max(scheduler, 0.0), "worker_task": max(workers, 0.0)}


def tasks_alone() -> Tasks:
    found = Tasks(*(one_pass(made(8 * n, 2, 4, n), 2, 4) for n in (FEW, MANY)))
    for work in found:
        work()  # not counted
    return found


def overheads(client: Client) -> dict[str, float]:
    """Measure what tasks cost beside their work, on a cluster of two workers."""
    return tasks_alone().costs(client, TURNS) | {
        "link": link(client),
        "fixed": best(one_pass(made(8, 2, 4, 1), 2, 4)),
        "bandwidth": bandwidth(client),
    }


def link(client: Client) -> float:
    """Seconds from task to task in a chain, which Dask must not make one task of."""
    step = dask.delayed(lambda before: before + 1, pure=False)

    def once(length: int) -> None:
        found = 0  # made anew: what was computed a moment ago may still be held
        for _ in range(length):
            found = step(found)
        client.compute(found, optimize_graph=False).result(timeout=60)

    with dask.config.set({"optimization.fuse.active": False}):
        return (best(partial(once, 60)) - best(partial(once, 10))) / 50


def bandwidth(client: Client) -> float:
    """Bytes a second from worker to worker, the links' own time included."""
    n_bytes = 100_000_000
    one, other = client.scheduler_info(n_workers=-1)["workers"]
    clock = []
    for turn in range(TURNS):
        held = client.submit(np.full, n_bytes // 8, float(turn), workers=[one])
        wait(held, timeout=60)
        began = time.perf_counter()
        client.submit(len, held, workers=[other]).result(timeout=60)
        clock.append(time.perf_counter() - began)
    return n_bytes / min(clock)


# The model beside passes


def check(machine: cost.Machine, n_workers: int) -> None:
    """Print passes beside the model.

    A shared processor is twice as fast in one minute as in another. So each turn measures the
    constants of the kernel and of the tasks once more, and then the pass; the median turn is shown.
    """
    with cluster(n_workers) as client:
        tasks = tasks_alone()
        for n_rows, d, k, n_partitions in CHECKS:
            work, probe = (
                one_pass(made(n_rows, d, k, n_partitions), d, k),
                one_partition(d, k, PROBE),
            )
            asked = cost.Job(n_rows, d, k, n_workers, n_partitions)
            work()
            probe()
            turns = []
            for _ in range(CHECK_TURNS):
                now = at_present(machine, probe, (d, k))._replace(**tasks.costs(client, 1))
                began = time.perf_counter()
                work()
                turns.append((time.perf_counter() - began, cost.predict(now, asked)))
            turns.sort(key=lambda turn: sum(turn[1]) / turn[0])
            took, seconds = turns[CHECK_TURNS // 2]
            print(
                f"| {n_workers} | {n_rows:,} | {d}, {k} | {n_partitions} | {took:.3f} "
                f"| {sum(seconds):.3f} | {sum(seconds) / took:.2f} | {cost.limit(seconds)} |",
                flush=True,
            )


def at_present(machine: cost.Machine, probe: OnePartition, shape: tuple[int, int]) -> cost.Machine:
    """Return the machine with a kernel as fast as it is now, on rows of a shape."""
    began = time.perf_counter()
    probe()
    seconds = (time.perf_counter() - began) / len(probe.rows)
    factor = seconds / cost.row_seconds(machine, *shape)
    return machine._replace(
        row_component=factor * machine.row_component,
        multiplication=factor * machine.multiplication,
        number=factor * machine.number,
    )


# The model far beyond


LEVELS = (1, 10, 100, 1e3, 1e4, 1e5, 1e6)  # seconds
LABELLED = 5  # workers, where lines are labelled
COLOURS = {
    "compute": "#dfe8f2",
    "workers": "#9db8d9",
    "scheduler": "#e8a33d",
    "broadcast": "#b0413e",
    "tree": "#5b8c5a",
    "fixed": "#bbbbbb",
}


def draw(machine: cost.Machine, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
    for ax, (d, k) in zip(axes, [(10, 10), (100, 100)], strict=False):
        _map(ax, machine, d, k)
    _sizes(axes[2], machine)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, ncols=6, loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=80)
    print(f"drawn: {path}")


def _map(ax: Any, machine: cost.Machine, d: int, k: int) -> None:
    """Colour rows x workers by the longest term, and write the seconds in."""
    from matplotlib.colors import ListedColormap

    workers = np.unique(np.geomspace(1, 1000, 90).astype(int))
    n_rows = np.geomspace(1e6, 1e12, 90)
    names = list(COLOURS)
    kinds, seconds = np.empty((len(n_rows), len(workers))), np.empty((len(n_rows), len(workers)))
    for i, n in enumerate(n_rows):
        for j, w in enumerate(workers):
            found = cost.predict(machine, job(machine, n, d, k, int(w)))
            kinds[i, j], seconds[i, j] = names.index(cost.limit(found)), sum(found)
    ax.pcolormesh(
        workers, n_rows, kinds, cmap=ListedColormap(list(COLOURS.values())), vmin=0, vmax=5
    )
    ax.set(xscale="log", yscale="log", xlabel="workers", ylabel="rows")
    at = int(np.searchsorted(workers, LABELLED))
    levels = [level for level in LEVELS if seconds[0, at] < level < seconds[-1, at]]
    lines = ax.contour(workers, n_rows, seconds, levels, colors="k")
    # at a column of their own: by itself, matplotlib lets them cross the frame
    places = [(LABELLED, np.interp(level, seconds[:, at], n_rows)) for level in levels]
    ax.clabel(lines, fmt=lambda level: f"{level:g} s", manual=places)
    ax.set_title(f"seconds a pass, and the longest term\nd = {d}, K = {k}", fontsize=10)


def job(machine: cost.Machine, n_rows: float, d: int, k: int, n_workers: int) -> cost.Job:
    """Cut rows as `cost.partition_rows` says."""
    rows = cost.partition_rows(machine, n_rows, d, k, n_workers)
    return cost.Job(n_rows, d, k, n_workers, int(np.ceil(n_rows / rows)))


def _sizes(ax: Any, machine: cost.Machine) -> None:
    """Seconds against the size of a partition."""
    n_rows, d, k = 1e10, 10, 10
    megabytes = np.geomspace(1, 1e4, 100)
    for n_workers, style in [(10, "-"), (100, "--"), (1000, ":")]:
        jobs = [
            cost.Job(n_rows, d, k, n_workers, int(np.ceil(n_rows * 8 * d / (size * 1e6))))
            for size in megabytes
        ]
        seconds = [sum(cost.predict(machine, each)) for each in jobs]
        ax.plot(megabytes, seconds, style, color="k", label=f"{n_workers} workers")
        chosen = job(machine, n_rows, d, k, n_workers)
        at = n_rows * 8 * d / chosen.n_partitions / 1e6
        ax.plot(at, sum(cost.predict(machine, chosen)), "o", color=COLOURS["scheduler"])
    ax.set(xscale="log", yscale="log", xlabel="MB a partition", ylabel="seconds a pass")
    ax.set_title("the size of a partition (dots: recommended)\n1e10 rows, d = 10, K = 10")
    ax.title.set_fontsize(10)
    ax.legend(frameon=False)


def main(path: str | None) -> None:
    set_num_threads(1)
    constants = kernel()
    with cluster(2) as client:
        machine = cost.Machine(*constants, **overheads(client), **statistics_bytes())
    print("\n" + "\n".join(f"| {name} | {each:.3g} |" for name, each in machine._asdict().items()))
    print("\n| workers | rows | d, K | partitions | seconds | model | model/seconds | longest |")
    print("| --: | --: | --- | --: | --: | --: | --: | --- |")
    for n_workers in (1, 2):
        check(machine, n_workers)
    far = machine._replace(bandwidth=NETWORK)
    print("\n| rows | d, K | workers | MB a partition | partitions | seconds | longest |")
    print("| --: | --- | --: | --: | --: | --: | --- |")
    for n_rows in (1e8, 1e10, 1e12):
        for d, k in [(10, 10), (100, 100)]:
            for n_workers in (10, 100, 1000):
                chosen = job(far, n_rows, d, k, n_workers)
                seconds = cost.predict(far, chosen)
                print(
                    f"| {n_rows:.0e} | {d}, {k} | {n_workers} "
                    f"| {n_rows * 8 * d / chosen.n_partitions / 1e6:.0f} | {chosen.n_partitions} "
                    f"| {sum(seconds):.3g} | {cost.limit(seconds)} |"
                )
    if path:
        draw(far, path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
