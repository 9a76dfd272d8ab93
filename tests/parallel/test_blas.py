"""Blocks in which BLAS has one thread, and what it has after them."""

from __future__ import annotations

import threading

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from fastgmm.parallel import blas
from fastgmm.parallel.blas import each_matrix, one_blas_thread

WORTH_IT = 2 * blas.PARALLEL_OPERATIONS


def threads():
    pools = ThreadpoolController().select(user_api="blas").lib_controllers
    return {pool.num_threads for pool in pools}


@pytest.fixture(autouse=True)
def _three_threads():
    """Let BLAS have three, whatever the machine has."""
    with threadpool_limits(3, user_api="blas"):
        yield


def test_blocks_within_blocks_limit_until_the_outermost_ends():
    with one_blas_thread():
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {3}


def test_a_block_that_fails_gives_the_threads_back():
    @one_blas_thread()
    def fail():
        with one_blas_thread():
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fail()
        assert threads() == {3}


def test_the_first_thread_to_leave_does_not_free_the_others():
    inside, leave, seen = threading.Barrier(2), threading.Event(), []

    def other():
        with one_blas_thread():
            inside.wait()
            leave.wait()
            seen.append(threads())

    thread = threading.Thread(target=other)
    thread.start()
    with one_blas_thread():
        inside.wait()
    leave.set()
    thread.join()
    assert seen == [{1}]
    assert threads() == {3}


@pytest.mark.parametrize("within", [True, False], ids=["within a block", "outside"])
def test_matrices_are_shared_among_threads_within_a_block_as_well(within):
    def used(operations):
        names = set()
        arrived = threading.Barrier(3)

        def work(_):
            if operations == WORTH_IT:
                arrived.wait(timeout=60)
            assert threads() == {1}
            names.add(threading.get_ident())

        each_matrix(work, 3, operations)
        return len(names)

    if within:
        with one_blas_thread():
            assert (used(WORTH_IT), used(0.0)) == (3, 1)
    else:
        assert (used(WORTH_IT), used(0.0)) == (3, 1)
    assert threads() == {3}
