"""Every warning of a public method points at the line of the user's code that has led to it."""

from __future__ import annotations

import ast
import io
import pickle
import warnings
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgmm
from fastgmm import AutoGaussianMixture, DegenerateComponentWarning, GaussianMixture, select
from fastgmm.errors import ThreadsWarning, WeightsWarning
from fastgmm.estimators.pickling import VersionWarning
from fastgmm.storage.checkpoint import CheckpointWarning

ROWS = np.random.default_rng(0).normal(size=(400, 2)) + 4.0 * (np.arange(400)[:, None] % 3)
CONSTANT = np.where([True, False], ROWS, 7.0)
LIGHT = np.full(400, 1e-3)
NAMED = pd.DataFrame(ROWS, columns=["a", "b"])
SHORT = {"max_iter": 1, "random_state": 0}


def mixture(**settings):
    return GaussianMixture(**{"n_components": 3} | SHORT | settings)


def searched(**settings):
    return AutoGaussianMixture([2, 3], covariance_type="full", **SHORT | settings)


def learned_from_more():
    model = mixture(n_components=1, max_iter=100)
    return model.partial_fit(np.concatenate([CONSTANT] * 3))


def chunks():
    yield ROWS


@cache
def fitted():
    return mixture(max_iter=100, tol=1e-2).fit(ROWS)


@cache
def with_names():
    return mixture(max_iter=100, tol=1e-2).fit(NAMED)


# what warns, of what; each is called from a line of this file
CALLS = {
    "fit": (lambda: mixture().fit(ROWS), ConvergenceWarning),
    "fit of chunks": (lambda: mixture().fit(chunks), ConvergenceWarning),
    "fit_predict": (lambda: mixture().fit_predict(ROWS), ConvergenceWarning),
    "fit in a pipeline": (
        lambda: make_pipeline(StandardScaler(), mixture()).fit(ROWS),
        ConvergenceWarning,
    ),
    "clone and fit": (lambda: clone(mixture()).fit(ROWS), ConvergenceWarning),
    "degenerate fit": (
        lambda: mixture(max_iter=100, n_components=1).fit(CONSTANT),
        DegenerateComponentWarning,
    ),
    "partial_fit": (
        lambda: mixture().partial_fit(np.tile(ROWS, (3, 1))),
        ConvergenceWarning,
    ),
    "degenerate partial_fit": (learned_from_more, DegenerateComponentWarning),
    "search": (lambda: searched().fit(ROWS), ConvergenceWarning),
    "select": (
        lambda: select(ROWS, [2, 3], "full", max_iter=1, random_state=0),
        ConvergenceWarning,
    ),
    "degenerate select": (
        lambda: select(CONSTANT, 1, "full", random_state=0),
        DegenerateComponentWarning,
    ),
    "bic of light rows": (lambda: fitted().bic(ROWS, LIGHT), WeightsWarning),
    "icl of light rows": (lambda: fitted().icl(ROWS, LIGHT), WeightsWarning),
    "select of light rows": (
        lambda: select(ROWS, [1], "full", random_state=0, sample_weight=LIGHT),
        WeightsWarning,
    ),
    "predict without names": (lambda: with_names().predict(ROWS), UserWarning),
    "score_samples of a list": (lambda: with_names().score_samples(ROWS.tolist()), UserWarning),
    "score of chunks": (lambda: with_names().score(chunks), UserWarning),
    "predict with names": (lambda: fitted().predict(NAMED), UserWarning),
    "unpickle": (lambda: pickle.loads(old_pickle()), VersionWarning),
    "partial_fit of nothing": (lambda: fitted().partial_fit(ROWS[:0]), UserWarning),
    "joblib.load": (lambda: joblib.load(io.BytesIO(old_pickle())), VersionWarning),
}


def old_pickle():
    """A pickle of another version."""
    state = pickle.dumps(fitted())
    return state.replace(fastgmm.__version__.encode(), b"9" * len(fastgmm.__version__))


def caught(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return found


def assert_here(found, category):
    assert [each.category for each in found] == [category]
    assert all(each.filename == __file__ for each in found)
    line = Path(__file__).read_text().splitlines()[found[0].lineno - 1]
    assert "(" in line, "a line that calls something"


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_points_here(name):
    call, category = CALLS[name]
    assert_here(caught(call), category)


def test_warnings_of_checkpoints_point_here(tmp_path, monkeypatch):
    path = tmp_path / "run.ckpt"
    model = GaussianMixture(2, tol=1e-2, random_state=0)
    model.fit(ROWS, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    assert_here(caught(lambda: model.fit(ROWS, checkpoint=path)), CheckpointWarning)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fastgmm.storage.archive, "write", full)
    fresh = tmp_path / "fresh.ckpt"
    found = caught(lambda: model.fit(ROWS, checkpoint=fresh))
    assert found
    assert {(each.category, each.filename) for each in found} == {(CheckpointWarning, __file__)}
    found = caught(lambda: select(ROWS, [1, 2], "full", random_state=0, checkpoint=fresh))
    assert {(each.category, each.filename) for each in found} == {(CheckpointWarning, __file__)}


def test_a_warning_of_threads_points_here(monkeypatch):
    from fastgmm.parallel import threads

    def failing(*_):
        raise ValueError("No threading layer could be loaded.")

    model = fitted()
    monkeypatch.setattr(threads, "_usable", True)
    monkeypatch.setattr(threads.numba_threads, "_is_initialized", False)
    monkeypatch.setattr(threads, "get_num_threads", failing)
    big = np.tile(ROWS, (500, 1))
    assert_here(caught(lambda: model.predict(big)), ThreadsWarning)


def test_every_warning_goes_through_one_function():
    """Levels that are counted by hand are wrong as soon as one method calls another."""
    root = Path(fastgmm.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("warn", "warn_explicit"):
                assert path == root / "errors.py", f"{path}:{node.lineno}"
