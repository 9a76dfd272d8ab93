"""A fit tells callbacks of its passes, and prints its trace when asked."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.estimators import GaussianMixture
from fastgmm.estimators.callbacks import Progress


class Recorder:
    """A callback that keeps what it hears, and stops after some passes."""

    def __init__(self, stop_after=None, fail_at=None):
        self.stop_after, self.fail_at = stop_after, fail_at
        self.heard, self.models, self.metadata = [], [], []

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        self.heard.append(f"begin {context.task_name}")
        self.metadata.append((X, metadata))
        if context.task_name == self.fail_at:
            raise RuntimeError("the callback is broken")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.heard.append(f"end {context.task_name}")
        self.models.append(fitted_estimator)
        passes = self.heard.count("end pass")
        return self.stop_after is not None and passes >= self.stop_after


@pytest.fixture
def rows(rng):
    """Two groups."""
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(4.0, 1.0, size=(60, 2))])


def model(**settings):
    """An estimator of two components."""
    return GaussianMixture(2, random_state=0, **settings)


@pytest.mark.parametrize("n_init", [1, 3])
def test_a_task_for_the_fit_and_one_for_each_pass(rows, n_init):
    recorder = Recorder()
    fitted = model(n_init=n_init).set_callbacks(recorder).fit(rows)
    passes = recorder.heard.count("end pass")
    assert passes >= fitted.n_iter_
    between = ["begin pass", "end pass"] * passes
    assert recorder.heard == ["setup", "begin fit", *between, "end fit", "teardown"]


def test_callbacks_see_the_model_of_each_pass(rows):
    recorder = Recorder()
    fitted = model(prior=None).set_callbacks(recorder).fit(rows)
    *by_pass, last = recorder.models
    assert [each.n_iter_ for each in by_pass] == list(range(1, fitted.n_iter_ + 1))
    scores = [each.score(rows) for each in by_pass]
    assert scores == sorted(scores)
    assert last.score(rows) == fitted.score(rows)


def test_callbacks_are_given_rows_and_weights(rows):
    recorder = Recorder()
    weights = np.ones(len(rows))
    model().set_callbacks(recorder).fit(rows, sample_weight=weights)
    assert all(X is rows and m["sample_weight"] is weights for X, m in recorder.metadata)


def test_a_callback_can_stop_the_fit(rows):
    recorder = Recorder(stop_after=2)
    fitted = model(tol=0.0, max_iter=50).set_callbacks(recorder).fit(rows)
    assert fitted.n_iter_ == 2
    assert not fitted.converged_


def test_a_callback_that_fails_leaves_the_model_as_it_was(rows):
    fitted = model().fit(rows)
    before = dict(vars(fitted))
    fitted.set_callbacks(Recorder(fail_at="pass"))
    with pytest.raises(RuntimeError, match="broken"):
        fitted.fit(rows[:50])
    fitted.set_callbacks()
    assert vars(fitted) == before


def test_scikit_learns_progress_bar_runs(rows, capsys):
    with pytest.warns(ConvergenceWarning):
        model(tol=0.0, max_iter=3).set_callbacks(ProgressBar()).fit(rows)
    assert "GaussianMixture - fit" in capsys.readouterr().out


def test_scikit_learns_progress_bar_runs_in_a_pipeline(rows, capsys):
    pipeline = make_pipeline(StandardScaler(), model()).set_callbacks(ProgressBar())
    pipeline.fit(rows)
    assert "GaussianMixture - fit" in capsys.readouterr().out


def test_scikit_learns_scoring_monitor_follows_the_score(rows):
    # not scoring=None: scikit-learn 1.9.1 then updates a dict with a float
    monitor = ScoringMonitor(scoring={"score": lambda model, X, y: model.score(X)})
    fitted = model().set_callbacks(monitor).fit(rows, np.zeros(len(rows)))
    scores = [row["score"] for row in monitor.get_logs().data if row["task_name"] == "pass"]
    assert len(scores) == fitted.n_iter_
    assert scores[-1] == pytest.approx(fitted.score(rows))


def printed(capsys, rows, **settings):
    """Lines that a fit prints."""
    model(**settings).fit(rows)
    return capsys.readouterr().out.splitlines()


def test_silence_is_the_default(capsys, rows):
    assert printed(capsys, rows) == []


def test_one_start_prints_as_scikit_learn_does(capsys, rows):
    lines = printed(capsys, rows, verbose=1)
    assert lines == ["Initialization 0", "Initialization converged."]
    with pytest.warns(ConvergenceWarning):
        lines = printed(capsys, rows, verbose=1, verbose_interval=2, tol=0.0, max_iter=5)
    iterations = ["  Iteration 2", "  Iteration 4"]
    assert lines == ["Initialization 0", *iterations, "Initialization did not converge."]


def test_two_prints_time_and_gain(capsys, rows):
    lines = printed(capsys, rows, verbose=2, verbose_interval=1, tol=1e-6)
    assert lines[0] == "Initialization 0"
    iteration = r"  Iteration \d+\t time lapse \d+\.\d{5}s\t ll change (inf|-?\d+\.\d{5})"
    assert all(re.fullmatch(iteration, line) for line in lines[1:-1])
    end = r"Initialization converged\. time lapse \d+\.\d{5}s\t lower bound -\d+\.\d{5}\."
    assert re.fullmatch(end, lines[-1])


def test_several_starts_say_whose_line_it_is(capsys, rows):
    settings = {"n_init": 2, "init_params": "random_from_data", "tol": 1e-6}
    lines = printed(capsys, rows, verbose=1, verbose_interval=1, **settings)
    assert lines[:2] == ["Initialization 0", "Initialization 1"]
    assert lines[2:4] == [
        "  Iteration 1\t initialization 0",
        "  Iteration 1\t initialization 1",
    ]
    assert {"Initialization 0 converged.", "Initialization 1 converged."} <= set(lines)


def test_a_collapse_is_said(capsys):
    rows = np.repeat([[0.0], [1.0], [5.0]], 4, axis=0)
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0], [5.0]],
        "precisions_init": [[[1e4]], [[1e4]]],
    }
    with pytest.raises(DegenerateCovarianceError):
        model(reg_covar=0.0, verbose=1, **start).fit(rows)
    assert "did not converge" in capsys.readouterr().out


def test_passes_beyond_those_announced_are_taken_without_a_task():
    """A repair may take them: a fit died of "already has its maximum number of children"."""
    recorder, done = Recorder(), []
    progress = Progress(model().set_callbacks(recorder), 2, {"X": None, "y": None})
    watched = progress.watched(done.append, dict)
    for candidates in ("first", "second", "third"):
        watched(candidates)
    assert done == ["first", "second", "third"]
    assert recorder.heard.count("begin pass") == recorder.heard.count("end pass") == 2
