"""What stands in the way of a public name is said, and is not taken for a missing name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastgmm
from fastgmm.errors import MissingDependencyError, require

NAMES = ("AutoGaussianMixture", "GaussianMixture", "load", "plot", "select")
TRY = """
for name in {names}:
    try:
        exec("from fastgmm import " + name)
    except ImportError as error:
        print(f"{{name}}: {{error}} <- {{error.__cause__!r}}")
"""
BY_CODE = "import numba\nnumba.config.DISABLE_JIT = 1\n"


def said(code, folder, **environment):
    """What a fresh process says of every name."""
    path = os.pathsep.join(
        [str(Path(fastgmm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    run = subprocess.run(
        [sys.executable, "-c", code + TRY.format(names=NAMES)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | environment,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_an_attribute_error_of_an_import_is_named_as_its_cause(tmp_path):
    code = "import llvmlite.binding\ndel llvmlite.binding.get_host_cpu_features\n"
    lines = said(code, tmp_path)
    assert [line.partition(":")[0] for line in lines] == list(NAMES)
    for name, line in zip(NAMES, lines, strict=True):
        assert line.startswith(f"{name}: fastgmm.{name} cannot be imported: module 'llvmlite")
        assert "<- AttributeError" in line
        assert "get_host_cpu_features" in line


@pytest.mark.parametrize(
    ("code", "environment", "expected"),
    [
        ("", {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT=1 in the environment turns off; unset"),
        pytest.param(
            BY_CODE,
            {},
            "numba.config.DISABLE_JIT=1 turns off; set it to 0 where your code",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_compiler_that_is_turned_off_is_named_with_the_way_out(
    tmp_path, code, environment, expected
):
    lines = said(code, tmp_path, **environment)
    assert len(lines) == len(NAMES)
    for line in lines:
        assert f"fastgmm needs Numba's compiler, which {expected}" in line


def test_the_command_line_says_so_in_a_sentence():
    run = subprocess.run(
        [sys.executable, "-m", "fastgmm", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=Path(fastgmm.__file__).parents[1],
    )
    assert run.returncode == 2
    assert run.stderr.startswith("fastgmm: fastgmm needs Numba's compiler, which NUMBA_DISABLE_JIT")
    assert run.stderr.count("\n") == 1


def test_a_name_that_is_missing_stays_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fastgmm' has no attribute 'GausianMixture'"):
        _ = fastgmm.GausianMixture


def test_a_library_that_breaks_while_it_is_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "brokenlib.py").write_text("import math\nmath.no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"needs brokenlib.*no_such_thing") as caught:
        require("brokenlib", "io")
    assert isinstance(caught.value.__cause__, AttributeError)
