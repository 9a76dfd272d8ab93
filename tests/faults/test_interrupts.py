"""Ctrl-C: felt soon, wherever it comes, and the object is as it was."""

from __future__ import annotations

import itertools
import signal
import time

import pytest
from faults import processes

# On an idle machine it is felt within a second (docs/reliability.md); here others may be at work.
PATIENCE = 5.0
COMPILER_PATIENCE = 60.0  # at the end of the kernel that is being compiled: 2 to 4 s if idle
DELAYS = (0.02, 0.1, 0.3)  # seconds after a stage has begun
COMPILER_DELAYS = (0.02, 0.8, 2.0)  # into type inference, and into LLVM
STAGES = ("start", "kernel", "step", "chunks", "scores", "files")


def interrupted(process, delays=DELAYS):
    """Send SIGINT into every stage of programs/interrupted.py; return the seconds until felt."""
    felt, delays, stage, sent = {}, itertools.cycle(delays), "", 0.0
    try:
        for line in map(str.strip, process.stdout):
            if line == "entered":
                time.sleep(next(delays))
                sent = time.monotonic()
                process.send_signal(signal.SIGINT)
            elif line == "felt":
                felt.setdefault(stage, []).append(time.monotonic() - sent)
            elif line != "as before":
                stage = line
        processes.finish(process)
    finally:
        process.kill()  # at the test's deadline: a stage that felt nothing would go on for ever
    return felt


def check(felt, stages, patience=PATIENCE):
    print({stage: [round(seconds, 3) for seconds in all_] for stage, all_ in felt.items()})
    assert felt.keys() == set(stages)
    assert all(len(each) == len(DELAYS) for each in felt.values())
    assert max(map(max, felt.values())) < patience, felt


@pytest.mark.slow
def test_an_interrupt_is_felt_soon_and_changes_nothing():
    check(interrupted(processes.start("interrupted", *STAGES * len(DELAYS))), STAGES)


@pytest.mark.slow
def test_an_interrupt_is_felt_while_kernels_compile_and_they_compile_later():
    process = processes.start("interrupted", *["compilation"] * len(DELAYS), FASTGMM_CACHE=0)
    check(interrupted(process, COMPILER_DELAYS), ["compilation"], COMPILER_PATIENCE)
