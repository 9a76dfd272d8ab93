"""What the pages show runs as it stands there, and prints what they say it prints."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import warnings
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from typer.testing import CliRunner

from fastgmm.cli.app import app

ROOT = Path(__file__).parents[2]
SHOWN = [
    "README",
    "quickstart",
    "pictures",
    "choosing",
    "from-scikit-learn",
    "from-mclust",
    "streaming",
    "online",
    "convergence",
    "regularisation",
    "bayesian",
    "robust",
    "labels",
    "missing",
    "many-components",
    "factors",
]
PAGES = {path.stem: path for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
FENCE = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:\s]+)\)")  # to a file of ours
NAMED = re.compile(r"`(?:tests/)?(\w+(?:/\w+)*/test_\w+\.py)`((?:[:,] `test_\w+`)*)")
EXACT = re.compile(r"#\s*(True|False|\d+)(?![\w.])")  # a remark that says what is printed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files that the pages speak of, and rows of theirs in batches."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(2000, 2)), rng.normal(6, 1, size=(1000, 2))])
    table = "x,y\n" + "\n".join(f"{x!r},{y!r}" for x, y in rows.tolist())
    (folder / "points.csv").write_text(table)
    with chdir(folder):
        run_shell("fastgmm fit points.csv -k 2 -o model.npz")
        run_shell("fastgmm sample model.npz -n 3000 -o points.parquet")
    return folder, np.array_split(rows, 3)


@pytest.fixture
def workplace(made, tmp_path, monkeypatch):
    """A folder of the page's own, with those files, and no screen."""
    folder, batches = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    return {"batches": batches}


def run_shell(command):
    """Run a command line of ours."""
    name, *arguments = shlex.split(command, comments=True)
    assert name == "fastgmm"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{command}\n{result.output}"


def run_python(code, names):
    """Run statement by statement; where a remark says what is printed, it must be so."""
    lines = code.splitlines()
    for statement in ast.parse(code).body:
        printed = StringIO()
        module = ast.Module([statement], type_ignores=[])
        with redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some pages show what warns
            exec(compile(module, "page", "exec"), names)
        said = EXACT.search(lines[statement.end_lineno - 1])
        if said and printed.getvalue():
            assert printed.getvalue().split()[-1] == said[1], lines[statement.end_lineno - 1]


# the pictures of that page take 11 s
SLOW = [pytest.param("pictures", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", [*(each for each in SHOWN if each != "pictures"), *SLOW])
def test_a_page_shows_what_runs(name, workplace):
    """Code of a page runs from its top, and command lines after it."""
    blocks = FENCE.findall(PAGES[name].read_text("utf-8"))
    assert blocks
    names = dict(workplace)
    for language, code in blocks:
        if language == "python":
            run_python(code, names)
        elif "pip install" not in code:  # what .ci/run does
            for command in code.splitlines():
                run_shell(command)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_lead_somewhere(name):
    """Every file that a page points at is there."""
    for target in LINK.findall(PAGES[name].read_text("utf-8")):
        assert (PAGES[name].parent / target).exists(), target


@pytest.mark.parametrize(("name", "least"), [("from-scikit-learn", 40), ("from-mclust", 5)])
def test_every_difference_from_others_names_a_test_that_exists(name, least):
    """A file is in `tests/`, and a function behind the file's name and a colon is in it."""
    named = NAMED.findall(PAGES[name].read_text("utf-8"))
    assert len(named) > least
    for path, functions in named:
        text = (ROOT / "tests" / path).read_text("utf-8")
        for function in re.findall(r"`(\w+)`", functions):
            assert f"def {function}(" in text, (path, function)


def test_every_fault_of_the_list_names_a_test_that_exists():
    """Where no test shows what happens, the list says why."""
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    rows = PAGES["reliability"].read_text("utf-8").partition("## The list")[2]
    faults = [row.strip("|").split(" | ") for row in rows.splitlines() if row.startswith("| ")][2:]
    assert len(faults) == 124
    for fault, happens, shown in faults:
        named = re.findall(r"`(\w+)`", shown)
        assert named or happens.startswith("not tested: "), fault
        assert there.issuperset(named), fault
