"""A queue of work: each number is taken by one thread, whoever is free and may work."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numba import get_num_threads, prange

from fastgmm.kernels.jit import parallel
from fastgmm.kernels.work_queue import CAN_REST, Queue, new_queue, rest, take_next

SIZE = 100_000


@parallel
def take_all(queue, taken, who):
    for thread in prange(4):
        number = take_next(queue, thread, len(taken))
        while number < len(taken):
            taken[number] += 1
            who[number] = thread
            number = take_next(queue, thread, len(taken))


def takers(queue):
    """Have four threads take all numbers, each once; return who took some."""
    taken, who = np.zeros(SIZE, np.int64), np.full(SIZE, -1)
    take_all(queue, taken, who)
    assert (taken == 1).all()
    return set(who)


def queue(n_companions, processors):
    return Queue(np.zeros(1, np.int64), np.array([n_companions]), processors)


def test_every_number_is_taken_once():
    assert takers(new_queue()) <= {0, 1, 2, 3}


@pytest.mark.skipif(not CAN_REST, reason="no short sleep on this system")
@pytest.mark.parametrize(
    ("n_companions", "processors", "may_work"),
    [(1, 4, {0, 1, 2}), (2, 4, {0, 1}), (3, 4, {0}), (9, 4, {0}), (3, 6, {0, 1, 2}), (1, 1, {0})],
)
def test_the_last_threads_rest_while_companions_need_their_processors(
    n_companions, processors, may_work
):
    assert takers(queue(n_companions, processors)) <= may_work


@parallel
def take_slowly(queue, who):
    for thread in prange(2):
        number = take_next(queue, thread, len(who))
        while number < len(who):
            rest()  # as long as some work
            who[number] = thread
            number = take_next(queue, thread, len(who))


@pytest.mark.skipif(not CAN_REST or get_num_threads() < 2, reason="there is no second thread")
def test_threads_go_on_when_companions_have_done():
    shared = queue(1, 2)
    who = np.full(3000, -1)  # 0.6 s or more
    take_slowly(queue(0, 2), who[:1].copy())  # compiled
    leave = threading.Timer(0.05, shared.companions.fill, [0])
    leave.start()
    take_slowly(shared, who)
    leave.join()
    first = int(np.argmax(who == 1))
    assert set(who) == {0, 1}
    assert first > 10  # rested before
