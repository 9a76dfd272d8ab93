"""A folder with room for 64 kB: what does not fit is refused, and what was there stays."""

import contextlib
import io
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

from fastgmm import CheckpointWarning, GaussianMixture
from fastgmm.cli import main

room, elsewhere, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
wide = rng.normal(size=(400, 64))
SETTINGS = {"n_components": 2, "max_iter": 4, "tol": 0.0, "init_params": "random_from_data"}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # four passes are too few
    small = GaussianMixture(**SETTINGS, random_state=0).fit(wide[:, :2])
    expected = GaussianMixture(**SETTINGS, random_state=0).fit(wide)
np.save(elsewhere / "rows.npy", rng.normal(size=(100_000, 2)))
small.save(elsewhere / "model.npz")
if limit:  # of a file's bytes: where no disk can be mounted
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def left():
    return {path.name: path.read_bytes() for path in room.iterdir()}


small.save(room / "model.npz")
before = left()
try:
    expected.save(room / "model.npz")
except OSError as error:
    print("save:", error.strerror)
assert left() == before

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = GaussianMixture(**SETTINGS, random_state=0)
    model.fit(wide, checkpoint=room / "run.ckpt")
said = [str(each.message) for each in caught if issubclass(each.category, CheckpointWarning)]
print("fit:", said[0])
assert np.array_equal(model.means_, expected.means_)
assert left() == before

for suffix in ("npy", "csv", "parquet"):
    files = [elsewhere / "model.npz", elsewhere / "rows.npy", "-o", room / f"out.{suffix}"]
    sys.argv = ["fastgmm", "predict", "--proba", *map(str, files)]
    with contextlib.redirect_stderr(io.StringIO()) as complaints:
        try:
            main()
        except SystemExit as end:
            code = end.code
    print(f"predict {suffix}:", code, complaints.getvalue().strip())
    assert left() == before
