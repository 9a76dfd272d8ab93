"""Mixtures that outliers do not move, on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from cli.commands import refused, run
from numpy.testing import assert_array_equal

from fastgmm import GaussianMixture, StudentTMixture, load


@pytest.fixture
def rows(frame):
    return frame[["a", "b"]]


def test_fit_writes_the_mixture_of_t_distributions_that_the_estimator_fits(data, rows, tmp_path):
    path = tmp_path / "m.npz"
    arguments = ["-k", 2, "--seed", 0, "--columns", "a,b", "-o", path]
    said = run("fit", data, "--student-t", *arguments).stdout
    found, expected = load(path), StudentTMixture(2, random_state=0).fit(rows)
    assert isinstance(found, StudentTMixture)
    for name in ("means_", "scales_", "degrees_of_freedom_"):
        assert_array_equal(getattr(found, name), getattr(expected, name))
    assert "degrees of freedom" in said
    assert f"{expected.bic(rows):.2f}" in said
    for given, read in (("shared", "shared"), ("4", 4.0), ("inf", np.inf)):
        run("fit", data, "--student-t", "--degrees-of-freedom", given, *arguments)
        assert load(path).degrees_of_freedom == read


def test_the_other_commands_take_its_models(data, rows, tmp_path):
    path, table = tmp_path / "m.npz", tmp_path / "t.npy"
    model = StudentTMixture(2, random_state=0).fit(rows)
    model.save(path)
    run("describe", path)
    run("score", path, data, "-o", table)
    assert_array_equal(np.load(table).ravel(), model.score_samples(rows))
    run("predict", path, data, "-o", table)
    run("sample", path, "-n", 100, "-o", table)
    assert np.load(table).shape[0] == 100


def test_what_does_not_go_together_is_said(data):
    assert "is of --student-t" in refused("fit", data, "-k", 2, "--degrees-of-freedom", "3")
    assert "leave one out" in refused("fit", data, "-k", 2, "--student-t", "--bayesian")
    said = refused("fit", data, "-k", 2, "--student-t", "--degrees-of-freedom", "many")
    assert "neither each, shared nor a number" in said


def test_fit_writes_the_mixture_with_noise_that_the_estimator_fits(data, rows, tmp_path):
    path, table = tmp_path / "m.npz", tmp_path / "t.npy"
    arguments = ["-k", 2, "--seed", 0, "--columns", "a,b", "-o", path]
    said = run("fit", data, "--noise", *arguments).stdout
    found, expected = load(path), GaussianMixture(2, noise=True, random_state=0).fit(rows)
    assert found.noise_weight_ == expected.noise_weight_
    assert_array_equal(found.means_, expected.means_)
    assert f"{expected.noise_weight_:.4f}" in said
    assert f"{expected.bic(rows):.2f}" in said
    run("predict", path, data, "-o", table)
    assert_array_equal(np.load(table).ravel(), expected.predict(rows))
    run("predict", path, data, "--proba", "-o", table)
    assert_array_equal(np.load(table), expected.predict_proba(rows))
    run("describe", path)
    run("fit", data, "--noise", "--noise-volume", "1000", *arguments)
    assert load(path).noise == 1000.0


def test_noise_is_of_gaussian_mixtures(data):
    assert "leave out" in refused("fit", data, "-k", 2, "--noise", "--student-t")
    assert "is of --noise" in refused("fit", data, "-k", 2, "--noise-volume", "3")
