"""Threads that wait sleep soon, so that others have their cores."""

from __future__ import annotations

import os

import pytest

from fastgmm.parallel import threads


@pytest.fixture
def seen(monkeypatch):
    """What the environment says of spinning while Numba's threads are started."""
    for name in (threads.SPINS, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads.numba_threads, "_is_initialized", False)
    found = []
    monkeypatch.setattr(
        threads, "get_num_threads", lambda: found.append(os.environ.get(threads.SPINS))
    )
    return found


def test_threads_that_run_are_not_started_again(seen, monkeypatch):
    monkeypatch.setattr(threads.numba_threads, "_is_initialized", True)
    assert threads._launch()
    assert not seen


def test_threads_are_started_so_that_they_spin_briefly(seen):
    assert threads._launch()
    assert seen == ["10000"]
    assert threads.SPINS not in os.environ


@pytest.mark.parametrize("said", [threads.SPINS, "OMP_WAIT_POLICY"])
def test_what_the_user_says_of_spinning_stays(seen, monkeypatch, said):
    monkeypatch.setenv(said, "7")
    assert threads._launch()
    assert seen == [os.environ.get(threads.SPINS)]
    assert os.environ[said] == "7"
