"""Bayesian mixtures on the command line: fitted, and used by every other command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.commands import READ, refused, run
from matplotlib import image
from numpy.testing import assert_array_equal

from fastgmm.cli.plot import KINDS, WITHOUT_FEATURES
from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.estimators.model_file import load


@pytest.fixture
def rows(frame):
    return frame[["a", "b"]]


@pytest.fixture
def fitted(rows):
    return BayesianGaussianMixture(n_components=6, random_state=0).fit(rows)


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "bayesian.npz"
    fitted.save(path)
    return path


def test_fit_writes_the_model_that_the_estimator_fits(data, fitted, tmp_path):
    arguments = ["-k", 6, "--seed", 0, "--columns", "a,b", "-o", tmp_path / "m.npz"]
    said = run("fit", data, "--bayesian", *arguments).stdout
    found = load(tmp_path / "m.npz")
    assert isinstance(found, BayesianGaussianMixture)
    for name in ("means_", "covariances_", "weight_concentration_", "degrees_of_freedom_"):
        assert_array_equal(getattr(found, name), getattr(fitted, name))
    assert "2 of 6" in said
    assert f"{fitted.lower_bound_:.6f}" in said
    assert "BIC" not in said
    assert "4 more of 6 hold no rows" in said


def test_every_option_reaches_the_estimator(data, tmp_path):
    options = "--concentration 0.5 --dirichlet distribution --covariance diag --tol 0.01"
    options += " --max-iter 7 --reg-covar 0.5 --init random --n-init 3 --stopping aitken"
    options += " --acceleration none --columns a,b --seed 5"
    run("fit", data, "-k", 3, "--bayesian", *options.split(), "-o", tmp_path / "m.npz")
    found = load(tmp_path / "m.npz").get_params()
    expected = {
        "n_components": 3,
        "weight_concentration_prior": 0.5,
        "weight_concentration_prior_type": "dirichlet_distribution",
        "covariance_type": "diag",
        "tol": 0.01,
        "max_iter": 7,
        "reg_covar": 0.5,
        "init_params": "random",
        "n_init": 3,
        "stopping": "aitken",
        "acceleration": None,
        "random_state": 5,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--concentration 1", "--concentration is of --bayesian; add that, or leave"),
        ("--dirichlet process", "--dirichlet is of --bayesian; add that, or leave"),
        ("--bayesian --prior none", "--prior none is not of --bayesian, which has priors of its"),
        ("--bayesian --prior 5", "--prior 5 is not of --bayesian"),
        ("--bayesian --dirichlet proces", "'proces' is not known (did you mean 'process'?)"),
        ("--bayesian --concentration 0", "the option --concentration must be"),
        ("--bayesian --concentration nan", "the option --concentration must be"),
    ],
)
def test_options_that_do_not_go_together_are_refused(data, options, said):
    assert said in refused("fit", data, "-k", 2, "--columns", "a,b", *options.split())


@pytest.mark.parametrize("suffix", READ)
def test_predict_and_score_ask_the_posterior(data, rows, fitted, saved, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    run("predict", saved, data, "-o", out, "--proba")
    found = READ[suffix](out)
    assert_array_equal(found["label"], fitted.predict(rows))
    assert_array_equal(found[[f"p{k}" for k in range(6)]], fitted.predict_proba(rows))
    said = run("score", saved, data, "-o", out).stdout
    assert_array_equal(READ[suffix](out)["log_likelihood"], fitted.score_samples(rows))
    assert f"{fitted.score(rows):.9g}" in said
    said = run("score", saved, data, "--contamination", 0.05).stdout
    assert f"{fitted.threshold(rows, 0.05):.9g}" in said


@pytest.mark.parametrize("suffix", READ)
def test_predict_and_score_ask_the_predictive_density(data, rows, fitted, saved, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    run("predict", saved, data, "-o", out, "--proba", "--predictive")
    found = READ[suffix](out)
    assert_array_equal(found["label"], fitted.predict(rows, predictive=True))
    expected = fitted.predict_proba(rows, predictive=True)
    assert_array_equal(found[[f"p{k}" for k in range(6)]], expected)
    run("predict", saved, data, "-o", out, "--predictive")
    assert_array_equal(READ[suffix](out)["label"], fitted.predict(rows, predictive=True))
    said = run("score", saved, data, "-o", out, "--predictive").stdout
    expected = fitted.score_samples(rows, predictive=True)
    assert_array_equal(READ[suffix](out)["log_density"], expected)
    assert f"mean predictive log density {fitted.score(rows, predictive=True):.9g} of 600" in said


def test_the_predictive_density_of_another_mixture_is_refused(data, model, saved, tmp_path):
    for command in (["score"], ["predict", "-o", tmp_path / "out.npy"]):
        said = refused(command[0], model, data, *command[1:], "--predictive")
        assert "--predictive is of Bayesian mixtures, and" in said
        assert "is none; leave it out" in said
    said = refused("score", saved, data, "--predictive", "--contamination", 0.1)
    assert "--contamination marks by likelihoods; leave it or --predictive out" in said


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_scores_are_not_those_of_the_plain_mixture(rows, tmp_path, covariance_type):
    few = rows[:12]
    few.to_csv(tmp_path / "few.csv", index=False)
    model = BayesianGaussianMixture(
        n_components=2, covariance_type=covariance_type, random_state=0
    ).fit(few)
    model.save(tmp_path / "m.npz")
    run("score", tmp_path / "m.npz", tmp_path / "few.csv", "-o", tmp_path / "s.npy")
    found = np.load(tmp_path / "s.npy")
    assert_array_equal(found, model.score_samples(few))
    assert np.all(np.abs(found - model.prune().score_samples(few)) > 0.01)


def test_sample_and_describe_take_it(saved, fitted, tmp_path):
    run("sample", saved, "-n", 50, "--seed", 3, "-o", tmp_path / "rows.parquet")
    expected = fitted.set_params(random_state=3).sample(50)[0]
    assert_array_equal(pd.read_parquet(tmp_path / "rows.parquet"), expected)
    said = run("describe", saved).stdout
    assert "2 of 6" in said
    assert "4 more of 6 hold no rows" in said
    assert f"{fitted.lower_bound_:.6f}" in said


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_is_drawn(data, saved, tmp_path, kind):
    chosen = (
        [] if kind in WITHOUT_FEATURES else ["--features", "a" if kind == "histogram" else "a,b"]
    )
    run("plot", saved, data, "--kind", kind, *chosen, "-o", tmp_path / "out.png")
    assert np.ptp(image.imread(tmp_path / "out.png")[..., :3]) > 0.5
