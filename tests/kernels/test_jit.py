"""What is kept on disk is used again, until any kernel's file changes; no disk is no failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import fastgmm
from fastgmm.kernels import jit

COUNT_MISSES = """
import numpy as np
from fastgmm.kernels.softmax import normalise
normalise(np.zeros((2, 8)), np.ones(8), np.zeros(1))
print(sum(normalise.stats.cache_misses.values()))
"""

NAME_COMPILED = """
import numpy as np
from numba.core import compiler
from fastgmm import GaussianMixture
compile_extra = compiler.CompilerBase.compile_extra
def named(self, function, *arguments):
    print(function.__module__, function.__qualname__)
    return compile_extra(self, function, *arguments)
compiler.CompilerBase.compile_extra = named
rows = np.random.default_rng(0).normal(size=(50_000, 2))
for n_rows in (500, 50_000):  # on one thread, and shared
    GaussianMixture(2, tol=0.1, random_state=0).fit(rows[:n_rows]).predict(rows[:n_rows])
"""


@pytest.mark.slow
def test_a_process_that_finds_a_cache_compiles_nothing(tmp_path):
    environment = os.environ | {"FASTGMM_CACHE": "1"}
    environment.setdefault("NUMBA_CACHE_DIR", str(tmp_path))
    command = [sys.executable, "-c", NAME_COMPILED]

    def compiled():
        found = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        return found.stdout

    compiled()
    assert compiled() == ""


@pytest.mark.slow
def test_an_edit_in_a_called_file_compiles_the_kernel_again(tmp_path):
    without = shutil.ignore_patterns("__pycache__")  # where kernels may be kept, too
    shutil.copytree(Path(fastgmm.__file__).parent, tmp_path / "fastgmm", ignore=without)
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "FASTGMM_CACHE": "1",
    }

    def misses():
        command = [sys.executable, "-c", COUNT_MISSES]
        found = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return int(found.stdout)

    assert misses() == 1
    assert misses() == 0
    kernels = tmp_path / "fastgmm" / "kernels"
    path = kernels / "simd" / "vectors.py"
    text = path.read_text()
    path.write_text(text + "# changed\n")
    assert misses() == 1
    times = path.stat()
    path.write_text(text + "# changes\n")  # of the same size, and of the same time
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert misses() == 1
    for each in kernels.rglob("*.py"):
        os.utime(each)
    assert misses() == 0
    assert len(list(tmp_path.rglob("*.nbi"))) == 1  # of old stamps nothing is left


WITHOUT_A_FOLDER = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []  # as where nothing can be written
import numpy as np
from fastgmm.kernels.softmax import normalise
densities = np.zeros((2, 8))
normalise(densities, np.ones(8), np.zeros(1))
print(densities.sum())
"""


@pytest.mark.slow
def test_kernels_compile_in_memory_where_no_folder_can_be_written():
    command = [sys.executable, "-c", WITHOUT_A_FOLDER]
    environment = os.environ | {"FASTGMM_CACHE": "1"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "8.0", found.stderr


def test_a_piece_is_callable_from_python_before_and_after_a_kernel_has_compiled_it():
    @jit.inline
    def doubled(number):
        return 2.0 * number

    @numba.njit
    def kernel(number):
        return doubled(number) + 1.0

    assert doubled(3.0) == 6.0
    assert kernel(3.0) == 7.0
    assert doubled(4.0) == 8.0
    assert list(doubled.overloads) == [(numba.float64,)]
