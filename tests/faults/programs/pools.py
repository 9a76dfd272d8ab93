"""Fits in pools of processes and of threads; no worker may use more threads than it was given.

python pools.py spawn|forkserver|loky|threading
"""

import multiprocessing
import sys
import threading
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture
from fastgmm.parallel import threads

rows = np.random.default_rng(0).normal(size=(60_000, 5))
most_at_once, at_once, lock = [0], [0], threading.Lock()


def fitted(seed):
    """Fit; return the bits, and how many threads there might have been."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    model = GaussianMixture(
        4, max_iter=2, tol=0.0, init_params="random_from_data", random_state=seed
    ).fit(rows)
    return model.means_.tobytes(), threads.allowed_threads()


def nested(seed):
    return Parallel(n_jobs=2, backend="threading")(delayed(fitted)(seed) for _ in range(2))


def watched(original):
    """Count the calls of parallel kernels that run at the same time."""

    def call(*arguments):
        with lock:
            at_once[0] += 1
            most_at_once[0] = max(most_at_once[0], at_once[0])
        try:
            return original(*arguments)
        finally:
            with lock:
                at_once[0] -= 1

    return call


if __name__ == "__main__":
    kind, expected = sys.argv[1], [fitted(seed)[0] for seed in (0, 1, 2)]
    if kind in ("spawn", "forkserver"):
        with multiprocessing.get_context(kind).Pool(2) as pool:
            found = pool.map(fitted, (0, 1, 2))
            # a worker that is terminated may just have unlinked the semaphore that Numba made in
            # it, and not yet said so: Python's tracker then complains that it is gone
            pool.close()
            pool.join()
    elif kind == "loky":
        found = Parallel(n_jobs=2, inner_max_num_threads=1)(delayed(fitted)(s) for s in (0, 1, 2))
        assert {n_threads for _, n_threads in found} == {1}, found
    else:
        threads._attempt = watched(threads._attempt)
        pairs = Parallel(n_jobs=3, backend="threading")(delayed(nested)(s) for s in (0, 1, 2))
        assert all(a == b for a, b in pairs)
        found = [pair[0] for pair in pairs]
        assert most_at_once[0] <= 1, f"{most_at_once[0]} teams of threads at once"
    assert [bits for bits, _ in found] == expected
    print("as alone")
