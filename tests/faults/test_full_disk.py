"""A disk that is full: models, checkpoints and results are written whole, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from faults.processes import COMMAND, FOLDER

BYTES = 2**16
MOUNTED = f'mount -t tmpfs -o size={BYTES} none "$0" && exec "$@"'


def small_disk(folder):
    """What to put before a program so that a folder is a disk of its own; None if that is refused.

    The disk is gone with the program: it is mounted in a namespace of its own.
    """
    if shutil.which("unshare") is None:
        return None
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNTED, str(folder)]
    tried = subprocess.run([*command, "true"], capture_output=True, timeout=30)
    return command if tried.returncode == 0 else None


@pytest.mark.slow
@pytest.mark.parametrize("way", ["a small disk", "a limit"])
def test_what_does_not_fit_is_refused_and_what_was_there_stays(way, tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    disk = small_disk(room) if way == "a small disk" else None
    limit = 0 if disk else BYTES  # where nothing may be mounted, a limit on files stands in
    ended = subprocess.run(
        [*(disk or []), *COMMAND, FOLDER / "full_disk.py", room, tmp_path, str(limit)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    cause = "No space left on device" if disk else "File too large"
    save, fit, *predicted = ended.stdout.splitlines()
    assert save == f"save: {cause}"
    assert "the fit goes on" in fit
    assert cause in fit
    assert len(predicted) == 3
    for line, suffix in zip(predicted, ["npy", "csv", "parquet"], strict=True):
        assert line.startswith(f"predict {suffix}: 2 fastgmm: ")
        assert cause in line
