"""fastgmm describe: the components of a model."""

from __future__ import annotations

import numpy as np
from cli.commands import run

from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.model_file import load


def test_describe_shows_the_model(model):
    result = run("describe", model)
    fitted = load(model)
    assert f"{fitted.weights_[0]:.4f}" in result.stdout
    assert "full" in result.stdout
    assert "600" in result.stdout


def test_describe_shows_wide_models_in_part(tmp_path):
    parts = ([0.5, 0.5], np.zeros((2, 40)), np.ones((2, 40)))
    GaussianMixture.from_parameters(*parts, covariance_type="diag").save(tmp_path / "m.npz")
    result = run("describe", tmp_path / "m.npz")
    assert " more" in result.stdout
    assert "x39" not in result.stdout
    assert "passes" not in result.stdout  # it was never fitted
    assert max(map(len, result.stdout.splitlines())) <= 80
