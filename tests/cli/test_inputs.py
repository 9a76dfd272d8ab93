"""Which columns of which data set a command reads."""

from __future__ import annotations

import h5py
import numpy as np
import pyarrow as pa
import pytest
from cli.commands import refused, run, written
from numpy.testing import assert_allclose, assert_array_equal
from pyarrow import parquet

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


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_folders_and_patterns_and_urls_are_read_as_one_file(frame, tmp_path, suffix):
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, part in enumerate((frame[["a", "b"]][:250], frame[["a", "b"]][250:])):
        if suffix == ".npy":
            np.save(folder / f"{number}.npy", part)
        else:
            written(part, folder / f"{number}{suffix}")
    columns = ["--columns", "0,1" if suffix == ".npy" else "a,b"]
    expected = GaussianMixture(2, random_state=0).fit(frame[["a", "b"]].to_numpy())
    as_a_shell_gives_it = sorted(folder.iterdir())
    for data in (
        [folder],
        [folder / f"*{suffix}"],
        [f"file://{folder}/*{suffix}"],
        as_a_shell_gives_it,
    ):
        run("fit", *data, "-k", 2, "--seed", 0, *columns, "-o", tmp_path / "m.npz")
        assert_array_equal(load(tmp_path / "m.npz").means_, expected.means_)
        run("predict", tmp_path / "m.npz", *data, *columns, "-o", tmp_path / "out.npy")
        assert len(np.load(tmp_path / "out.npy")) == len(frame)
        assert str(len(frame)) in run("score", tmp_path / "m.npz", *data, *columns).stdout


def test_keys_of_folders_and_columns_of_arrays_are_named_as_columns(frame, tmp_path):
    rows = frame[["a", "b"]].to_numpy()
    table = pa.table({"e": list(rows), "times": frame["w"].round().clip(1, 3)})
    parquet.write_to_dataset(table, tmp_path / "data", partition_cols=["times"])
    options = ["-k", 2, "--seed", 0, "--columns", "e", "--weight", "times"]
    run("fit", tmp_path / "data", *options, "-o", tmp_path / "m.npz")
    model = load(tmp_path / "m.npz")
    assert list(model.feature_names_in_) == ["e[0]", "e[1]"]
    assert model.row_weight_ == table["times"].to_numpy().sum()
    assert "600" in run("score", tmp_path / "m.npz", tmp_path / "data").stdout
    said = refused("fit", "s3:/nothing", "-k", 2, "-o", tmp_path / "n.npz")
    assert "there is no file" in said


@pytest.mark.parametrize(
    "given",
    [
        ["--columns", "a,b"],
        ["--columns", "a", "--columns", "b"],
        ["--columns", "a", "--columns=b"],
    ],
)
def test_columns_that_are_given_several_times_add_up(given, data, frame, tmp_path):
    run("fit", data, "-k", 2, "--seed", 0, *given, "-o", tmp_path / "m.npz")
    expected = GaussianMixture(2, random_state=0).fit(frame[["a", "b"]])
    found = load(tmp_path / "m.npz")
    assert list(found.feature_names_in_) == ["a", "b"]
    assert_array_equal(found.means_, expected.means_)
    run("predict", tmp_path / "m.npz", data, *given, "-o", tmp_path / "out.npy")
    assert_array_equal(np.load(tmp_path / "out.npy"), expected.predict(frame[["a", "b"]]))


def test_columns_may_be_given_by_commas_and_one_by_one(data, frame, tmp_path):
    mixed = ["--columns", "w", "--columns", "a,b"]
    run("fit", data, "-k", 1, "--init", "random", *mixed, "-o", tmp_path / "m.npz")
    assert list(load(tmp_path / "m.npz").feature_names_in_) == ["w", "a", "b"]
    wrong = refused("fit", data, "-k", 1, "--columns", "a", "--columns", "b,,w")
    assert "--columns 'b,,w' leaves a name out" in wrong
    assert "'a'" in refused("fit", data, "-k", 1, "--columns", "a", "--columns", "a")
