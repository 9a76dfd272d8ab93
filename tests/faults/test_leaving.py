"""The end of the interpreter, other threads than the main one, callbacks, and clocks."""

from __future__ import annotations

import os
import platform
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


@pytest.mark.parametrize("layer", ["omp", pytest.param("workqueue", marks=pytest.mark.slow)])
def test_the_interpreter_ends_while_a_daemon_thread_fits(layer):
    assert processes.run("leaving", NUMBA_THREADING_LAYER=layer) == "leaving\n"


def test_a_thread_that_may_not_handle_signals_fits(rows):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(GaussianMixture(2, random_state=0).fit(rows))
    )
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(
        found[0].means_, GaussianMixture(2, random_state=0).fit(rows).means_
    )


@pytest.mark.slow
def test_a_sub_interpreter_is_refused_and_the_main_one_goes_on():
    refused, again, goes_on = processes.run("subinterpreters").splitlines()
    assert refused == again
    assert refused.startswith("refused: fastgmm runs in the main interpreter")
    assert goes_on == "the main one fits 2 features"


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="sets x86-64's MXCSR")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_denormals_and_rounding_set_by_others_leave_results_right(layer):
    assert processes.run("floating_point", NUMBA_THREADING_LAYER=layer) == "right\n"


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


def test_a_callback_that_raises_leaves_the_object_as_it_was(rows):
    def deed(estimator):
        raise RuntimeError("no more")

    model = GaussianMixture(2, random_state=0)
    model.set_callbacks(Callback(deed))
    with pytest.raises(RuntimeError, match="no more"):
        model.fit(rows)
    with pytest.raises(NotFittedError):
        model.predict(rows)


@pytest.mark.parametrize("place", ["the estimator", "the model of the pass"])
def test_a_callback_that_meddles_changes_nothing_of_the_fit_under_way(rows, place):
    settings = {"tol": 1e-12, "max_iter": 500, "init_params": "random", "random_state": 0}
    expected = GaussianMixture(2, **settings).fit(rows)
    model = GaussianMixture(2, **settings)
    model.set_callbacks(Meddler(place == "the estimator"))
    found = model.fit(rows)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.lower_bounds_ == expected.lower_bounds_
    assert found.n_iter_ == expected.n_iter_ > 3


class Meddler(Callback):
    """Overwrites settings and attributes of what it is given when a pass ends."""

    def __init__(self, of_the_estimator):
        self.of_the_estimator = of_the_estimator

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        target = estimator if self.of_the_estimator else fitted_estimator
        target.set_params(tol=1e3, max_iter=1, reg_covar=10.0, covariance_type="diag")
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
            if hasattr(target, name):
                getattr(target, name)[...] = 7.0
            setattr(target, name, np.full(3, np.nan))


def test_a_clock_that_goes_backwards_costs_no_checkpoint(rows, monkeypatch, tmp_path):
    """Files are dated to the future, too: who goes on asks what they hold, not how old they are."""
    settings = {"tol": 0.0, "max_iter": 20, "init_params": "random", "random_state": 0}
    expected = GaussianMixture(2, **settings).set_callbacks(Stop(6)).fit(rows)
    back = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: float(next(back)))
    np.save(tmp_path / "rows.npy", rows)
    for passes in (3, 6):
        model = GaussianMixture(2, **settings).set_callbacks(Stop(passes))
        model.fit(tmp_path / "rows.npy", checkpoint=tmp_path / "run.ckpt")
        for path in tmp_path.iterdir():
            os.utime(path, (4e9, 4e9 - passes))
    np.testing.assert_array_equal(model.means_, expected.means_)
    assert model.lower_bounds_ == expected.lower_bounds_
    assert len(model.lower_bounds_) == 6


class Stop(Callback):
    """Asks to stop after so many passes."""

    def __init__(self, passes):
        self.passes = passes

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return fitted_estimator.n_iter_ >= self.passes


def test_a_clock_that_goes_backwards_is_not_looked_at(rows, monkeypatch, capsys):
    back = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: float(next(back)))
    GaussianMixture(2, random_state=0, verbose=2, verbose_interval=1).fit(rows)
    printed = capsys.readouterr().out
    lapses = [line.split("time lapse ")[1].split("s")[0] for line in printed.splitlines()[1:]]
    assert lapses
    assert all(float(lapse) >= 0.0 for lapse in lapses)
