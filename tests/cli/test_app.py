"""The commands by name, in a process of their own, and without their libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli.commands import run

import fastgmm
from fastgmm.estimators.model_file import load


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


def test_ctrl_c_while_the_commands_are_imported_is_said_in_one_line():
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'sklearn':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from fastgmm.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "fastgmm: interrupted; no output was written\n"


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
