"""Text files on the command line: what was found is said, and options say it instead."""

from __future__ import annotations

import pytest
from cli.commands import refused, run
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.estimators.model_file import load

OPTIONS = ["--delimiter", "\\t", "--decimal", ",", "--no-header", "--encoding", "utf-16"]
SAID = "separated by tab, decimal ',', no header, utf-16"


@pytest.fixture
def rows(frame, tmp_path):
    """A file in no way as a CSV file of pandas is."""
    path = tmp_path / "points.dat"
    frame[["a", "b"]].to_csv(
        path, sep="\t", decimal=",", header=False, index=False, encoding="utf-16"
    )
    return path


@pytest.mark.parametrize("options", [[], OPTIONS])
def test_every_command_reads_it_and_says_how(rows, model, tmp_path, options):
    out = tmp_path / "out.npz"
    assert SAID in run("fit", rows, "-k", 2, "--seed", 0, *options, "-o", out).stdout
    assert_allclose(load(out).means_, load(model).means_, rtol=1e-12)
    assert SAID in run("describe", out).stdout
    columns = ["--columns", "1,0"]
    assert SAID in run("select", rows, "-k", "1:2", *options, *columns, "-o", out).stdout
    assert SAID in run("describe", out).stdout
    assert load(out).means_.shape[1] == 2
    assert SAID in run("score", out, rows, *columns, *options).stdout
    assert SAID in run("predict", out, rows, *columns, *options, "-o", tmp_path / "l.npy").stdout
    assert SAID in run("plot", out, rows, *columns, *options, "-o", tmp_path / "l.png").stdout


def test_a_fit_goes_on_from_its_checkpoint_found_or_told(rows, tmp_path):
    kept = ["--checkpoint", tmp_path / "fit.ckpt", "--seed", 0]
    run("fit", rows, "-k", 2, *kept)
    out = tmp_path / "m.npz"
    run("fit", rows, "-k", 2, *kept, *OPTIONS, "-o", out)
    run("fit", rows, "-k", 2, "--seed", 0, "-o", tmp_path / "once.npz")
    assert_array_equal(load(out).means_, load(tmp_path / "once.npz").means_)
    assert "belongs to another fit" in refused("fit", rows, "-k", 2, *kept, "--columns", "1,0")


def test_a_plain_file_is_not_spoken_of_but_in_describe(frame, model, tmp_path):
    path = tmp_path / "points.csv"
    frame.to_csv(path, index=False)
    assert "separated" not in run("score", model, path).stdout
    run("fit", path, "-k", 2, "--columns", "a,b", "-o", tmp_path / "m.npz")
    assert (
        "separated by ',', decimal '.', names in line 1"
        in run("describe", tmp_path / "m.npz").stdout
    )
    assert "separated" not in run("describe", model).stdout  # of rows in memory


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("x;y\n1;2\n", ["--delimiter", ","], "--delimiter and --decimal set others"),
        ("x;y\n1;2\n", ["--delimiter", ";;"], "delimiter=';;' separates nothing"),
        ("x,y\n1,2\n3\n", [], "--delimiter and --decimal set others"),
        ("2001,2002,2003\n1,2,3\n", [], "--no-header says the former, --header the latter"),
        ("Run of May\n1,2\n3,4\n", [], "--header says the former, and --decimal how"),
        ("Run of May\n1,2\n3,4\n", [], "begin that line with # and give --no-header"),
        ("größe\n1\n", ["--encoding", "ascii"], "--encoding names another"),
    ],
)
def test_errors_name_the_options(tmp_path, text, options, said):
    (tmp_path / "x.csv").write_text(text)
    assert said in refused("fit", tmp_path / "x.csv", "-k", 2, *options)


def test_text_of_other_names_needs_an_option(frame, tmp_path):
    path = tmp_path / "points.out"
    frame[["a", "b"]].to_csv(path, index=False)
    assert "under any name with --delimiter" in refused("fit", path, "-k", 2)
    run("fit", path, "-k", 2, "--delimiter", ",")
