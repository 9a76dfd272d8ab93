"""A sweep over twenty numbers of components reads its file a few times, not once for each."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import fastgmm
from fastgmm.sources.formats import parquet

N_ROWS, N_FEATURES = 30_000, 3


@pytest.fixture
def path(tmp_path):
    """A Parquet file of five clusters in several row groups."""
    pa = pytest.importorskip("pyarrow")
    parquet_file = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(5, N_FEATURES)) * 6.0
    rows = middles[rng.integers(5, size=N_ROWS)] + rng.normal(size=(N_ROWS, N_FEATURES))
    table = pa.table({f"x{j}": rows[:, j] for j in range(N_FEATURES)})
    path = tmp_path / "rows.parquet"
    parquet_file.write_table(table, path, row_group_size=6000)
    return path


@pytest.fixture
def reads(monkeypatch):
    """How often files were opened, and how many bytes were read of them."""
    found = {"openings": 0, "bytes": 0}
    files = ExitStack()  # pyarrow leaves open what it has not opened itself
    pyarrow_parquet = pytest.importorskip("pyarrow.parquet")

    class Counted:
        """A file that counts what is read of it."""

        closed = False

        def __init__(self, path):
            self.file = files.enter_context(open(path, "rb"))  # noqa: SIM115

        def read(self, size=-1):
            data = self.file.read(size)
            found["bytes"] += len(data)
            return data

        def __getattr__(self, name):
            return getattr(self.file, name)

    def counted(file):
        found["openings"] += 1
        return pyarrow_parquet.ParquetFile(
            Counted(file.path), buffer_size=parquet.BUFFER_BYTES, pre_buffer=False
        )

    monkeypatch.setattr(parquet, "_open", counted)
    with files:
        yield found


def test_the_file_is_read_as_often_as_the_slowest_candidate_needs(path, reads, monkeypatch):
    monkeypatch.setattr(
        "fastgmm.passes.subsample.SAMPLE_ROWS", 5_000
    )  # starts are not what is looked at
    table = fastgmm.select(str(path), range(1, 21), "full", random_state=0).table
    n_passes = int(table["n_passes"].max())
    assert len(table["bic"]) == 20
    # the footer, twice; the sample; the criteria; where a curve dips, up to three passes that mend
    most = n_passes + 2 + 2 + 3
    assert reads["openings"] <= most
    size = Path(path).stat().st_size
    # a pass reads what the file holds once, and the ends of row groups again with a buffer
    assert reads["bytes"] <= 1.1 * most * size
    assert reads["bytes"] >= n_passes * 0.9 * size
    assert most < table["n_passes"].sum() / 3
