"""A table, its file and a model of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.commands import written

from fastgmm.estimators.gaussian_mixture import GaussianMixture


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 2)) @ [[1.0, 0.4], [0.0, 0.7]]
    rows[:240] += [9.0, -6.0]
    rng.shuffle(rows)
    table = pd.DataFrame(rows, columns=["a", "b"])
    return table.assign(w=rng.integers(0, 3, size=600), note="text")


@pytest.fixture(params=[".parquet", ".csv"])
def data(request, tmp_path, frame):
    return written(frame, tmp_path / f"data{request.param}")


@pytest.fixture
def model(tmp_path, frame):
    path = tmp_path / "model.npz"
    GaussianMixture(2, random_state=0).fit(frame[["a", "b"]]).save(path)
    return path
