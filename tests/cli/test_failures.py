"""Wrong input is one sentence and exit code 2; Ctrl-C is 130."""

from __future__ import annotations

import pytest
from cli.commands import refused, run

from fastgmm.estimators.gaussian_mixture import GaussianMixture


def test_a_warning_is_a_sentence(data):
    result = run("fit", data, "-k", 5, "--columns", "a,b", "--max-iter", 1, "--tol", 0, "--seed", 0)
    assert result.stderr.startswith("fastgmm: warning: ")
    assert len(result.stderr.splitlines()) == 1
    assert "not converged" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("fit {folder}/nowhere.csv -k 2", "nowhere.csv"),
        (
            "fit {data} -k 2",
            "--columns",
        ),
        ("fit {data} -k 0 --columns a,b", "--components (-k)"),
        ("fit {data} -k 601 --columns a,b", "601"),
        ("fit {data} -k two --columns a,b", "'--components' / '-k'"),
        ("fit {data} --columns a,b", "Missing option"),
        ("fit {data} -k 2 --columns a,c", "'c'"),
        ("fit {data} -k 2 --columns a,,b", "leaves a name out"),
        ("fit {data} -k 2 --columns a,b --weight c", "'c'"),
        ("fit {data} -k 2 --columns a,b --covariance ful", "did you mean 'full'?"),
        ("fit {data} -k 2 --columns a,b --init best", "'best'"),
        ("fit {data} -k 2 --columns a,b --stopping slope", "'slope'"),
        ("fit {data} -k 2 --columns a,b --acceleration nesterov", "'nesterov'"),
        ("select {data} -k 2 --columns a,b --stopping slope", "'slope'"),
        ("fit {data} -k 2 --columns a,b --seed -1", "--seed"),
        ("fit {folder}/model.npz -k 2", "archive of arrays"),
        ("fit {data} -k 2 --columns a,b -o {folder}/model.pickle", ".npz"),
        ("fit {data} -k 2 --columns a,b -o {folder}/nowhere/model.npz", "nowhere"),
        ("predict {folder}/nowhere.npz {data} -o {folder}/out.csv", "nowhere.npz"),
        ("predict {data} {data} -o {folder}/out.csv", "model file"),
        ("predict {data} {model} -o {folder}/out.csv", "the order is MODEL, then DATA"),
        ("predict {model} {folder}/nowhere.csv -o {folder}/out.csv", "nowhere.csv"),
        ("predict {model} {data} --columns a -o {folder}/out.csv", "1 columns"),
        ("predict {model} {data} -o {folder}/out.txt", ".parquet, .csv or .npy"),
        ("predict {model} {data} -o {folder}", ".parquet, .csv or .npy"),
        ("predict {model} {data} -o {data}", "also read from"),
        ("predict {model} {data}", "Missing option"),
        ("score {model} {data} -o {folder}/out.xlsx", ".csv or .npy"),
        ("sample {model} -n 0 -o {folder}/out.csv", "n_samples"),
        ("sample {model} -n 100000000000000 -o {folder}/out.csv", "2,400,000,000,000,000 bytes"),
        ("sample {model} -n 10 -o {folder}/out", ".csv or .npy"),
        ("score {model} {data} --contamination 0.1 -o {folder}/out.npy", ".parquet or .csv"),
        ("fit {data} -k 2 --dataset x", "does not apply to"),
        ("describe {data}", "model file"),
        ("frobnicate", "frobnicate"),
        ("fit --frobnicate", "--frobnicate"),
        ("--frobnicate", "--frobnicate"),
    ],
)
def test_wrong_input_is_one_sentence_and_code_2(arguments, said, data, model, tmp_path):
    before = sorted(tmp_path.iterdir())
    places = {"data": data, "model": model, "folder": tmp_path}
    assert said in refused(*arguments.format(**places).split())
    assert sorted(tmp_path.iterdir()) == before


def test_a_column_that_is_no_feature_is_named_with_the_option_that_leaves_it_out(data):
    sentence = refused("fit", data, "-k", 2)
    assert "column 'note'" in sentence
    assert "--columns" in sentence
    assert "columns=" not in sentence


def test_a_damaged_model_file_is_refused(model, tmp_path):
    model.write_bytes(model.read_bytes()[:-100])
    assert "model.npz" in refused("describe", model)


def test_ctrl_c_is_a_sentence_and_code_130(data, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianMixture, "fit", interrupted)
    result = run("fit", data, "-k", 2, "--columns", "a,b", code=130)
    assert result.stderr == "fastgmm: interrupted; no output was written\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "fit {data} -k 2 --columns a,b -k 3",
            "--components / -k takes one value and was given '2' and '3'",
        ),
        ("fit {data} -k 2 --components=3 -k 4 --columns a", "was given '2' and '3' and '4'"),
        ("fit {data} -k 2 --covariance full --covariance diag", "--covariance takes one value"),
        ("fit {data} -k 2 --columns a --seed 0 --seed 1", "--seed takes one value"),
        ("fit {data} -k 2 --weight w --columns a --weight b", "given 'w' and 'b'"),
        ("fit {data} -k 2 --header --columns a --no-header", "given --header and --no-header"),
        ("fit {data} -k 2 --delimiter ; --delimiter ,", "given ';' and ','"),
        ("select {data} --columns a --criterion bic --criterion aic", "given 'bic' and 'aic'"),
        ("predict {model} {data} -o {folder}/a.csv --output {folder}/b.csv", "--output / -o takes"),
        ("score {model} {data} --contamination 0.1 --contamination 0.2", "given '0.1' and '0.2'"),
        ("sample {model} -o {folder}/a.csv -n 5 -n 6", "given '5' and '6'"),
        ("plot {model} {data} -o {folder}/a.png --kind corner --kind trace", "given 'corner' and"),
        ("demo --out {folder}/a --out {folder}/b", "--out takes one value"),
    ],
)  # fmt: skip
def test_two_values_of_an_option_that_takes_one_are_refused(arguments, said, data, model, tmp_path):
    before = sorted(tmp_path.iterdir())
    places = {"data": data, "model": model, "folder": tmp_path}
    assert said in refused(*arguments.format(**places).split())
    assert sorted(tmp_path.iterdir()) == before


def test_an_option_may_be_given_the_same_value_twice(data, tmp_path):
    twice = ["-k", 2, "--seed", 0, "--seed", 0, "--reg-covar-relative", "--reg-covar-relative"]
    run("fit", data, "--columns", "a,b", *twice, "-k", 2, "-o", tmp_path / "m.npz")
    expected = ["-k", 2, "--seed", 0, "--reg-covar-relative", "-o", tmp_path / "n.npz"]
    run("fit", data, "--columns", "a,b", *expected)
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "n.npz").read_bytes()
