"""Import fastgmm in a sub-interpreter, before and after the main one has."""

import importlib
import os
import sys

for name in ("_interpreters", "_xxsubinterpreters"):  # Python 3.13's; 3.11's
    try:
        interpreters = importlib.import_module(name)
        break
    except ImportError:
        continue

ATTEMPT = f"""
import os, sys
sys.path[:] = {sys.path!r}
try:
    from fastgmm import GaussianMixture
except ImportError as error:
    os.write(1, f"refused: {{error}}\\n".encode())
"""


def attempt():
    other = interpreters.create()
    failed = interpreters.run_string(other, ATTEMPT)
    assert failed is None, failed
    interpreters.destroy(other)


if __name__ == "__main__":
    attempt()
    fastgmm = importlib.import_module("fastgmm")
    attempt()
    rows = [[0.0, 1.0], [2.0, 3.0], [4.0, 4.0], [9.0, 9.5]]
    model = fastgmm.GaussianMixture(1, reg_covar=0.1, random_state=0).fit(rows)
    os.write(1, f"the main one fits {model.n_features_in_} features\n".encode())
