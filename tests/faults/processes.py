"""Programs in processes of their own: what kills, forks or interrupts must not do it to pytest."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent / "programs"
# Warnings are errors there as they are here, and a process that dies says where it was.
COMMAND = (sys.executable, "-X", "faulthandler", "-W", "error")


def start(program, *arguments, **variables):
    """Start programs/<program>.py with further environment variables; None takes one away."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name, value in variables.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = str(value)
    return subprocess.Popen(
        [*COMMAND, str(FOLDER / f"{program}.py"), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, timeout=120):
    """Wait for a program's end, and return what it printed: it must end well, and in silence."""
    try:
        printed, complaints = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as hanging:
        end(process)
        raise AssertionError(f"it hangs after: {hanging.stdout}\n{hanging.stderr}") from None
    assert process.returncode == 0, f"ended with {process.returncode}:\n{printed}\n{complaints}"
    assert not complaints, complaints
    return printed


def next_line(process, timeout=60):
    """Wait for the next line that a program prints, and no longer than so many seconds."""
    pipe, line, until = process.stdout.fileno(), b"", time.monotonic() + timeout
    while not line.endswith(b"\n"):
        left = max(until - time.monotonic(), 0.0)
        assert select.select([pipe], [], [], left)[0], f"no line in {timeout} s, but {line}"
        byte = os.read(pipe, 1)
        assert byte, f"it ended after {line}"
        line += byte
    return line.decode().strip()


def end(process, timeout=30):
    """Kill a program, and wait for its own end: its children may hold its pipes longer."""
    process.kill()
    process.wait(timeout=timeout)
    process.stdout.close()
    process.stderr.close()


def run(program, *arguments, timeout=120, **variables):
    """Start a program, and finish it."""
    return finish(start(program, *arguments, **variables), timeout)
