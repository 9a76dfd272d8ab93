"""Lanes taken in turn: each by one thread, whoever is free."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgmm.kernels.jit import parallel
from fastgmm.kernels.work_queue import new_turns, take_turn


@parallel
def take_all(turns, taken, who):
    for thread in prange(4):
        turn = take_turn(turns)
        while turn < len(taken):
            taken[turn] += 1
            who[turn] = thread
            turn = take_turn(turns)


def test_every_turn_is_taken_once():
    taken, who = np.zeros(100_000, np.int64), np.full(100_000, -1)
    take_all(new_turns(), taken, who)
    assert (taken == 1).all()
    assert who.min() >= 0
    assert who.max() < 4
