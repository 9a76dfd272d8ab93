"""Forks: after a fit, during one, during a compilation, and where others have started threads.

python forks.py LAYER [compiling]
"""

import multiprocessing
import os
import sys
import threading
import time
import traceback
import warnings

import numba
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture
from fastgmm.passes import model as models

warnings.simplefilter("ignore", ConvergenceWarning)
# Python 3.12 warns of every fork beside threads: here they are the question
warnings.filterwarnings("ignore", message=".*use of fork\\(\\)", category=DeprecationWarning)
rng = np.random.default_rng(0)
rows = rng.normal(size=(20_000, 5)) + 6 * rng.integers(2, size=(20_000, 1))
wide = rng.normal(size=(500, 140))

# rows that seem to cost more than they do, so that few of them are worth sharing
models.plan = lambda *numbers, make=models.plan: make(*numbers)._replace(row_operations=1e4)


def fitted(x=rows, **settings):
    settings = {"max_iter": 3, "tol": 0.0, "init_params": "random_from_data"} | settings
    return GaussianMixture(2, random_state=0, **settings).fit(x)


def bits(model):
    return model.means_.tobytes() + model.covariances_.tobytes()


def in_child(function, seconds=100):
    """Fork, call, and wait: the child must come to an end by itself, and well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    for _ in range(seconds * 50):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            assert os.waitstatus_to_exitcode(status) == 0, os.waitstatus_to_exitcode(status)
            return
        time.sleep(0.02)
    os.kill(child, 9)
    raise AssertionError("the child hangs")


@numba.njit(parallel=True)
def not_ours(x):
    total = 0.0
    for i in numba.prange(x.size):
        total += x[i]
    return total


def after_others():
    """Somebody else's kernel has started the threads; no kernel of ours ever ran."""
    assert not_ours(np.ones(1000)) == 1000

    def child():
        fitted()

    in_child(child)


def after_a_fit():
    expected = bits(fitted())

    def child():
        assert bits(fitted()) == expected
        in_child(grandchild)

    def grandchild():
        assert bits(fitted()) == expected

    in_child(child)
    assert bits(fitted()) == expected  # the parent goes on
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert [bits(each) for each in pool.map(fitted, [rows] * 4)] == [expected] * 4


def during_fits():
    """Children at odd moments of fits in other threads, in kernels and in LAPACK."""
    expected = [bits(fitted()), bits(fitted(wide))]
    done = threading.Event()

    def work(x):
        while not done.is_set():
            fitted(x)

    workers = [threading.Thread(target=work, args=[x]) for x in (rows, wide, wide)]
    for worker in workers:
        worker.start()

    def child():
        assert [bits(fitted()), bits(fitted(wide))] == expected

    try:
        for _ in range(10):
            in_child(child)
    finally:
        done.set()
        for worker in workers:
            worker.join()


def during_a_compilation():
    """A child of a process whose other thread is in the middle of the compiler."""

    def little():
        fitted(rows[:1000], covariance_type="spherical")  # one kernel, of some seconds

    worker = threading.Thread(target=little)
    worker.start()
    time.sleep(0.5)
    assert worker.is_alive()
    in_child(little)
    worker.join()


if __name__ == "__main__":
    if sys.argv[2:]:
        during_a_compilation()
    else:
        for part in (after_others, after_a_fit, during_fits):
            part()
        assert numba.threading_layer() == sys.argv[1], numba.threading_layer()
    print("all children came home")
