"""fastgmm predict: labels and probabilities in a file."""

from __future__ import annotations

import numpy as np
import pytest
from cli.commands import READ, run
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.estimators.model_file import load


@pytest.mark.parametrize("suffix", READ)
def test_predict_writes_a_label_for_every_row(data, model, frame, tmp_path, suffix):
    run("predict", model, data, "-o", tmp_path / f"out{suffix}")
    found = READ[suffix](tmp_path / f"out{suffix}")
    assert list(found) == ["label"]
    assert_array_equal(found["label"], load(model).predict(frame[["a", "b"]]))


@pytest.mark.parametrize("suffix", READ)
def test_predict_writes_probabilities_too(data, model, frame, tmp_path, suffix):
    run("predict", model, data, "-o", tmp_path / f"out{suffix}", "--proba")
    found = READ[suffix](tmp_path / f"out{suffix}")
    assert list(found) == ["label", "p0", "p1"]
    assert_array_equal(found["label"], load(model).predict(frame[["a", "b"]]))
    assert_allclose(found[["p0", "p1"]], load(model).predict_proba(frame[["a", "b"]]), rtol=1e-12)


def test_an_array_holds_labels_or_probabilities_or_rows(data, model, frame, tmp_path):
    out, mixture = tmp_path / "out.npy", load(model)
    run("predict", model, data, "-o", out)
    assert_array_equal(np.load(out, mmap_mode="r"), mixture.predict(frame[["a", "b"]]))
    run("predict", model, data, "-o", out, "--proba")
    assert_allclose(np.load(out), mixture.predict_proba(frame[["a", "b"]]), rtol=1e-12)
    run("score", model, data, "-o", out)
    assert_allclose(np.load(out), mixture.score_samples(frame[["a", "b"]]), rtol=1e-12)
    run("sample", model, "-n", 50, "--seed", 3, "-o", out)
    assert_array_equal(np.load(out), mixture.set_params(random_state=3).sample(50)[0])
