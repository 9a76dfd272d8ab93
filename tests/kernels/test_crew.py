"""A crew does each piece once, whoever takes part."""

from __future__ import annotations

import threading

import numpy as np
from numpy.testing import assert_array_equal

from fastgmm.kernels.crew import (
    arrive,
    begin_round,
    dismiss,
    end_round,
    finish_piece,
    new_crew,
    take_piece,
)
from fastgmm.kernels.jit import kernel

ROUNDS, PIECES = 400, 9


@kernel
def count_pieces(done, stale, crew):
    """Count each piece, and those that begin before the round before has ended."""
    member = arrive(crew)
    n_rounds = len(done) if member == 0 else 1
    for i in range(n_rounds):
        if member == 0:
            stale[2] = i
            begin_round(crew, PIECES)
        piece = take_piece(crew, member)
        while piece >= 0:
            done[stale[2], piece] += 1
            finish_piece(crew)
            piece = take_piece(crew, member)
        if member == 0:
            end_round(crew)
            for k in range(PIECES):
                stale[0] += done[i, k] != 1
    if member == 0:
        dismiss(crew)
    stale[1] += 1 if member == 0 else 0


def counted(n_threads):
    done, seen, crew = np.zeros((ROUNDS, PIECES), np.int64), np.zeros(3, np.int64), new_crew()
    count_pieces(np.zeros((1, PIECES), np.int64), np.zeros(3, np.int64), new_crew())  # compiles
    threads = [
        threading.Thread(target=count_pieces, args=(done, seen, crew)) for _ in range(n_threads)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60.0)
        assert not each.is_alive()
    assert_array_equal(done, 1)
    assert seen[0] == 0  # pieces not done at the end of a round
    assert seen[1] == 1  # leaders


def test_each_piece_is_done_once_in_its_round():
    for n_threads in (1, 2, 5):
        counted(n_threads)


def test_whoever_comes_late_leaves_at_once():
    done, seen, crew = np.zeros((3, PIECES), np.int64), np.zeros(3, np.int64), new_crew()
    count_pieces(done, seen, crew)
    count_pieces(done, seen, crew)
    assert_array_equal(done, 1)
