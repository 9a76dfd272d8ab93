"""The command line does what it says, and says in one sentence what it cannot do."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import h5py
import naive
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

import fastgmm
from fastgmm.cli import output, tables
from fastgmm.cli.app import app
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.model_file import load

READ = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
# SIGINT is ignored in children of a background shell: the child must ask for it
CHILD = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from fastgmm.cli import main; main()"
)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


def refused(*arguments):
    """Return the sentence with which a command refuses its arguments."""
    result = run(*arguments, code=2)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("fastgmm: ")
    assert "Traceback" not in result.output
    return lines[0]


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 2)) @ [[1.0, 0.4], [0.0, 0.7]]
    rows[:240] += [9.0, -6.0]
    rng.shuffle(rows)
    table = pd.DataFrame(rows, columns=["a", "b"])
    return table.assign(w=rng.integers(0, 3, size=600), note="text")


@pytest.fixture(params=[".parquet", ".csv"])
def data(request, tmp_path, frame):
    return written(frame, tmp_path / f"data{request.param}")


def written(table, path):
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


@pytest.fixture
def model(tmp_path, frame):
    path = tmp_path / "model.npz"
    GaussianMixture(2, random_state=0).fit(frame[["a", "b"]]).save(path)
    return path


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


def test_columns_of_an_array_are_numbers(frame, tmp_path):
    np.save(tmp_path / "data.npy", frame[["w", "a", "b"]].to_numpy(float))
    run("fit", tmp_path / "data.npy", "-k", 2, "--columns", "1,2", "-o", tmp_path / "m.npz")
    assert load(tmp_path / "m.npz").means_.shape == (2, 2)


def test_a_warning_is_a_sentence(data):
    result = run("fit", data, "-k", 5, "--columns", "a,b", "--max-iter", 1, "--tol", 0, "--seed", 0)
    assert result.stderr.startswith("fastgmm: warning: ")
    assert len(result.stderr.splitlines()) == 1
    assert "not converged" in result.stdout


@pytest.mark.parametrize("suffix", READ)
def test_predict_writes_a_label_for_every_row(data, model, frame, tmp_path, suffix):
    run("predict", model, data, "-o", tmp_path / f"out{suffix}")
    found = READ[suffix](tmp_path / f"out{suffix}")
    assert list(found) == ["label"]
    assert_array_equal(found["label"], load(model).predict(frame[["a", "b"]]))


@pytest.mark.parametrize("suffix", READ)
def test_predict_writes_probabilities_too(data, model, frame, tmp_path, suffix):
    run("predict", model, data, "-o", tmp_path / f"out{suffix}", "--proba")
    found = READ[suffix](tmp_path / f"out{suffix}")
    assert list(found) == ["label", "p0", "p1"]
    assert_array_equal(found["label"], load(model).predict(frame[["a", "b"]]))
    assert_allclose(found[["p0", "p1"]], load(model).predict_proba(frame[["a", "b"]]), rtol=1e-12)


def test_an_array_holds_labels_or_probabilities_or_rows(data, model, frame, tmp_path):
    out, mixture = tmp_path / "out.npy", load(model)
    run("predict", model, data, "-o", out)
    assert_array_equal(np.load(out, mmap_mode="r"), mixture.predict(frame[["a", "b"]]))
    run("predict", model, data, "-o", out, "--proba")
    assert_allclose(np.load(out), mixture.predict_proba(frame[["a", "b"]]), rtol=1e-12)
    run("score", model, data, "-o", out)
    assert_allclose(np.load(out), mixture.score_samples(frame[["a", "b"]]), rtol=1e-12)
    run("sample", model, "-n", 50, "--seed", 3, "-o", out)
    assert_array_equal(np.load(out), mixture.set_params(random_state=3).sample(50)[0])


def in_x(piece):
    """Name a piece of a table."""
    return {"x": piece}


@pytest.mark.parametrize("dtype", ["f4", "i8", "?"])
def test_groups_are_joined_in_one_array_however_long(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    rows = np.arange(2400).reshape(-1, 2).astype(dtype)
    for end in [1, 12, 1200]:  # the length is written when it is known
        pieces = (rows[start : start + 7] for start in range(0, end, 7))
        n_rows = output.write_columns(tmp_path / "out.npy", pieces, in_x)
        found = np.load(tmp_path / "out.npy")
        assert found.dtype == rows.dtype
        assert_array_equal(found, rows[:n_rows])


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


def test_score_prints_the_mean_and_writes_every_row(data, model, frame, tmp_path):
    expected = load(model).score_samples(frame[["a", "b"]])
    alone = run("score", model, data)
    both = run("score", model, data, "-o", tmp_path / "out.parquet")
    assert f"mean log-likelihood {expected.mean():.9g} of 600 rows" in alone.stdout
    assert alone.stdout.strip() in both.stdout
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert_allclose(found["log_likelihood"], expected, rtol=1e-12)


def test_columns_are_found_by_name_in_any_order(model, frame, tmp_path):
    path = written(frame[["note", "b", "a"]], tmp_path / "other.parquet")
    result = run("score", model, path)
    assert f"{load(model).score(frame[['a', 'b']]):.9g}" in result.stdout


@pytest.mark.parametrize("suffix", READ)
def test_sample_draws_the_rows_of_the_estimator(model, tmp_path, suffix):
    run("sample", model, "-n", 50, "--seed", 3, "-o", tmp_path / f"out{suffix}")
    found = READ[suffix](tmp_path / f"out{suffix}")
    assert list(found) == ["a", "b"]
    assert_allclose(found, load(model).set_params(random_state=3).sample(50)[0], rtol=1e-12)


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


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_spread_is_the_root_of_the_variances(covariance_type, frame):
    rows = frame[["a", "b"]].to_numpy()
    fitted = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
    matrices = naive.matrices(covariance_type, fitted.covariances_, *fitted.means_.shape)
    expected = np.sqrt(np.einsum("kii->ki", matrices))
    assert_allclose(tables.deviations(fitted), expected)


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        (0.0, 1.0, "0 ± 1"),
        (123.456, 10.0, "123.5 ± 10"),
        (1e8 + 0.25, 1.0, "100000000.25 ± 1"),
        (-0.001, 2.0, "-0.001 ± 2"),
        (1.5e-9, 2.5e-10, "1.5e-09 ± 2.5e-10"),
    ],
)
def test_means_are_written_to_a_part_of_their_spread(mean, spread, expected):
    assert tables.mean_and_spread(mean, spread) == expected


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


def test_a_missing_column_is_named(model, frame, tmp_path):
    path = written(frame.drop(columns="b"), tmp_path / "other.csv")
    assert "'b'" in refused("predict", model, path, "-o", tmp_path / "out.csv")


def test_a_damaged_model_file_is_refused(model, tmp_path):
    model.write_bytes(model.read_bytes()[:-100])
    assert "model.npz" in refused("describe", model)


@pytest.mark.parametrize("suffix", READ)
def test_a_failure_half_way_leaves_the_old_output(model, frame, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 1)
    frame = pd.concat([frame] * 200)  # more than a block
    frame.iloc[-1, 0] = np.inf
    path = written(frame[["a", "b"]], tmp_path / "bad.parquet")
    out = tmp_path / f"out{suffix}"
    out.write_text("old")
    assert "row 119999" in refused("predict", model, path, "-o", out)
    assert out.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        ["bad.parquet", "model.npz", out.name]
    )


def test_an_empty_table_leaves_no_output(model, frame, tmp_path):
    path = written(frame.iloc[:0], tmp_path / "empty.parquet")
    refused("predict", model, path, "-o", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_pieces_are_joined_to_groups_of_many_rows(tmp_path):
    pieces = (np.arange(start, start + 1000) for start in range(0, 600_000, 1000))
    assert output.write_columns(tmp_path / "out.parquet", pieces, in_x) == 600_000
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 7  # of 99 000 rows, the last of them 6000
    assert_array_equal(file.read()["x"], np.arange(600_000))


def test_output_has_the_permissions_of_any_new_file(tmp_path):
    output.write_columns(tmp_path / "out.csv", iter([np.arange(3)]), in_x)
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_ctrl_c_is_a_sentence_and_code_130(data, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianMixture, "fit", interrupted)
    result = run("fit", data, "-k", 2, "--columns", "a,b", code=130)
    assert result.stderr == "fastgmm: interrupted; no output was written\n"


def test_version_and_help():
    assert run("--version").stdout == f"fastgmm {fastgmm.__version__}\n"
    listed = run("--help").stdout
    for command in ("fit", "predict", "score", "sample", "describe", "demo"):
        assert command in listed
        assert "Usage" in run(command, "--help").stdout


def test_without_its_libraries_the_command_says_what_installs_them():
    code = "import sys; sys.modules['typer'] = None; from fastgmm.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'fastgmm[cli]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_module_runs_as_the_command_does(data, tmp_path):
    command = [sys.executable, "-m", "fastgmm", "fit", data, "-k", "2", "--columns", "a,b"]
    done = subprocess.run(
        [*command, "-o", tmp_path / "m.npz"], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no bar where there is no terminal
    assert load(tmp_path / "m.npz").n_rows_ == 600
    wrong = subprocess.run([*command, "--tol", "x"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1


def test_a_terminal_sees_the_passes_and_ctrl_c_ends_the_fit(tmp_path):
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    np.save(tmp_path / "data.npy", rows)
    options = "-k 20 --tol 0 --max-iter 1000000 --init random_from_data --seed 0"
    terminal, side = pty.openpty()
    command = [sys.executable, "-c", CHILD, "fit", tmp_path / "data.npy", *options.split()]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*command, "-o", tmp_path / "m.npz"], stderr=side, stdout=side, env=environment
    ) as child:
        os.close(side)
        try:
            seen = read_until(terminal, b"log-likelihood -")
            child.send_signal(signal.SIGINT)
            seen += read_until(terminal, b"interrupted")
            child.wait(timeout=60)
        finally:
            child.kill()  # else a failure would wait for a million passes
    os.close(terminal)
    assert child.returncode == 130
    assert b"starting, compiling if it is the first time" in seen
    assert b"/1000000" in seen
    assert b"Traceback" not in seen
    assert not (tmp_path / "m.npz").exists()


def read_until(terminal, words, seconds=120):
    """Read what a terminal shows until some words, or fail."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, seen
        try:
            seen += os.read(terminal, 4096)
        except OSError as error:  # how Linux says that the other side has closed
            pytest.fail(f"the command ended ({error}): {seen!r}")
    return seen


def test_reg_covar_may_be_relative(tmp_path):
    path, model = tmp_path / "small.csv", tmp_path / "m.npz"
    rows = 1e-6 * np.random.default_rng(0).normal(size=(200, 2))
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(path, index=False)
    run("fit", path, "-k", 1, "--reg-covar-relative", "-o", model)
    found = load(model)
    assert found.reg_covar_relative
    np.testing.assert_allclose(np.diag(found.covariances_[0]), rows.var(axis=0), rtol=1e-5)


def test_rows_are_written_while_the_next_are_made_and_no_more_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    made, waiting = [], []
    real = output._writer

    def slow(path, file, schema):
        writer = real(path, file, schema)
        write = writer.write_table

        class Slow:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                writer.close()

            def write_table(self, table):
                time.sleep(0.02)
                waiting.append(len(made) - table["x"][0].as_py())
                write(table)

        return Slow()

    def pieces():
        for number in range(6):
            made.append(number)
            yield np.full(10, number)

    monkeypatch.setattr(output, "_writer", slow)
    assert output.write_columns(tmp_path / "out.parquet", pieces(), in_x) == 60
    assert max(waiting) == 2  # the one that is written, and the one that is made


def test_a_write_that_the_disk_has_lost_is_not_taken_for_done(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    told = []

    def lost(_):
        told.append(None)
        if len(told) == 1:  # the system tells of it once
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", lost)
    pieces = (np.arange(10) for _ in range(100))
    with pytest.raises(OSError, match="Input/output"):
        output.write_columns(tmp_path / "out.npy", pieces, in_x)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [0, 3])
def test_a_disk_that_is_full_ends_the_command_and_leaves_no_file(tmp_path, monkeypatch, at):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    made = []
    real = output._writer

    class Full:
        def __init__(self, *arguments):
            self.writer, self.n_left = real(*arguments), at

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.writer.close()

        def write_table(self, table):
            if not self.n_left:
                raise OSError(28, "No space left on device")
            self.n_left -= 1
            self.writer.write_table(table)

    def pieces():
        for number in range(100):
            made.append(number)
            yield np.full(10, number)

    monkeypatch.setattr(output, "_writer", Full)
    with pytest.raises(OSError, match="No space left"):
        output.write_columns(tmp_path / "out.csv", pieces(), in_x)
    assert len(made) <= at + 3
    assert not list(tmp_path.iterdir())
