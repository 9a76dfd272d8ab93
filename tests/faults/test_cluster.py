"""Real clusters of processes, and real SIGKILLs in the middle of a pass."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import ExitStack

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, wait
from faults import processes

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.errors import ClusterError, DataError

PARTITIONS, ROWS = 12, 400
# A killed worker leaves sockets to the collector, which is none of ours to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    options = {
        "distributed.comm.timeouts.connect": "10s",
        "distributed.nanny.pre-spawn-environ": {},
    }
    with (
        dask.config.set(options),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=":0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as found,
    ):
        yield found


@pytest.fixture
def connect(cluster):
    """A function that connects to a cluster of so many workers: in this file ever more of them."""
    with ExitStack() as stack:

        def to(n_workers):
            cluster.scale(n_workers)
            client = stack.enter_context(Client(cluster))
            client.wait_for_workers(n_workers, timeout=60)
            return client

        yield to


def made(visited=None):
    """Rows that are made where they are wanted; `visited(partition)` runs there first."""

    def block(block_info=None):
        (number, _) = block_info[None]["chunk-location"]
        if visited is not None:
            visited(number)
        rng = np.random.default_rng(number)
        return rng.normal(size=(ROWS, 3)) + 5.0 * rng.integers(0, 2, size=(ROWS, 1))

    return da.map_blocks(block, chunks=((ROWS,) * PARTITIONS, (3,)), dtype=float)


def fitted(rows, max_iter=6):
    model = GaussianMixture(2, max_iter=max_iter, tol=0.0, random_state=0)
    with pytest.warns(match="did not converge"):
        model.fit(rows)
    return b"".join(
        values.tobytes() for values in (model.weights_, model.means_, model.covariances_)
    )


@pytest.fixture(scope="module")
def expected():
    """The bits of an undisturbed fit, in the threads of this process."""
    with dask.config.set(scheduler="threads"):
        return fitted(made().persist())


def counting(folder, meet):
    """Count the visits to every partition in a file each, and meet the count."""

    def visited(number):
        with open(folder / str(number), "a") as file:
            file.write(".")
        meet(number, (folder / str(number)).stat().st_size)

    return visited


def dying(partition, at_visits):
    """Kill the worker that makes a partition, at some visits."""

    def meet(number, visits):
        if number == partition and visits in at_visits:
            os.kill(os.getpid(), signal.SIGKILL)

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


@pytest.mark.fault(111, 115)
def test_a_worker_killed_in_the_middle_of_a_pass_changes_no_bit(connect, expected, tmp_path):
    connect(1)
    rows = made(counting(tmp_path, dying_midway(tmp_path, visit=3)))
    assert fitted(rows) == expected
    visits = [(tmp_path / str(number)).stat().st_size for number in range(PARTITIONS)]
    assert set(visits) == {7, 8}  # a sample's pass and six of EM
    assert visits.count(8) > 1  # beside the one that was killed, some were summed again


@pytest.mark.fault(112)
def test_a_worker_killed_with_the_only_copy_of_rows_changes_no_bit(connect, expected, tmp_path):
    client = connect(2)
    rows = made(counting(tmp_path, lambda number, visits: None)).persist()
    wait(rows)
    holders = client.who_has(rows)
    address, *_ = next(iter(holders.values()))
    pid = client.run(os.getpid, workers=[address])[address]
    os.kill(pid, signal.SIGKILL)
    assert fitted(rows) == expected
    visits = [(tmp_path / str(number)).stat().st_size for number in range(PARTITIONS)]
    assert max(visits) == 2


@pytest.mark.fault(114)
def test_a_partition_that_kills_every_worker_is_named(cluster, connect, tmp_path):
    connect(2)
    cluster.scheduler.allowed_failures = 1
    rows = made(counting(tmp_path, dying(partition=7, at_visits=[4, 5])))
    # Dask blames all that was at the dead workers, and of those the first that it reports is named
    with pytest.raises(
        ClusterError, match=r"partition \d+ of the Dask Array .*2 workers"
    ) as caught:
        GaussianMixture(2, random_state=0, tol=0.0).fit(rows)
    assert caught.value.model.n_iter_ == 2  # after the sample's pass and two of EM
    assert fitted(made())  # the cluster lives on


@pytest.mark.fault(117)
def test_workers_of_another_version_are_refused(connect):
    client = connect(2)

    def pretend(version):
        import fastgmm.sources.dask

        fastgmm.sources.dask.__version__ = version

    client.run(pretend, "0.0.0")
    try:
        with pytest.raises(ClusterError, match=r"worker has fastgmm 0\.0\.0 .*client has fastgmm"):
            GaussianMixture(2).fit(made())
    finally:
        client.run(pretend, fastgmm.__version__)


def test_a_bad_row_is_named_across_processes(connect):
    connect(2)
    rows = made()
    bad = da.where(da.arange(len(rows), chunks=ROWS)[:, None] == 5 * ROWS + 3, np.nan, rows)
    message = f"row 3 of partition 5 of the Dask Array, which begins at row {5 * ROWS} holds NaN"
    with pytest.raises(DataError, match=message):
        GaussianMixture(2).fit(bad)


def test_only_parameters_and_statistics_travel(connect):
    client = connect(2)
    rows = made().persist()
    client.rebalance(rows)
    held = sum(client.nbytes(summary=False).values())
    fitted(rows)  # the same start and passes, compiled and connected

    def bytes_received(dask_worker):
        return sum(each["total"] for each in dask_worker.transfer_incoming_log)

    before = sum(client.run(bytes_received).values())
    model = GaussianMixture(2, max_iter=6, tol=0.0, init_params="random", random_state=0)
    start = np.full(2, 0.5), np.array([[0.0] * 3, [5.0] * 3]), np.array([np.eye(3)] * 2)
    model.set_params(weights_init=start[0], means_init=start[1], precisions_init=start[2])
    with pytest.warns(match="did not converge"):
        model.fit(rows)
    received = sum(client.run(bytes_received).values()) - before
    # a pass: the work to the one worker that has it not, and what it found back in part; 2 kB each
    assert received < 6 * 20_000
    assert held == rows.nbytes


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bits(connect, expected, n_workers):
    client = connect(max(n_workers, 2))
    workers = list(client.scheduler_info(n_workers=-1)["workers"])[:n_workers]
    rows = made().persist(workers=workers)
    with dask.annotate(workers=workers):
        assert fitted(rows) == expected


@pytest.mark.fault(113)
def test_a_scheduler_that_dies_ends_the_fit_with_its_last_iteration(tmp_path):
    process = processes.start("cluster")
    try:
        address = process.stdout.readline().strip()
        assert address, process.communicate()[1]
        pid = process.pid

        def kill(number, visits):
            if number == 2 and visits == 4:
                os.kill(pid, signal.SIGKILL)

        rows = made(counting(tmp_path, kill))
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            Client(address, timeout=5) as client,
        ):
            assert client.status == "running"
            with pytest.raises(ClusterError, match="lost in the middle of a pass") as caught:
                GaussianMixture(2, random_state=0, tol=0.0).fit(rows)
            assert caught.value.model.n_iter_ == 2
    finally:
        process.kill()
        process.communicate()
