"""Nothing as long as the data is made in a fit, nor in predict, score and score_samples.

Nor anything as long as its sample times the components, nor blocks of more bytes where rows are
wide.
"""

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


@pytest.mark.slow
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


SHAPES = """
import resource
import sys
import warnings
import numpy as np
from fastgmm import GaussianMixture, open_source
from fastgmm.passes import totals
from fastgmm.mixture.parameters import Parameters

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)

def many(count):
    rows = np.repeat(10 * rng.normal(size=(100, 4)), 200, axis=0) + rng.normal(size=(20_000, 4))
    return lambda: GaussianMixture(
        count, covariance_type="diag", random_state=0, max_iter=1, init_params=sys.argv[2]
    ).fit(rows)

def wide(count):
    rows = np.zeros((13_000, count), np.uint8)
    rows[:] = rng.integers(0, 255, count, np.uint8)
    rows += np.arange(13_000, dtype=np.uint8)[:, None]
    source = open_source(lambda: (rows[at : at + 100] for at in range(0, 13_000, 100)))
    return lambda: GaussianMixture(1, covariance_type="diag", max_iter=1).fit(source)

def criteria(count):
    rows = rng.normal(size=(100_000, 4))
    parameters = Parameters.from_covariances(
        "spherical", np.full(count, 1 / count), rng.normal(size=(count, 4)), np.ones(count)
    )
    return lambda: totals(open_source(rows), [parameters])

make = {"many": many, "wide": wide, "criteria": criteria}[sys.argv[1]]
make(3)()  # libraries, compiled code and threads are there from here on
work = make(int(sys.argv[3]))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak so far is forgotten

def peak():
    with open("/proc/self/status") as lines:
        line = next(line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

before = peak()
work()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "most"),
    [
        # an array (K, rows) of the sample would be 48 MB, and there were eight of them at once
        (("many", "auto", "300"), 110e6),
        (("many", "random", "300"), 60e6),
        # three blocks of 6144 rows would be 442 MB; a sample is 16 MB
        (("wide", "auto", "3000"), 220e6),
        # responsibilities of a block would be 236 MB
        (("criteria", "auto", "300"), 60e6),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, tuple) else None,
)
def test_peak_memory_of_many_components_and_of_wide_rows_is_bounded(shape, most):
    done = subprocess.run(
        [sys.executable, "-c", SHAPES, *shape], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < most, f"{int(done.stdout) / 1e6:.0f} MB"
