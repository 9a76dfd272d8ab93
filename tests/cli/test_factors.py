"""Factor analysers on the command line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.commands import refused, run, written
from numpy.testing import assert_array_equal

from fastgmm import GaussianMixture, load


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 1)) * [1.0, -1.0, 0.5, 0.0]
    rows = shared + 0.4 * rng.normal(size=(400, 4))
    rows[:150] += 6.0
    return pd.DataFrame(rows, columns=["a", "b", "c", "d"])


def test_fit_writes_the_factors_that_the_estimator_finds(table, tmp_path):
    data, path = written(table, tmp_path / "data.parquet"), tmp_path / "m.npz"
    options = ["-k", 2, "--seed", 0, "--n-factors", 1, "-o", path]
    for kind in ("factors", "ppca"):
        said = run("fit", data, "--covariance", kind, *options).stdout
        expected = GaussianMixture(2, covariance_type=kind, n_factors=1, random_state=0).fit(table)
        assert_array_equal(load(path).components_, expected.components_)
        assert f"{expected.bic(table):.2f}" in said
        assert kind in run("describe", path).stdout
        run("predict", path, data, "-o", tmp_path / "labels.npy")
        assert_array_equal(np.load(tmp_path / "labels.npy"), expected.predict(table))


def test_what_does_not_go_together_is_said(table, tmp_path):
    data = written(table, tmp_path / "data.csv")
    assert "is of Gaussian" in refused("fit", data, "-k", 2, "--student-t", "--n-factors", 1)
    assert "is of Gaussian" in refused("fit", data, "-k", 2, "--bayesian", "--n-factors", 1)
    assert "needs a number" in refused("fit", data, "-k", 2, "--covariance", "factors")
    assert "compare their bic" in refused("select", data, "-k", "1:2", "--covariance", "factors")
