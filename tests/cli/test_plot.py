"""fastgmm plot draws models on the command line, and fastgmm score marks outliers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli.commands import run
from matplotlib import image
from numpy.testing import assert_array_equal

from fastgmm.cli.plot import KINDS
from fastgmm.estimators.gaussian_mixture import GaussianMixture

NAMES = ["a", "b", "c, d"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3))
    rows[:150] += 5.0
    return pd.DataFrame(rows, columns=NAMES)


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot")
    frame.assign(text="no feature").to_csv(folder / "rows.csv", index=False)
    GaussianMixture(2, random_state=0).fit(frame).save(folder / "model.npz")
    return folder


@pytest.fixture
def draw(folder, tmp_path):
    """A function that draws, and returns the picture and what was said."""

    def drawn(*arguments, data=True):
        out = tmp_path / "out.png"
        rows = [folder / "rows.csv"] if data else []
        said = run("plot", folder / "model.npz", *rows, "-o", out, *arguments).stdout
        return image.imread(out), said

    return drawn


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_picture_with_ink_on_it(draw, kind):
    features = {"histogram": ["--features", "b"], "clusters": ["--features", "2,a"]}.get(kind, [])
    picture, said = draw("--kind", kind, *features)
    assert said.startswith(f"{kind} written to")
    assert picture.shape[1] >= 900
    assert (picture[..., :3].min(axis=2) < 0.9).mean() > 0.01


@pytest.mark.parametrize("kind", ["trace", "density"])
def test_some_pictures_need_no_rows(draw, kind):
    assert draw("--kind", kind, data=False)[1].startswith(kind)


@pytest.mark.parametrize(
    ("features", "kind"), [(None, "corner"), ("a", "histogram"), ('a,"c, d"', "clusters")]
)
def test_what_is_drawn_follows_from_the_number_of_features(draw, features, kind):
    arguments = [] if features is None else ["--features", features]
    assert draw(*arguments)[1].startswith(kind)


def test_features_that_are_given_several_times_add_up(draw):
    once, twice = draw("--features", 'a,"c, d"'), draw("--features", "a", "--features", '"c, d"')
    assert once[1].startswith("clusters")
    assert twice[1] == once[1]
    assert_array_equal(twice[0], once[0])


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_model_or_rows_serve_for_both(kind, folder, frame, tmp_path):
    np.save(tmp_path / "rows.npy", frame.to_numpy())
    run("fit", tmp_path / "rows.npy", "-k", 2, "--seed", 0, "-o", tmp_path / "nameless.npz")
    features = {"histogram": ["--features", "b"], "clusters": ["--features", "2,a"]}.get(kind, [])
    pairs = [("nameless.npz", folder / "rows.csv")] if kind != "trace" else []
    for model, rows in [*pairs, (folder / "model.npz", tmp_path / "rows.npy")]:
        columns = [] if rows.suffix == ".npy" else ["--columns", 'a,b,"c, d"']
        out = tmp_path / "out.png"
        said = run("plot", tmp_path / model, rows, "--kind", kind, *features, *columns, "-o", out)
        assert not said.stderr


def test_the_suffix_says_the_format(folder, tmp_path):
    for suffix, start in {".svg": b"<?xml", ".pdf": b"%PDF"}.items():
        out = tmp_path / f"trace{suffix}"
        run("plot", folder / "model.npz", "--kind", "trace", "-o", out)
        assert out.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rows.csv", "-o", "out.png", "--kind", "cluster"], "did you mean 'clusters'?"),
        (["rows.csv", "-o", "out.jpg"], "does not end in .png, .pdf or .svg"),
        (["-o", "out.png"], "needs rows; name a file of them"),
        (["rows.csv", "-o", "out.png", "--features", "a,z"], "which are 0 to 2, or 'a', 'b'"),
        (["rows.csv", "-o", "out.png", "--features", "a,,b"], "leaves a name out"),
        (["rows.csv", "-o", "out.png", "--kind", "histogram"], "choose it with --features"),
        (["rows.csv", "-o", "out.png", "--kind", "trace", "--features", "a"], "leave out"),
        (["rows.csv", "-o", "out.png", "--kind", "density", "--features", "a"], "two features"),
        (["rows.csv", "-o", "out.png", "--kind", "scores", "--contamination", "2"], "no share"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(folder, arguments, sentence, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    lines = run("plot", "model.npz", *arguments, code=2).stderr.splitlines()
    assert len(lines) == 1
    assert sentence in lines[0]
    assert sorted(folder.iterdir()) == before


def test_score_marks_the_share_of_outliers_that_is_asked_for(folder, frame, tmp_path):
    out = tmp_path / "scores.parquet"
    model = GaussianMixture(2, random_state=0).fit(frame)
    said = run(
        *("score", folder / "model.npz", folder / "rows.csv"),
        *("--contamination", "0.05", "-o", out),
    ).stdout
    threshold = model.threshold(frame, 0.05)
    assert f"threshold {threshold:.9g}: 0.05 of the rows lie below" in said
    found = pd.read_parquet(out)
    assert_array_equal(found["outlier"], model.score_samples(frame) < threshold)
    assert found["outlier"].sum() == 20


def test_score_refuses_what_is_no_share(folder):
    result = run("score", folder / "model.npz", folder / "rows.csv", "--contamination", "0", code=2)
    assert "is no share of the rows" in result.stderr


def test_a_model_in_the_place_of_the_rows_is_told_the_order(folder, tmp_path):
    said = run("plot", folder / "rows.csv", folder / "model.npz", "-o", tmp_path / "a.png", code=2)
    assert "model.npz' is no file of rows; the order is MODEL, then DATA" in said.stderr
