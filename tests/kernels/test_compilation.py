"""An interrupt waits while kernels compile: Numba would lose it, or be left half made."""

from __future__ import annotations

import signal
import threading

import numba
import pytest

from fastgmm.kernels.compilation import later_interrupt, safe


@pytest.fixture(autouse=True)
def python_handles_interrupts():
    # a background shell's children ignore them
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def compile_with(*steps):
    with later_interrupt():
        for step in steps:
            step()


def test_the_first_interrupt_waits_for_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt):
        compile_with(interrupt, lambda: done.append("all"))
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt):
        compile_with(interrupt, interrupt, lambda: done.append("all"))
    assert done == []


def test_an_interrupt_waits_for_the_outermost_of_nested_compilations():
    done = []
    with pytest.raises(KeyboardInterrupt):
        compile_with(lambda: compile_with(interrupt), lambda: done.append("outer"))
    assert done == ["outer"]


def test_an_interrupt_outlives_a_compilation_that_fails():
    with pytest.raises(KeyboardInterrupt) as caught:
        compile_with(interrupt, lambda: [].pop())
    assert isinstance(caught.value.__context__, IndexError)


def test_ignored_interrupts_stay_ignored_and_other_threads_leave_handlers_alone():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with later_interrupt():
        interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    seen = []

    def compile_elsewhere():
        with later_interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=compile_elsewhere)
    thread.start()
    thread.join(60)
    assert seen == [signal.SIG_IGN]


def test_a_safe_kernel_compiles_whole_and_is_usable_after_the_interrupt():
    @numba.njit
    def double(x):
        return 2 * x

    whole = double.compile

    def interrupted(signature):
        interrupt()
        return whole(signature)

    double.compile = interrupted
    safe(double)
    with pytest.raises(KeyboardInterrupt):
        double(1)
    assert len(double.signatures) == 1
    assert double(2) == 4


def test_a_compiler_turned_off_later_is_named_where_it_is_needed(monkeypatch):
    added = safe(numba.njit(lambda x: x + 1))
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    with pytest.raises(RuntimeError, match=r"numba.config.DISABLE_JIT=1 turns off; set it to 0"):
        added(1)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    assert added(1) == 2
