"""Missing values on the command line: every command takes the file, where the fit did."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.commands import refused, run

from fastgmm import GaussianMixture
from fastgmm.estimators.model_file import load


@pytest.fixture
def holes(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(150, 2)), rng.normal(size=(100, 2)) + 6])
    rows[rng.random(rows.shape) < 0.2] = np.nan
    path = tmp_path / "holes.csv"
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(path, index=False)
    return path, rows


def test_a_file_with_empty_cells_is_fitted_scored_and_drawn(holes, tmp_path):
    path, rows = holes
    model, table = tmp_path / "model.npz", tmp_path / "out.csv"
    run("fit", path, "-k", 2, "--seed", 0, "--missing", "em", "-o", model)
    fitted = GaussianMixture(2, random_state=0, missing="em").fit(rows)
    np.testing.assert_array_equal(load(model).means_, fitted.means_)
    run("predict", model, path, "-o", table)
    np.testing.assert_array_equal(pd.read_csv(table)["label"], fitted.predict(rows))
    run("score", model, path, "-o", table)
    found = pd.read_csv(table)["log_likelihood"]
    np.testing.assert_allclose(found, fitted.score_samples(rows), rtol=1e-12, atol=1e-12)
    run("plot", model, path, "-o", tmp_path / "picture.png")
    chosen = ["-k", "1:3", "--seed", 0, "--covariance", "full", "--missing", "em", "-o", model]
    run("select", path, *chosen)
    assert load(model).n_components == 2


def test_an_empty_cell_is_named_where_it_is_not_expected(holes):
    path, _ = holes
    said = refused("fit", path, "-k", 2)
    assert "holds no value" in said
    assert "'em'" in said
    assert "of normal components" in refused("fit", path, "-k", 2, "--student-t", "--missing", "em")


def test_the_way_out_of_a_missing_value_is_an_option(tmp_path):
    (tmp_path / "x.csv").write_text("x,y\n1,2\n,3\n4,5\n")
    said = refused("fit", tmp_path / "x.csv", "-k", 1, "-o", tmp_path / "m.npz")
    assert "row 1 of x.csv holds no value" in said
    assert said.endswith("or expect it: fit --missing 'em'")
