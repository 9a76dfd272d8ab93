"""Python threads, Numba's, OpenMP's and BLAS's: whatever their number, the same bits.

python threads.py LAYER     with more threads than there are processors
"""

import contextlib
import itertools
import sys
import threading
import warnings

import numba
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController, threadpool_limits

from fastgmm import GaussianMixture, em, passes
from fastgmm.parallel import threads as parallel_threads
from fastgmm.passes import model as models

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(0)
SETTINGS = {"max_iter": 4, "tol": 0.0, "init_params": "random_from_data", "random_state": 0}
NUMBERS = (1, 2, 3, 7, numba.config.NUMBA_NUM_THREADS)

# rows that seem to cost more than they do, so that few of them are worth sharing
models.plan = lambda *numbers, make=models.plan: make(*numbers)._replace(row_operations=1e4)


def blas_threads():
    return [
        each.num_threads for each in ThreadpoolController().select(user_api="blas").lib_controllers
    ]


def rows_of(n_rows, n_features, seed):
    made = np.random.default_rng(seed)
    return made.normal(size=(n_rows, n_features)) + 4 * made.integers(2, size=(n_rows, 1))


# LAPACK's factors had other bits with two threads than with one, from 128 features on
CASES = (
    ("full", rows_of(30_000, 4, 1)),
    ("diag", rows_of(30_000, 4, 2)),
    ("full", rows_of(900, 140, 3)),
    ("tied", rows_of(900, 140, 4)),
)


def fitted(case, **settings):
    covariance_type, rows = case
    return GaussianMixture(2, covariance_type=covariance_type, **SETTINGS | settings).fit(rows)


def bits(model):
    names = ("weights_", "means_", "covariances_", "precisions_cholesky_")
    return b"".join(getattr(model, name).tobytes() for name in names)


def in_threads(*works):
    """Run every piece of work in a thread, and raise what they raise."""
    failures = []

    def guarded(work):
        numba.set_num_threads(max(NUMBERS))
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def fits_at_once(expected):
    """Fits of different objects in different threads."""

    def work(turn):
        for at in range(len(CASES)):
            at = (at + turn) % len(CASES)
            assert bits(fitted(CASES[at])) == expected[at]

    before = blas_threads()
    in_threads(*(lambda turn=turn: work(turn) for turn in range(4)))
    assert blas_threads() == before, "BLAS was not given back"


def one_object(expected):
    """Two threads fit one object, to different rows; two others use it meanwhile."""
    model = GaussianMixture(2, **SETTINGS)
    cases = (("full", rows_of(5_000, 4, 5)), ("full", rows_of(5_000, 4, 6)))
    alone = [fitted(case) for case in cases]
    seen = [each.score_samples(cases[0][1][:50]).tobytes() for each in alone]
    possible = {bits(each) for each in alone}
    model.fit(cases[0][1])
    done = threading.Event()

    def fit(case):
        try:
            for _ in range(8):
                model.fit(case[1])
                assert bits_at_once(model) in possible
        finally:
            done.set()

    def use():
        while not done.is_set():
            assert model.score_samples(cases[0][1][:50]).tobytes() in seen
            assert bits_at_once(model) in possible

    in_threads(lambda: fit(cases[0]), lambda: fit(cases[1]), use, use)
    assert bits(model) in possible


def bits_at_once(model):
    """The attributes as one fit has published them, all together."""
    published = vars(model)
    names = ("weights_", "means_", "covariances_", "precisions_cholesky_")
    return b"".join(published[name].tobytes() for name in names)


def numbers_of_threads(expected):
    """Between fits, and during one: at every pass and every M-step another number."""
    for n_threads in NUMBERS:
        numba.set_num_threads(n_threads)
        with threadpool_limits(n_threads, user_api="blas"):
            assert [bits(fitted(case)) for case in CASES] == expected, n_threads
    turns = itertools.cycle(NUMBERS)

    def restless(function):
        def call(*arguments, **keywords):
            n_threads = next(turns)
            numba.set_num_threads(n_threads)
            blas = ThreadpoolController().select(user_api="blas")
            for library in blas.lib_controllers:
                library.set_num_threads(n_threads)
            return function(*arguments, **keywords)

        return call

    statistics, estimate = passes.statistics, em.Maximisation.estimate
    before = blas_threads()
    with threadpool_limits(user_api="blas"):
        passes.statistics = restless(statistics)
        em.Maximisation.estimate = restless(estimate)
        assert [bits(fitted(case)) for case in CASES] == expected
        passes.statistics, em.Maximisation.estimate = statistics, estimate
    for library, n in zip(
        ThreadpoolController().select(user_api="blas").lib_controllers, before, strict=True
    ):
        library.set_num_threads(n)
    numba.set_num_threads(max(NUMBERS))


def limits(expected):
    """threadpoolctl says how many threads: none of ours may be more."""
    asked = []

    @contextlib.contextmanager
    def watched(original=parallel_threads.reserved):
        asked.append(numba.get_num_threads())
        with original() as are_ours:
            yield are_ours

    parallel_threads.reserved = watched
    fitted(CASES[0])
    assert max(asked) == max(NUMBERS), asked
    asked.clear()
    with threadpool_limits(1):
        assert bits(fitted(CASES[0])) == expected[0]
    # with one processor OpenMP's own number is 1, too, and says nothing of what was asked for
    assert parallel_threads.cpus() == 1 or not asked
    assert numba.get_num_threads() == max(NUMBERS)


if __name__ == "__main__":
    numba.set_num_threads(1)
    expected = [bits(fitted(case)) for case in CASES]
    numba.set_num_threads(max(NUMBERS))
    assert [bits(fitted(case)) for case in CASES] == expected
    assert numba.threading_layer() == sys.argv[1], numba.threading_layer()
    for part in (numbers_of_threads, limits, fits_at_once, one_object):
        part(expected)
        print(part.__name__)
