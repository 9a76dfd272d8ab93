"""fastgmm select: how many components, on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.commands import run
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris, make_blobs
from typer.testing import _NamedTextIOWrapper

import fastgmm
from fastgmm.cli import progress
from fastgmm.cli.select import counts_of
from fastgmm.selection import sweep


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(n_samples=300, centers=4, cluster_std=0.60, random_state=0)[0]


@pytest.fixture
def data(blobs, tmp_path):
    path = tmp_path / "blobs.parquet"
    pd.DataFrame(blobs, columns=["a", "b"]).assign(w=1.0 + np.arange(300) % 2).to_parquet(path)
    return path


def test_select_writes_the_model_that_select_finds(data, blobs, tmp_path):
    arguments = ["--columns", "a,b", "-k", "2:5", "--covariance", "full,tied", "--seed", 0]
    result = run(
        "select", data, *arguments, "--plot", tmp_path / "b.png", "-o", tmp_path / "best.npz"
    )
    found = fastgmm.load(tmp_path / "best.npz")
    expected = fastgmm.select(blobs, range(2, 6), ["full", "tied"], random_state=0)
    assert found.n_components == expected.best_estimator_.n_components == 4
    assert found.covariance_type == expected.best_estimator_.covariance_type
    assert_array_equal(found.means_, expected.best_estimator_.means_)
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert f"{expected.table['bic'].min():,.1f} *" in result.stdout


def test_the_line_that_a_new_user_types(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", blobs)
    line = "select points.npy -k 1:20 --criterion bic --plot bic.png -o best.npz"
    run(*line.split(), "--covariance", "spherical", "--seed", 0)
    assert fastgmm.load("best.npz").n_components == 4
    assert Path("bic.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_select_goes_on_from_its_checkpoint(data, tmp_path):
    arguments = ["select", data, "--columns", "a,b", "-k", "1:3", "--covariance", "full"]
    arguments += ["--checkpoint", tmp_path / "run.ckpt"]  # without a seed
    run(*arguments, "-o", tmp_path / "one.npz")
    run(*arguments, "-o", tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert "tol was 0.01 and is 0.1" in run(*arguments, "--tol", 0.1, code=2).stderr


def test_select_takes_weights_and_criteria(data, blobs, tmp_path):
    weights = 1.0 + np.arange(300) % 2
    run(
        *("select", data, "-k", "4", "--weight", "w", "--criterion", "icl", "--seed", 0),
        *("--covariance", "spherical", "-o", tmp_path / "best.npz"),
    )
    expected = fastgmm.select(blobs, 4, "spherical", "icl", 0, sample_weight=weights)
    found = fastgmm.load(tmp_path / "best.npz")
    assert_array_equal(found.weights_, expected.best_estimator_.weights_)


@pytest.fixture(scope="module")
def held_out(blobs):
    """What both rules choose from."""
    return fastgmm.select(blobs, range(3, 6), "full", "held-out", random_state=0).table


@pytest.mark.parametrize("criterion", ["held-out", "held-out-1se"])
def test_select_prints_held_out_means_and_their_errors(data, held_out, tmp_path, criterion):
    arguments = ["--columns", "a,b", "-k", "3:5", "--covariance", "full", "--seed", 0]
    arguments += ["--criterion", criterion, "--plot", tmp_path / "b.png"]
    result = run("select", data, *arguments, "-o", tmp_path / "best.npz")
    assert fastgmm.load(tmp_path / "best.npz").n_components == 4
    assert "held-out log-likelihood per row" in result.stdout
    pairs = zip(held_out["held_out"], held_out["standard_error"], strict=True)
    texts = [f"{mean:.3f} ±{error:.3f}" for mean, error in pairs]  # of 0.05, to two digits
    assert all(text in result.stdout for text in texts)
    assert f"{texts[1]} *" in result.stdout
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_select_prints_evidences_and_writes_a_bayesian_mixture(data, blobs, tmp_path):
    arguments = ["--columns", "a,b", "-k", "3:5", "--criterion", "evidence", "--seed", 0]
    result = run("select", data, *arguments, "-o", tmp_path / "best.npz")
    assert "EVIDENCE, lower is better" in result.stdout
    found = fastgmm.load(tmp_path / "best.npz")
    expected = fastgmm.select(blobs, [3, 4, 5], criterion="evidence", random_state=0)
    assert isinstance(found, fastgmm.BayesianGaussianMixture)
    assert_array_equal(found.means_, expected.best_estimator_.means_)


def test_a_wrong_criterion_is_told_of_the_others(data):
    said = run("select", data, "--criterion", "held_out", code=2).stderr
    assert "held-out" in said
    assert "held-out-1se" in said


@pytest.mark.parametrize(
    "given",
    [
        "-k 1:2,4 --covariance full,tied",
        "-k 1:2 -k 4 --covariance full --covariance tied",
        "-k 1 --components 2,4 --covariance=full --covariance=tied",
    ],
)
def test_numbers_and_types_that_are_given_several_times_add_up(data, blobs, given):
    shown = run("select", data, "--columns", "a", "--columns", "b", "--seed", 0, *given.split())
    table = fastgmm.select(blobs, [1, 2, 4], ["full", "tied"], random_state=0).table
    texts = [f"{value:,.1f}" for value in table["bic"]]
    assert len(texts) == 6
    assert all(text in shown.stdout for text in texts)


def test_the_stopping_rule_reaches_every_candidate(data, blobs, tmp_path):
    arguments = ["-k", "2:4", "--covariance", "diag", "--columns", "a,b", "--seed", 0]
    run("select", data, *arguments, "--stopping", "change", "-o", tmp_path / "best.npz")
    found = fastgmm.load(tmp_path / "best.npz")
    expected = fastgmm.select(blobs, range(2, 5), "diag", "bic", 0, stopping="change")
    assert found.stopping == "change"
    assert_array_equal(found.means_, expected.best_estimator_.means_)
    table = fastgmm.select(blobs, range(2, 5), "diag", "bic", 0).table
    assert not np.array_equal(table["n_passes"], expected.table["n_passes"])


def test_a_terminal_is_told_of_starts_and_compiling_before_there_are_any(data, monkeypatch):
    monkeypatch.setattr(_NamedTextIOWrapper, "isatty", lambda self: True)
    told, grow = [], sweep.starts_of

    class Bar(progress.PassProgress):
        def setup(self, estimator, context):
            super().setup(estimator, context)
            told.extend(task.description for task in self.bar.tasks)

    def watched(*arguments):
        told.append("starts")
        return grow(*arguments)

    monkeypatch.setattr(progress, "PassProgress", Bar)
    monkeypatch.setattr(sweep, "starts_of", watched)
    run("select", data, "-k", "5:1", code=2)
    assert told == []
    run("select", data, "-k", "1:2", "--covariance", "diag", "--seed", 0)
    assert told == ["making starts, compiling if it is the first time", "starts"]


def test_candidates_that_have_collapsed_are_in_brackets(tmp_path):
    load_iris(as_frame=True).data.to_csv(tmp_path / "iris.csv", index=False)
    arguments = ["-k", "2,6", "--covariance", "full", "--seed", 0, "--prior", "none"]
    shown = run("select", tmp_path / "iris.csv", *arguments)
    lines = [line.strip() for line in shown.stdout.splitlines()]
    (two,) = [line for line in lines if line.startswith("2 ")]
    (six,) = [line for line in lines if line.startswith("6 ")]
    assert two.endswith("*")
    assert six.endswith(")")
    assert "in brackets" in shown.stdout


@pytest.mark.parametrize(
    ("text", "counts"),
    [("4", [4]), ("1:3", [1, 2, 3]), ("2,4,8", [2, 4, 8]), ("1:2, 8", [1, 2, 8])],
)
def test_numbers_of_components_are_read(text, counts):
    assert counts_of(text) == counts


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-k", "1-5"], "--components '1-5' is not understood"),
        (["-k", "5:1"], "leaves nothing to try"),
        (["--criterion", "bik"], "did you mean 'bic'?"),
        (["--covariance", "ful"], "did you mean 'full'?"),
        (["--plot", "b.txt"], "does not end in .png"),
        (["-o", "best.txt"], "does not end in .npz"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(data, arguments, sentence):
    lines = run("select", data, *arguments, code=2).stderr.splitlines()
    assert len(lines) == 1
    assert sentence in lines[0]
