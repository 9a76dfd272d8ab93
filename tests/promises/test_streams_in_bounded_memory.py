"""A fit of a file takes no more memory than a few blocks, and no more address space than that."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import resource, sys, warnings
import numpy as np
from fastgmm import GaussianMixture

def status(name):
    with open("/proc/self/status") as lines:
        return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

path, small, room = *sys.argv[1:3], int(sys.argv[3])
warnings.simplefilter("ignore")
model = GaussianMixture(8, max_iter=2, tol=0.0, random_state=0)
model.fit(small)  # libraries, compiled code and threads are there from here on
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + room,) * 2)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak so far is forgotten
before = status("VmHWM")
model.fit(path)
print(status("VmHWM") - before)
"""

PART = np.random.default_rng(0).normal(size=(125_000, 10))  # 10 MB
N_PARTS = 20
# three blocks of 7.9 MB, a chunk, a sample of 50 000 rows with what k-means needs of it; what one
# row more would cost can only show where memory grows with the file, which is of 200 MB
PEAK = 70e6
ROOM = 150_000_000


def write_npy(path, n_parts):
    with open(path, "wb") as file:
        shape = (n_parts * len(PART), 10)
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(n_parts):
            PART.tofile(file)


def write_parquet(path, n_parts):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({f"x{j}": PART[:, j] for j in range(10)})
    with parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(n_parts):
            writer.write_table(table)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "write"), [("npy", write_npy), ("parquet", write_parquet)])
def test_a_file_of_200_mb_is_fitted_within_70(tmp_path, suffix, write):
    long, short = tmp_path / f"long.{suffix}", tmp_path / f"short.{suffix}"
    write(long, N_PARTS)
    write(short, 2)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, long, short, str(ROOM)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < PEAK, f"{int(done.stdout) / 1e6:.0f} MB"
