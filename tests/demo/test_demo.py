"""The demo's stories are true, and fit on one screen."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from typer.testing import CliRunner

mpl.use("Agg")

from matplotlib import image

from fastgmm.cli.app import app
from fastgmm.demo import blobs, long_clusters, million_rows


def test_bic_is_least_at_the_four_blobs_of_the_article():
    found = blobs.sweep()
    assert found.n_components == list(range(1, 21))
    assert found.least_bic == 4
    assert len(found.best.weights_) == 4


def test_the_mixture_is_right_where_k_means_is_wrong():
    found = long_clusters.compare()
    assert found.kmeans_index < 0.8
    assert found.mixture_index > 0.99


@pytest.mark.slow
def test_the_race_compares_the_same_fit():
    found = million_rows.race(60_000)
    assert (found.n_rows, found.n_part) == (60_000, 50_000)
    assert found.model.n_iter_ == million_rows.N_PASSES
    assert found.difference < 1e-9
    assert found.rate == pytest.approx(60_000 * million_rows.N_PASSES / found.seconds)


def test_the_file_of_the_race_holds_the_components_it_says(tmp_path):
    million_rows.write(tmp_path / "rows.npy", 1000)
    rows = np.load(tmp_path / "rows.npy")
    assert rows.shape == (1000, million_rows.N_FEATURES)
    assert np.isfinite(rows).all()
    assert len(np.unique(rows, axis=0)) == 1000


@pytest.mark.slow
def test_the_whole_demo_fits_on_one_screen_and_leaves_its_pictures(tmp_path):
    folder = tmp_path / "pictures"
    result = CliRunner().invoke(app, ["demo", "--out", str(folder), "--rows", "5000"])
    assert result.exit_code == 0, result.output
    assert "least BIC at 4 components" in result.stdout
    assert "times as fast" in result.stdout
    assert "seconds in all" in result.stdout
    assert folder.name in result.stdout
    assert len(result.stdout.splitlines()) <= 40
    pictures = sorted(folder.iterdir())
    assert [each.name[0] for each in pictures] == ["1", "2", "3"]
    for picture in pictures:
        assert image.imread(picture).std() > 0.05  # not blank


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert "file" in result.stderr
    assert len(result.stderr.splitlines()) == 1
