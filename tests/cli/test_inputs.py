"""Which columns of which data set a command reads."""

from __future__ import annotations

import h5py
import numpy as np
from cli.commands import refused, run, written
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.model_file import load


def test_a_dataset_and_its_columns_are_chosen_by_options(model, frame, tmp_path):
    rows = frame[["w", "a", "b"]].to_numpy("f4")
    path, options = tmp_path / "x.h5", ["--dataset", "/right", "--columns", "1,2"]
    with h5py.File(path, "w") as file:
        file["right"], file["wrong"] = rows, -rows
    run("fit", path, "-k", 2, "--seed", 0, "--weight", 0, *options, "-o", tmp_path / "m.npz")
    expected = GaussianMixture(2, random_state=0).fit(rows[:, 1:], sample_weight=rows[:, 0])
    assert_allclose(load(tmp_path / "m.npz").means_, expected.means_, rtol=1e-6)
    run("predict", model, path, *options, "-o", tmp_path / "out.npy")
    assert_array_equal(np.load(tmp_path / "out.npy"), load(model).predict(frame[["a", "b"]]))
    narrow = frame[["a", "b"]].astype("f4").astype(float)
    assert f"{load(model).score(narrow):.4f}"[:-1] in run("score", model, path, *options).stdout
    result = run("plot", model, path, *options, "-o", tmp_path / "x.png")
    assert not result.stderr
    result = run("select", path, "-k", "2", "--covariance", "tied", *options)
    assert "600" in result.stdout


def test_columns_are_found_by_name_in_any_order(model, frame, tmp_path):
    path = written(frame[["note", "b", "a"]], tmp_path / "other.parquet")
    result = run("score", model, path)
    assert f"{load(model).score(frame[['a', 'b']]):.9g}" in result.stdout


def test_a_missing_column_is_named(model, frame, tmp_path):
    path = written(frame.drop(columns="b"), tmp_path / "other.csv")
    assert "'b'" in refused("predict", model, path, "-o", tmp_path / "out.csv")
