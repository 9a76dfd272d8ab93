"""Nothing as long as the data is made in a fit, nor in predict, score and score_samples."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import warnings
import numpy as np
from fastgmm import GaussianMixture

def peak():
    with open("/proc/self/status") as lines:
        line = next(line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

n_rows, covariance_type, init_params, method = int(sys.argv[1]), *sys.argv[2:]
model = GaussianMixture(
    20, covariance_type=covariance_type, init_params=init_params, max_iter=2, random_state=0
)
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
small = rng.normal(size=(200_000, 10))
model.fit(small)  # libraries, compiled code and threads are there from here on
getattr(model, method)(small)
small = None
rows = np.empty((n_rows, 10))
for start in range(0, n_rows, 100_000):  # draw it without a copy of its length
    part = rows[start : start + 100_000]
    rng.standard_normal(out=part)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak so far is forgotten
before = peak()
getattr(model, method)(rows)
print(peak() - before)
"""

ROWS = 1_000_000
RESULT_BYTES = {"fit": 0, "predict": 8 * ROWS, "score": 0, "score_samples": 8 * ROWS}


@pytest.mark.parametrize(
    ("covariance_type", "init_params", "method"),
    [
        ("full", "auto", "fit"),
        ("tied", "kmeans", "fit"),
        ("diag", "random", "fit"),
        ("spherical", "k-means++", "fit"),
        ("full", "random_from_data", "predict"),
        ("full", "random_from_data", "score"),
        ("full", "random_from_data", "score_samples"),
    ],
)
def test_peak_memory_stays_below_the_promise(covariance_type, init_params, method):
    # an n x K array of these rows would take 160 MB
    arguments = [str(ROWS), covariance_type, init_params, method]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    above = int(done.stdout) - RESULT_BYTES[method]
    assert above < 60e6, f"{above / 1e6:.0f} MB above the array"
