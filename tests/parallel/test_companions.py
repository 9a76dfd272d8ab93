"""Threads beside the kernels are counted while they compute."""

from __future__ import annotations

import pytest

from fastgmm.parallel import companions
from fastgmm.parallel.companions import Companion, at_work


@pytest.fixture(autouse=True)
def _none_is_left():
    assert at_work[0] == 0
    yield
    assert at_work[0] == 0


class Clock:
    """Clocks that a test turns: of the wall, and of the thread."""

    def __init__(self):
        self.wall = self.thread = 0.0

    def perf_counter(self):
        return self.wall

    def thread_time(self):
        return self.thread


def test_a_companion_is_counted_while_it_works_and_not_while_it_waits():
    companion = Companion()
    with companion.working():
        assert at_work[0] == 1
        with companion.waiting():
            assert at_work[0] == 0
        with Companion().working():
            assert at_work[0] >= 1


def test_a_companion_that_fails_is_not_counted_any_more():
    with pytest.raises(OSError, match="gone"), Companion().working():
        raise OSError("the disk is gone")


def test_one_that_mostly_waits_is_not_counted_until_it_computes_again(monkeypatch):
    clock, companion = Clock(), Companion()
    monkeypatch.setattr(companions, "time", clock)
    counted = []
    for wall, thread in [(1.0, 0.9), (1.0, 0.1), (1.0, 0.4), (1.0, 0.9), (1.0, 0.9)]:
        with companion.working():
            counted.append(int(at_work[0]))
            clock.wall += wall
            clock.thread += thread
    assert counted == [1, 1, 0, 0, 1]
