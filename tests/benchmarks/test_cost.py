"""The model of a pass on a cluster, where its limits can be told without running one."""

import pytest

from bench.tables import cost
from fastgmm.sources.dask import collection

MACHINE = cost.Machine(
    row_component=2e-9,
    multiplication=2e-11,
    number=6e-9,
    scheduler_task=3e-4,
    worker_task=1e-3,
    link=5e-3,
    fixed=2e-2,
    summed_byte=2e-9,
    combined_byte=2e-10,
    bandwidth=1e9,
)
JOB = cost.Job(1e10, 10, 10, 100, 1000)


def test_the_tree_is_that_of_the_source():
    assert cost.FAN_IN == collection.FAN_IN
    assert [cost.tree_levels(n) for n in (1, 2, 8, 9, 64, 65)] == [0, 1, 1, 2, 2, 3]
    assert [cost.n_tasks(n) for n in (1, 8, 9, 64)] == [1, 9, 9 + 2 + 1, 64 + 8 + 1]


def test_twice_the_rows_take_twice_the_computing_and_no_more_of_anything_else():
    one, two = (cost.predict(MACHINE, JOB._replace(n_rows=n)) for n in (1e10, 2e10))
    assert two.compute == pytest.approx(2.0 * one.compute)
    assert two._replace(compute=0.0) == one._replace(compute=0.0)


def test_twice_the_workers_take_half_the_computing_and_no_less_of_the_scheduler():
    one, two = (cost.predict(MACHINE, JOB._replace(n_workers=n)) for n in (100, 200))
    assert two.compute == pytest.approx(one.compute / 2.0)
    assert two.workers == pytest.approx(one.workers / 2.0)
    assert two.scheduler == one.scheduler


def test_workers_without_partitions_change_nothing():
    one, many = (cost.predict(MACHINE, JOB._replace(n_workers=n)) for n in (1000, 10**6))
    assert many == one


def test_many_small_partitions_are_limited_by_the_scheduler():
    small = JOB._replace(n_rows=1e8, n_workers=1000, n_partitions=100_000)
    assert cost.limit(cost.predict(MACHINE, small)) == "scheduler"
    assert cost.limit(cost.predict(MACHINE, small._replace(n_workers=1))) == "workers"


def test_large_parameters_are_limited_by_the_broadcast():
    wide = cost.Job(1e8, 100, 100, 1000, 1000)
    assert cost.limit(cost.predict(MACHINE, wide)) == "broadcast"
    assert cost.predict(MACHINE, wide._replace(n_workers=1)).broadcast == 0.0


@pytest.mark.parametrize("n_workers", [1, 10, 1000])
@pytest.mark.parametrize("n_rows", [1e4, 1e8, 1e12])
def test_the_recommended_partition_is_within_its_bounds_and_near_the_best(n_rows, n_workers):
    d, k = 10, 10

    def seconds(rows):
        partitions = -int(-n_rows // rows)
        return sum(cost.predict(MACHINE, cost.Job(n_rows, d, k, n_workers, partitions)))

    rows = cost.partition_rows(MACHINE, n_rows, d, k, n_workers)
    assert rows * 8 * d <= cost.LARGEST
    assert rows <= n_rows / n_workers
    assert rows * 8 * d >= cost.SMALLEST or rows == n_rows / n_workers
    # an uneven last turn costs one partition in all of a worker's: at most as much again
    best = min(seconds(rows * factor) for factor in (0.01, 0.1, 0.3) if rows * factor > 1)
    assert seconds(rows) < 2.0 * best
