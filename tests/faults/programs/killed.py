"""Fits that are killed at random moments until enough kills have hit; each must end as undisturbed.

python killed.py fit|select folder kills

Children are forked from a process that has compiled and started no thread, so that a kill is a
matter of milliseconds. Printed: kills, fits that came to their end, kills that left a half file.
"""

import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastgmm import CheckpointWarning, GaussianMixture, select

warnings.simplefilter("ignore", ConvergenceWarning)
# a kill between two renamings leaves the older file alone, and that is told
warnings.filterwarnings("ignore", ".* is missing; the fit goes on from", CheckpointWarning)

ROWS = np.random.default_rng(0).normal(size=(1500, 4))


def fit(model, **options):
    """Fit two starts for 40 passes, and save what comes of it."""
    fitted = GaussianMixture(
        6, n_init=2, tol=0.0, max_iter=40, init_params="random_from_data", random_state=0
    )
    fitted.fit(ROWS, **options).save(model)


def search(model, **options):
    """Choose between two mixtures of 15 passes each, and save the better one."""
    found = select(ROWS[:500], (1, 2), "full", tol=0.0, max_iter=15, random_state=0, **options)
    found.best_estimator_.save(model)


def in_child(fit, model, run, seconds):
    """Fit in a child that is killed after some seconds; return whether it has ended before."""
    child = os.fork()
    if child == 0:
        fit(model, checkpoint=run)
        os._exit(0)
    until, ended = time.perf_counter() + seconds, 0
    while not ended and time.perf_counter() < until:
        time.sleep(0.001)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0, "a child failed"
        return True
    return False


def main(fit, folder, wanted):
    run, model = folder / "run.ckpt", folder / "model.npz"
    fit(folder / "expected.npz")
    started = time.perf_counter()
    fit(model, checkpoint=run)
    whole = time.perf_counter() - started
    moments = random.Random(0)
    kills = ends = halves = 0
    while kills < wanted:
        for path in (model, *folder.glob("run.ckpt*")):
            path.unlink()
        while True:
            # the last fit of all is left to end
            seconds = moments.uniform(0.0, whole / 2) if kills < wanted else 60 * whole
            if in_child(fit, model, run, seconds):
                break
            kills += 1
            halves += len(list(folder.glob(".fastgmm-*")))
        ends += 1
        assert model.read_bytes() == (folder / "expected.npz").read_bytes()
        left = sorted(path.name for path in folder.iterdir())
        assert left == ["expected.npz", "model.npz", "run.ckpt", "run.ckpt.previous"], left
    print(kills, ends, halves)


if __name__ == "__main__":
    main({"fit": fit, "select": search}[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]))
