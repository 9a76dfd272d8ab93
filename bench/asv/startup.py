"""What a user waits for before the first result: imports, and the first fit of a new process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

IMPORT = """
from time import perf_counter
begin = perf_counter()
{statement}
print(perf_counter() - begin)
"""

FIRST_FIT = """
from time import perf_counter
import numpy as np
from fastgmm import GaussianMixture
rows = np.random.default_rng(0).normal(size=(1000, 2))
begin = perf_counter()
GaussianMixture(2, tol=0.1, random_state=0).fit(rows)
print(perf_counter() - begin)
"""


def seconds(code, cache=None):
    """Seconds that a new process prints, with a cache folder of its own if one is given."""
    environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": cache})
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(found.stdout)


class Import:
    """Importing: the package, and its estimator (for the most part, scikit-learn)."""

    params = ["import fastgmm", "from fastgmm import GaussianMixture", "import sklearn.mixture"]
    param_names = ["statement"]
    unit = "seconds"

    def track_import(self, statement):
        return min(seconds(IMPORT.format(statement=statement)) for _ in range(3))


class FirstFit:
    """The first fit of a process, imports apart: compiling, or loading what was compiled."""

    unit = "seconds"
    timeout = 300

    def setup(self):
        self.cache = tempfile.TemporaryDirectory()

    def teardown(self):
        self.cache.cleanup()

    def track_empty_cache(self):
        return seconds(FIRST_FIT, self.cache.name)

    def track_warm_cache(self):
        seconds(FIRST_FIT, self.cache.name)
        return seconds(FIRST_FIT, self.cache.name)
