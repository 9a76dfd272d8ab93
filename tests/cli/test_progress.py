"""A terminal shows the passes of a fit."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

# SIGINT is ignored in children of a background shell: the child must ask for it
CHILD = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from fastgmm.cli import main; main()"
)


@pytest.mark.parametrize(
    ("kind", "shown"), [([], b"log-likelihood -"), (["--bayesian"], b"lower bound -")]
)
def test_a_terminal_sees_the_passes_and_ctrl_c_ends_the_fit(tmp_path, kind, shown):
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    np.save(tmp_path / "data.npy", rows)
    options = "-k 20 --tol 0 --max-iter 1000000 --init random_from_data --seed 0"
    terminal, side = pty.openpty()
    command = [sys.executable, "-c", CHILD, "fit", tmp_path / "data.npy", *options.split(), *kind]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*command, "-o", tmp_path / "m.npz"], stderr=side, stdout=side, env=environment
    ) as child:
        os.close(side)
        try:
            seen = read_until(terminal, shown)
            child.send_signal(signal.SIGINT)
            seen += read_until(terminal, b"interrupted")
            child.wait(timeout=60)
        finally:
            child.kill()  # else a failure would wait for a million passes
    os.close(terminal)
    assert child.returncode == 130
    assert b"starting, compiling if it is the first time" in seen
    assert b"/1000000" in seen
    assert b"Traceback" not in seen
    assert not (tmp_path / "m.npz").exists()


def read_until(terminal, words, seconds=120):
    """Read what a terminal shows until some words, or fail."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, seen
        try:
            seen += os.read(terminal, 4096)
        except OSError as error:  # how Linux says that the other side has closed
            pytest.fail(f"the command ended ({error}): {seen!r}")
    return seen
