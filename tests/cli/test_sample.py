"""fastgmm sample: the rows that the estimator draws."""

from __future__ import annotations

import pytest
from cli.commands import READ, run
from numpy.testing import assert_allclose

from fastgmm.estimators.model_file import load


@pytest.mark.parametrize("suffix", READ)
def test_sample_draws_the_rows_of_the_estimator(model, tmp_path, suffix):
    run("sample", model, "-n", 50, "--seed", 3, "-o", tmp_path / f"out{suffix}")
    found = READ[suffix](tmp_path / f"out{suffix}")
    assert list(found) == ["a", "b"]
    assert_allclose(found, load(model).set_params(random_state=3).sample(50)[0], rtol=1e-12)
