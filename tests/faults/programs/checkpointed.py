"""A long fit of a small file, with a checkpoint after every pass; its model is saved at the end.

python checkpointed.py rows.npy run.ckpt model.npz [function:call ...]

Where functions are named, fits one after the other go on from the same checkpoint. Each stops at
so many calls of one of them, prints its name, and is to be interrupted there; no model is saved.
"""

import contextlib
import os
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

from sklearn.exceptions import ConvergenceWarning

from fastgmm import CheckpointWarning, GaussianMixture
from fastgmm.storage import archive, checkpoint

warnings.simplefilter("ignore", ConvergenceWarning)
# a kill between two renamings leaves the older file alone, and that is told
warnings.filterwarnings("ignore", ".* is missing; the fit goes on from", CheckpointWarning)
HOLDERS = {"_write_zip": archive}  # the others are of the operating system


@contextlib.contextmanager
def stopped(place):
    """Stop within a function, at so many calls of it."""
    name, wanted = place.split(":")
    holder, calls = HOLDERS.get(name, os), []
    function = getattr(holder, name)

    def wrapped(*arguments, **keywords):
        calls.append(1)
        if len(calls) == int(wanted):
            print(place, flush=True)
            time.sleep(60)
        return function(*arguments, **keywords)

    with mock.patch.object(holder, name, wrapped):
        yield


def interrupt(fitted, rows, run, place):
    """Fit until the parent interrupts it, and look at what it leaves."""
    try:
        with stopped(place):
            fitted.fit(rows, checkpoint=run)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    assert not hasattr(fitted, "means_"), place
    assert not list(Path(run).parent.glob(".fastgmm-*")), f"{place} left half a file"
    for path in Path(run).parent.glob("run.ckpt*"):
        assert archive.read(path)[0]["kind"] == "checkpoint", path


def main(rows, run, model, *places):
    checkpoint.SHARE_OF_TIME = 1.0  # every write waits for the disk
    fitted = GaussianMixture(
        6, n_init=2, tol=0.0, max_iter=150, init_params="random_from_data", random_state=0
    )
    for place in places:
        interrupt(fitted, rows, run, place)
    if not places:
        fitted.fit(rows, checkpoint=run).save(model)
        print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
