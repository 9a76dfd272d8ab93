"""A queue of work: each number is taken by one thread, whoever is free."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgmm.kernels.jit import parallel
from fastgmm.kernels.work_queue import new_queue, take_next


@parallel
def take_all(queue, taken, who):
    for thread in prange(4):
        number = take_next(queue)
        while number < len(taken):
            taken[number] += 1
            who[number] = thread
            number = take_next(queue)


def test_every_number_is_taken_once():
    taken, who = np.zeros(100_000, np.int64), np.full(100_000, -1)
    take_all(new_queue(), taken, who)
    assert (taken == 1).all()
    assert who.min() >= 0
    assert who.max() < 4
