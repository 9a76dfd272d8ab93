"""fastgmm score: the mean log-likelihood, and that of each row."""

from __future__ import annotations

import pandas as pd
from cli.commands import run
from numpy.testing import assert_allclose

from fastgmm.estimators.model_file import load


def test_score_prints_the_mean_and_writes_every_row(data, model, frame, tmp_path):
    expected = load(model).score_samples(frame[["a", "b"]])
    alone = run("score", model, data)
    both = run("score", model, data, "-o", tmp_path / "out.parquet")
    assert f"mean log-likelihood {expected.mean():.9g} of 600 rows" in alone.stdout
    assert alone.stdout.strip() in both.stdout
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert_allclose(found["log_likelihood"], expected, rtol=1e-12)
