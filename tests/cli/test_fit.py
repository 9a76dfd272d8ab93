"""fastgmm fit: the model that the estimator fits, from files and options."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.commands import refused, run
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.cli import tables
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.model_file import load


def test_fit_writes_the_model_that_the_estimator_fits(data, frame, tmp_path):
    result = run("fit", data, "-k", 2, "--seed", 0, "--columns", "a, b", "-o", tmp_path / "m.npz")
    found, expected = load(tmp_path / "m.npz"), GaussianMixture(2, random_state=0)
    expected.fit(frame[["a", "b"]])
    assert_array_equal(found.means_, expected.means_)
    assert list(found.feature_names_in_) == ["a", "b"]
    assert "600" in result.stdout
    assert f"{expected.aic(frame[['a', 'b']]):.2f}" in result.stdout
    assert f"{expected.bic(frame[['a', 'b']]):.2f}" in result.stdout
    for k in range(2):
        spread = np.sqrt(expected.covariances_[k, 0, 0])
        assert tables.mean_and_spread(expected.means_[k, 0], spread) in result.stdout


def test_fit_takes_weights_from_a_column(data, frame, tmp_path):
    arguments = ["--columns", "a,b", "--weight", "w", "--seed", 0, "-o", tmp_path / "m.npz"]
    result = run("fit", data, "-k", 2, *arguments)
    rows, weights = frame[["a", "b"]], frame["w"]
    expected = GaussianMixture(2, random_state=0).fit(rows, sample_weight=weights)
    assert_allclose(load(tmp_path / "m.npz").means_, expected.means_, rtol=1e-12)
    assert f"{(weights > 0).sum()}" in result.stdout
    assert f"{expected.bic(rows, sample_weight=weights):.2f}" in result.stdout


def test_fit_takes_classes_from_a_column(frame, tmp_path):
    known = np.where(np.arange(len(frame)) % 5 == 0, np.where(frame["a"] > 0, "high", "low"), None)
    labelled = frame[["a", "b"]].assign(kind=known)
    labelled.to_csv(tmp_path / "points.csv", index=False)
    arguments = ["--label", "kind", "--seed", 0, "-o", tmp_path / "m.npz"]
    result = run("fit", tmp_path / "points.csv", "-k", 2, *arguments)
    rows = frame[["a", "b"]]
    expected = GaussianMixture(2, random_state=0).fit(rows, labels=known)
    found = load(tmp_path / "m.npz")
    assert found.classes_.tolist() == ["high", "low"]
    assert_allclose(found.means_, expected.means_, rtol=1e-12)
    assert f"{expected.bic(rows, labels=known):.2f}" in result.stdout
    assert "--bayesian" in refused(
        "fit", tmp_path / "points.csv", "-k", 2, "--label", "kind", "--bayesian"
    )


def test_every_option_of_fit_reaches_the_estimator(data, tmp_path):
    options = "--covariance diag --tol 0.01 --max-iter 7 --reg-covar 0.5 --init random --n-init 3"
    options += " --stopping aitken --acceleration squarem"
    arguments = ["--columns", "a,b", "--seed", 5, "-o", tmp_path / "m.npz"]
    run("fit", data, "-k", 3, *options.split(), *arguments)
    found = load(tmp_path / "m.npz").get_params()
    expected = {
        "n_components": 3,
        "covariance_type": "diag",
        "tol": 0.01,
        "stopping": "aitken",
        "acceleration": "squarem",
        "max_iter": 7,
        "reg_covar": 0.5,
        "init_params": "random",
        "n_init": 3,
        "random_state": 5,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("said", "expected"), [("none", None), ("auto", "auto")])
def test_em_alone_is_a_choice_of_acceleration(data, tmp_path, said, expected):
    arguments = ["--columns", "a,b", "--acceleration", said, "-o", tmp_path / "m.npz"]
    run("fit", data, "-k", 1, *arguments)
    assert load(tmp_path / "m.npz").acceleration == expected


def test_the_same_command_goes_on_from_its_checkpoint(data, tmp_path):
    arguments = ["fit", data, "-k", 3, "--columns", "a,b", "--checkpoint", tmp_path / "run.ckpt"]
    run(*arguments, "-o", tmp_path / "one.npz")  # without a seed
    run(*arguments, "-o", tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert "n_init was 1 and is 2" in refused(*arguments, "--n-init", 2)
    assert "no fastgmm model file" in refused(*arguments[:-1], data)


def test_reg_covar_may_be_relative(tmp_path):
    path, model = tmp_path / "small.csv", tmp_path / "m.npz"
    rows = 1e-6 * np.random.default_rng(0).normal(size=(200, 2))
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(path, index=False)
    run("fit", path, "-k", 1, "--reg-covar-relative", "-o", model)
    found = load(model)
    assert found.reg_covar_relative
    np.testing.assert_allclose(np.diag(found.covariances_[0]), rows.var(axis=0), rtol=1e-5)


def test_columns_of_an_array_are_numbers(frame, tmp_path):
    np.save(tmp_path / "data.npy", frame[["w", "a", "b"]].to_numpy(float))
    run("fit", tmp_path / "data.npy", "-k", 2, "--columns", "1,2", "-o", tmp_path / "m.npz")
    assert load(tmp_path / "m.npz").means_.shape == (2, 2)


def test_fit_is_told_how_much_passes_may_leave_out(data, tmp_path):
    arguments = ["-k", 2, "--covariance", "diag", "--columns", "a,b", "-o", tmp_path / "m.npz"]
    for given, read in (("auto", "auto"), ("0.01", 0.01)):
        said = run("fit", data, "--truncation", given, *arguments).stdout
        assert load(tmp_path / "m.npz").truncation == read
        assert "left out" in said
    assert "neither auto nor a number" in refused("fit", data, "-k", 2, "--truncation", "much")
    assert "leave out" in refused("fit", data, "-k", 2, "--truncation", "auto", "--bayesian")
    tied = ["--columns", "a,b", "--covariance", "tied"]
    assert "has neither" in refused("fit", data, "-k", 2, *tied, "--truncation", "auto")
