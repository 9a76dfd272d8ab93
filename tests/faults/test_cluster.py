"""Real clusters of processes, and real SIGKILLs in the middle of a pass."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
from contextlib import ExitStack, contextmanager
from operator import or_

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster, wait
from faults import processes
from faults.partitions import (
    PARTITIONS,
    ROWS,
    computing_threads,
    counting,
    counts,
    dying,
    dying_midway,
    fitted,
    killing,
    made,
)

import fastgmm
from fastgmm import GaussianMixture, open_source, passes
from fastgmm.errors import ClusterError, DataError
from fastgmm.sources.dask.collection import _failure
from fastgmm.storage.fit_identity import FIRST_ROWS, identity_of

PATIENCE = 120  # seconds until a test counts as one that hangs; it takes 5
pytestmark = [
    pytest.mark.slow,  # `sources/dask` has the quick tests, in this process and its threads
    pytest.mark.deadline(PATIENCE),
    # A killed worker leaves sockets to the collector, which is none of ours to close.
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
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
    gc.collect()  # while its warnings are awaited


@pytest.fixture
def connect(cluster):
    """A function that connects to a cluster of so many workers: in this file ever more of them."""
    with ExitStack() as stack:

        def to(n_workers):
            cluster.scale(n_workers)
            client = stack.enter_context(Client(cluster))
            try:
                client.wait_for_workers(n_workers, timeout=PATIENCE / 4)
            except TimeoutError:  # workers that the test before has killed still count as some
                cluster.scale(0)
                cluster.scale(n_workers)
                client.wait_for_workers(n_workers, timeout=PATIENCE / 4)
            return client

        yield to


@pytest.fixture(scope="module")
def expected():
    """The bits of an undisturbed fit, in the threads of this process."""
    with dask.config.set(scheduler="threads"):
        return fitted(made().persist())


def test_a_worker_killed_in_the_middle_of_a_pass_changes_no_bit(connect, expected, tmp_path):
    connect(1)
    rows = made(counting(tmp_path, dying_midway(tmp_path, visit=3)))
    assert fitted(rows) == expected
    visits = counts(tmp_path)
    assert set(visits) == {7, 8}  # a sample's pass and six of EM
    assert visits.count(8) > 1  # beside the one that was killed, some were summed again


def test_a_worker_killed_with_the_only_copy_of_rows_changes_no_bit(connect, expected, tmp_path):
    client = connect(2)
    rows = made(counting(tmp_path)).persist()
    wait(rows, timeout=PATIENCE)
    holders = client.who_has(rows)
    address, *_ = next(iter(holders.values()))
    pid = client.run(os.getpid, workers=[address])[address]
    os.kill(pid, signal.SIGKILL)
    assert fitted(rows) == expected
    visits = counts(tmp_path)
    assert max(visits) == 2


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
    # so it is where Dask reports a sum that waited on a dead worker, which did it no harm
    blamed = caught.value.__cause__
    sums = KilledWorker(("fastgmm-combine-of-others", 13), *blamed.args[1:])
    keys = [each.key for each in rows.to_delayed().ravel()]
    assert re.match(r"partition \d+ of them was given to 2 workers", _failure(sums, "them", keys))
    assert fitted(made())  # the cluster lives on


def test_workers_of_another_version_are_refused(connect):
    client = connect(2)

    def pretend(version):
        import fastgmm.sources.dask.worker

        fastgmm.sources.dask.worker.__version__ = version

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
    message = (
        f"row 3 of partition 5 of the Dask Array, which begins at row {5 * ROWS} holds no value"
    )
    with pytest.raises(DataError, match=message):
        GaussianMixture(2).fit(bad)


def test_only_parameters_and_statistics_travel(connect, make_case):
    client = connect(2)
    n_features, n_components, n_partitions = 20, 10, 16
    case = make_case("full", 1_000, n_features, n_components)
    rows = da.map_blocks(
        lambda block_info=None: np.random.default_rng(0).normal(size=(10_000, n_features)),
        chunks=((10_000,) * n_partitions, (n_features,)),
        dtype=float,
    ).persist()
    wait(rows, timeout=PATIENCE)
    client.rebalance(rows)  # so that the second worker has a share
    source = open_source(rows)
    passes.statistics(source, [case.parameters])  # compiled and connected
    before = moved_rows(client, rows)
    with counted_bytes(client) as written:
        passes.statistics(source, [case.parameters])
    statistics = 8 * n_components * (n_features + 1) * (n_features + 2) / 2
    parameters = 8 * n_components * (n_features + 1) ** 2
    n_tasks = n_partitions + 2 + 1  # the last: a tree of eight at a time
    # Parameters go from the client to the scheduler, to a worker, and to the other. What a task
    # found goes to another worker once at most, and the last of it to scheduler and client.
    # Both may be padded to registers of eight numbers. Of each task and each partition, messages
    # have a name, a function and places, to and fro: 4 kB at most.
    most = 1.3 * (3 * parameters + (n_tasks + 2) * statistics) + 4_000 * (n_tasks + n_partitions)
    assert statistics + parameters < written() - (moved_rows(client, rows) - before) < most
    assert most < 0.04 * rows.nbytes


def test_of_the_rows_that_a_checkpoint_compares_no_more_travel(connect):
    client = connect(2)
    rows = da.map_blocks(
        lambda block_info=None: np.random.default_rng(0).normal(size=(100_000, 10)),
        chunks=((100_000, 100_000), (10,)),
        dtype=float,
    ).persist()
    wait(rows, timeout=PATIENCE)
    source = open_source(rows)
    whole = identity_of({}, source)  # compiled and connected
    with counted_bytes(client) as written:
        assert identity_of({}, source) == whole
    first = FIRST_ROWS * 10 * 8
    assert first < written() < 2.1 * first + 20_000  # to the scheduler, and on to the client
    local = identity_of({}, open_source(rows.compute()))
    assert whole["the checksum of the first rows"] == local["the checksum of the first rows"]


def test_partial_fit_brings_the_rows_to_the_client_once(connect, make_case):
    client = connect(2)
    case = make_case("full", 1_000, 10, 4)
    rows = da.map_blocks(
        lambda block_info=None: np.random.default_rng(0).normal(size=(20_000, 10)),
        chunks=((20_000,) * 6, (10,)),
        dtype=float,
    ).persist()
    wait(rows, timeout=PATIENCE)
    model = GaussianMixture.from_parameters(
        case.parameters.weights, case.parameters.means, case.parameters.covariances
    )
    model.partial_fit(rows)  # compiled and connected
    with counted_bytes(client) as written:
        model.partial_fit(rows)
    # from a worker to the scheduler, and on to the client; 20 kB of messages a partition
    assert rows.nbytes < written() < 2 * rows.nbytes + 6 * 20_000


def test_weights_of_the_client_are_kept_by_the_workers(connect, expected):
    connect(2)
    assert fitted(made(), sample_weight=np.ones(PARTITIONS * ROWS)) == expected


def test_rows_that_no_worker_holds_any_more_are_named(connect):
    client = connect(2)
    rows = made().persist()
    wait(rows, timeout=PATIENCE)
    client.cancel(rows, force=True)
    with pytest.raises(ClusterError, match=r"held by no worker.* persist them anew"):
        GaussianMixture(2, random_state=0).fit(rows)


def moved_rows(client, rows):
    """Count the bytes of the partitions that Dask has moved to a worker with less to do."""
    name = rows.name

    def moved(dask_worker):
        return sum(
            n_bytes
            for each in dask_worker.transfer_incoming_log
            for key, n_bytes in each["keys"].items()
            if key[0] == name
        )

    return sum(client.run(moved).values())


@contextmanager
def counted_bytes(client):
    """Count what client, scheduler and workers write to their sockets, but for signs of life."""

    def begin():
        from distributed.comm.tcp import TCP

        uncounted = TCP.write

        async def write(self, message, *arguments, **options):
            n_bytes = await uncounted(self, message, *arguments, **options)
            if not (isinstance(message, dict) and str(message.get("op")).startswith("heartbeat")):
                TCP.counted += n_bytes
            return n_bytes

        TCP.counted, TCP.uncounted, TCP.write = 0, uncounted, write

    def counted():
        from distributed.comm.tcp import TCP

        return TCP.counted

    def end():
        from distributed.comm.tcp import TCP

        TCP.write = TCP.uncounted  # what is still being written may go on to count

    def everywhere(function):  # client and scheduler share this process
        return sum(each or 0 for each in [*client.run(function).values(), function()])

    everywhere(begin)
    before = everywhere(counted)
    try:
        yield lambda: everywhere(counted) - before
    finally:
        everywhere(end)


def test_kernels_use_no_more_threads_than_dask_was_given(connect):
    client = connect(2)
    given = client.nthreads()
    found = open_source(made()).gather(computing_threads, or_, ROWS)
    assert {n_threads for _, _, n_threads in found} == {1}
    assert len({(process, thread) for process, thread, _ in found}) <= sum(given.values())


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples"])
def test_lazy_scores_hold_rows_that_their_user_has_dropped(connect, tmp_path, method):
    connect(2)
    rows = made(counting(tmp_path)).persist()
    wait(rows, timeout=PATIENCE)
    start = {"means_init": [[0.0] * 3, [5.0] * 3], "init_params": "random", "random_state": 0}
    model = GaussianMixture(2, tol=1.0, **start).fit(rows)
    expected = getattr(model, method)(rows).compute()
    scores = getattr(model, method)(rows)
    del rows
    gc.collect()
    for _ in range(2):
        np.testing.assert_array_equal(scores.compute(), expected)
    assert set(counts(tmp_path)) == {1}  # none was made anew


def test_a_fit_goes_on_elsewhere_from_the_checkpoint_of_one_whose_workers_were_killed(
    cluster, connect, expected, tmp_path
):
    connect(2)
    cluster.scheduler.allowed_failures = 1
    run, folder = tmp_path / "run.ckpt", tmp_path / "visits"
    folder.mkdir()
    rows = made(counting(folder, dying(partition=11, at_visits=[4, 5])))
    model = GaussianMixture(2, max_iter=6, random_state=0, tol=0.0)
    with pytest.raises(ClusterError, match=r"partition \d+ of the Dask Array"):
        model.fit(rows, checkpoint=run)
    assert run.exists()
    before = counts(folder)[11]  # the last, which is not among the first rows that are compared
    assert before == 5  # a sample's pass, two of EM, and two that ended with the worker
    with dask.config.set(scheduler="threads"):
        assert fitted(rows, checkpoint=run) == expected
    assert counts(folder)[11] - before == 1 + 4  # a sample's pass, and four more of EM


def test_another_client_goes_on_where_one_was_killed(cluster, connect, expected, tmp_path):
    connect(2)
    folder = tmp_path / "visits"
    folder.mkdir()
    arguments = cluster.scheduler_address, folder, tmp_path / "run.ckpt"
    process = processes.start("client", *arguments)
    try:
        assert process.wait(timeout=PATIENCE / 2) == -signal.SIGKILL
    finally:
        processes.end(process)
    before = counts(folder)[11]
    assert processes.run("client", *arguments) == expected.hex() + "\n"
    assert counts(folder)[11] - before == 1 + 4


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bits(connect, expected, n_workers):
    client = connect(max(n_workers, 2))
    workers = list(client.scheduler_info(n_workers=-1)["workers"])[:n_workers]
    rows = made().persist(workers=workers)
    with dask.annotate(workers=workers):
        assert fitted(rows) == expected


def test_a_scheduler_that_dies_ends_the_fit_with_its_last_iteration(tmp_path):
    process = processes.start("cluster")
    try:
        address = processes.next_line(process)
        rows = made(counting(tmp_path, killing(process.pid, partition=2, at_visit=4)))
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            Client(address, timeout=5) as client,
        ):
            assert client.status == "running"
            with pytest.raises(ClusterError, match="lost in the middle of a pass") as caught:
                GaussianMixture(2, random_state=0, tol=0.0).fit(rows)
            assert caught.value.model.n_iter_ == 2
    finally:
        processes.end(process)
