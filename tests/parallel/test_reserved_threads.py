"""Threads: one caller at a time, none after a fork, and always the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numba
import pytest

from fastgmm.parallel.threads import reserved


def ask_from_another_thread():
    """What reserved() says to a second Python thread."""
    answers = []

    def ask():
        with reserved() as are_ours:
            answers.append(are_ours)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(60)
    return answers[0]


@pytest.fixture
def two_threads():
    """Let this Python thread use more than one of Numba's, as where there are two cores."""
    if numba.config.NUMBA_NUM_THREADS == 1:
        yield False
        return
    before = numba.get_num_threads()
    numba.set_num_threads(2)
    yield True
    numba.set_num_threads(before)


def test_the_threads_are_lent_once_at_a_time(two_threads):
    with reserved() as mine:
        assert mine is two_threads
        assert not ask_from_another_thread()
    assert ask_from_another_thread() is two_threads
    with reserved() as again:
        assert again is two_threads


def test_an_exception_gives_the_threads_back(two_threads):
    with pytest.raises(KeyboardInterrupt), reserved():
        raise KeyboardInterrupt
    with reserved() as mine:
        assert mine is two_threads


def test_one_thread_is_not_reserved():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with reserved() as mine:
            assert not mine
    finally:
        numba.set_num_threads(before)


PROGRAM = """
import os, sys, threading, traceback
import numba, numpy as np
from fastgmm import passes
from fastgmm.passes import model as models
from fastgmm.parallel.companions import at_work
from fastgmm.parallel.threads import reserved
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import open_source

rng = np.random.default_rng(0)
rows = rng.normal(size=(30_000, 4))
parameters = Parameters.from_covariances(
    "diagonal", [0.3, 0.7], rng.normal(size=(2, 4)), np.ones((2, 4))
)
source = open_source(rows)

def bits():
    (found,) = passes.statistics(source, [parameters])
    scores = passes.responsibilities(source, parameters)
    return b"".join(x.tobytes() for x in (found.weight, found.first, found.second, scores))

# rows that seem to cost more than they do, so that few of them are worth sharing
models.plan = lambda *numbers, make=models.plan: make(*numbers)._replace(row_operations=1e4)
numba.set_num_threads(1)
serial = bits()
for n_threads in range(2, 6):
    numba.set_num_threads(n_threads)
    assert bits() == serial, f"{n_threads} threads gave other bits"
assert numba.threading_layer() == sys.argv[1], numba.threading_layer()

found = []
def work():
    numba.set_num_threads(5)
    found.extend(bits() == serial for _ in range(5))
workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert found == [True] * 20, found

at_work[0] = 1  # as while a thread reads
child = os.fork()
if child == 0:
    status = 1
    try:
        with reserved() as are_ours:
            assert not are_ours
        assert at_work[0] == 0
        assert bits() == serial
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if bits() == serial else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert bits() == serial  # the parent goes on as before
at_work[0] = 0
with reserved() as are_ours:
    assert are_ours
print("every promise kept")
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_threads_forks_and_concurrent_calls_give_the_same_bits(layer):
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "5"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, layer],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "every promise kept\n"
