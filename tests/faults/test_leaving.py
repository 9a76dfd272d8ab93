"""The end of the interpreter, other threads than the main one, callbacks, and clocks."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from faults import processes
from sklearn.exceptions import NotFittedError

from fastgmm import GaussianMixture


@pytest.fixture
def rows(rng):
    """Two groups."""
    return np.concatenate([rng.normal(size=(100, 2)), rng.normal(6.0, 1.0, size=(100, 2))])


@pytest.mark.fault(108)
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_the_interpreter_ends_while_a_daemon_thread_fits(layer):
    assert processes.run("leaving", NUMBA_THREADING_LAYER=layer) == "leaving\n"


@pytest.mark.fault(107)
def test_a_thread_that_may_not_handle_signals_fits(rows):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(GaussianMixture(2, random_state=0).fit(rows))
    )
    thread.start()
    thread.join()
    np.testing.assert_array_equal(
        found[0].means_, GaussianMixture(2, random_state=0).fit(rows).means_
    )


class Callback:
    """A callback of scikit-learn's that does something when a pass ends."""

    max_estimator_depth = None

    def __init__(self, deed):
        self.deed = deed

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **_):
        pass

    def on_fit_task_end(self, estimator, context, **_):
        return self.deed(estimator)

    def teardown(self, estimator, context):
        pass


@pytest.mark.fault(109)
def test_a_callback_that_raises_leaves_the_object_as_it_was(rows):
    def deed(estimator):
        raise RuntimeError("no more")

    model = GaussianMixture(2, random_state=0)
    model.set_callbacks(Callback(deed))
    with pytest.raises(RuntimeError, match="no more"):
        model.fit(rows)
    with pytest.raises(NotFittedError):
        model.predict(rows)


@pytest.mark.fault(110)
def test_a_clock_that_goes_backwards_is_not_looked_at(rows, monkeypatch, capsys):
    back = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: float(next(back)))
    GaussianMixture(2, random_state=0, verbose=2, verbose_interval=1).fit(rows)
    printed = capsys.readouterr().out
    lapses = [line.split("time lapse ")[1].split("s")[0] for line in printed.splitlines()[1:]]
    assert lapses
    assert all(float(lapse) >= 0.0 for lapse in lapses)
