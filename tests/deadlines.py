"""No test waits for ever, and none depends on who started pytest.

A test that hangs fails after `DEADLINE` seconds, with the line that it waits in; one that is stuck
in compiled code, where Python cannot raise, ends the whole run with the stacks of all threads. A
run that hangs says nothing: the one that brought this file about took an hour to do so.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from contextlib import contextmanager

import pytest

DEADLINE = 240.0  # seconds; the longest test takes 60 on two busy cores
GRACE = 60.0  # for Python to get its turn
STDERR = pytest.StashKey[int]()


def pytest_configure(config):
    config.stash[STDERR] = os.dup(2)  # not the one that is captured
    # A shell without job control has its children ignore Ctrl-C, and these theirs: not here.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config):
    """A thread that was left behind may not keep the interpreter from its end either."""
    faulthandler.dump_traceback_later(GRACE, exit=True, file=config.stash[STDERR])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    with _deadline(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    with _deadline(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    with _deadline(item):
        return (yield)


@contextmanager
def _deadline(item):
    marker = item.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE

    def late(number, frame):
        pytest.fail(f"{item.nodeid} still waits after {seconds:g} seconds")

    if threading.current_thread() is not threading.main_thread():  # cannot hear signals
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=item.config.stash[STDERR])
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
