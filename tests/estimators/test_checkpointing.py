"""A fit that was ended anywhere goes on from its checkpoint, and ends with the same bits."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from stops import disturbed

from fastgmm import ConjugatePrior, load, select
from fastgmm.errors import CheckpointError, CheckpointWarning, DegenerateComponentWarning
from fastgmm.estimators import GaussianMixture
from fastgmm.estimators.climb import Climb
from fastgmm.estimators.fitted_attributes import FITTED
from fastgmm.storage import archive
from fastgmm.storage import checkpoint as checkpoints

TYPES = ("full", "tied", "diag", "spherical")
SETTINGS = {"n_components": 4, "n_init": 3, "tol": 1e-9, "max_iter": 12, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


@pytest.fixture
def rows(rng):
    """Three groups, so that four components need their time."""
    return rng.normal(size=(400, 3)) + 3.0 * rng.integers(3, size=(400, 1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def assert_same(found, expected, folder):
    for name in FITTED:
        assert_array_equal(getattr(found, name, None), getattr(expected, name, None), name)
    found.save(folder / "found.npz")
    expected.save(folder / "expected.npz")
    assert (folder / "found.npz").read_bytes() == (folder / "expected.npz").read_bytes()


def check(X, path, monkeypatch, every=5, **settings):
    """Disturb a fit every few passes until it ends, and compare it with one that was not."""
    settings = SETTINGS | settings
    expected = GaussianMixture(**settings).fit(X)
    times = 0
    for _ in range(100):
        found = GaussianMixture(**settings)

        def fit(model=found):
            model.fit(X, checkpoint=path)

        if not disturbed(fit, every, monkeypatch):
            break
        times += 1
        assert not hasattr(found, "means_")
    assert times > 1
    assert_same(found, expected, path.parent)
    again = GaussianMixture(**settings)
    assert not disturbed(lambda: again.fit(X, checkpoint=path), 1, monkeypatch)  # no pass at all
    assert_same(again, expected, path.parent)
    return found


def test_a_checkpoint_with_the_former_name_of_its_rounds_is_read(rows, path, monkeypatch, tmp_path):
    expected = GaussianMixture(**SETTINGS).fit(rows)
    found = GaussianMixture(**SETTINGS)
    assert disturbed(lambda: found.fit(rows, checkpoint=path), 5, monkeypatch)
    header, arrays = archive.read(path)
    header["n_repairs"] = header.pop("n_rounds")
    archive.write(path, header, arrays)
    assert_same(found.fit(rows, checkpoint=path), expected, tmp_path)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_ends_with_the_same_bits(rows, path, monkeypatch, kind):
    check(rows, path, monkeypatch, covariance_type=kind)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("prior", [None, 2.0, ConjugatePrior(4.0, mean_precision=0.5)])
def test_every_prior_ends_with_the_same_bits(rows, path, monkeypatch, kind, prior):
    check(rows, path, monkeypatch, covariance_type=kind, prior=prior)


def test_single_precision_ends_with_the_same_bits(rows, path, monkeypatch):
    model = check(rows.astype(np.float32), path, monkeypatch)
    assert model.means_.dtype == np.float32


@pytest.mark.parametrize("start", ["kmeans", "random_from_data"])
def test_other_starts_end_with_the_same_bits(rows, path, monkeypatch, start):
    check(rows, path, monkeypatch, init_params=start)


def test_an_accelerated_fit_ends_with_the_same_bits(rows, path, monkeypatch):
    check(rows, path, monkeypatch, acceleration="squarem", every=3)


def test_a_fit_accelerated_late_ends_with_the_same_bits(rows, path, monkeypatch):
    settings = {"tol": 1e-13, "max_iter": 60}
    check(rows, path, monkeypatch, acceleration="auto", every=17, **settings)


def test_relative_regularisation_ends_with_the_same_bits(rows, path, monkeypatch):
    check(rows, path, monkeypatch, reg_covar_relative=True)


def test_a_given_start_ends_with_the_same_bits(rows, path, monkeypatch):
    start = {"weights_init": [0.5, 0.5], "means_init": np.eye(2, 3), "tol": 0.0}
    check(
        rows, path, monkeypatch, n_components=2, precisions_init=[np.eye(3)] * 2, n_init=1, **start
    )


@pytest.mark.parametrize("ending", ["npy", "csv", "parquet"])
def test_files_end_with_the_same_bits(rows, path, monkeypatch, ending):
    data = path.parent / f"rows.{ending}"
    if ending == "npy":
        np.save(data, rows)
    else:
        table = pd.DataFrame(rows, columns=["a", "b", "c"])
        getattr(table, f"to_{ending}")(data, index=False)
    check(str(data), path, monkeypatch)


def test_weighted_rows_end_with_the_same_bits(rows, path, monkeypatch, rng):
    weights = rng.uniform(0.0, 2.0, size=len(rows))
    expected = GaussianMixture(**SETTINGS).fit(rows, sample_weight=weights)

    def fit():
        return GaussianMixture(**SETTINGS).fit(rows, sample_weight=weights, checkpoint=path)

    assert disturbed(fit, 4, monkeypatch)
    assert_same(fit(), expected, path.parent)
    with pytest.raises(CheckpointError, match="the weights was given and is none"):
        GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)


def test_repairs_end_with_the_same_bits(path, monkeypatch):
    # a start whose component is on one far row is repaired, by climbs that are kept as well
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(size=(100, 2)), 6 + rng.normal(size=(100, 2)), [[90, 90]]])
    settings = {"init_params": "k-means++", "n_components": 3, "max_iter": 40, "tol": 1e-6}
    with pytest.warns(DegenerateComponentWarning):
        check(rows, path, monkeypatch, n_init=1, every=2, **settings)


def test_a_fit_without_a_seed_goes_on_as_well(rows, path, monkeypatch):
    settings = SETTINGS | {"random_state": None, "tol": 0.0}  # of 12 passes, whatever the start

    def fit():
        return GaussianMixture(**settings).fit(rows, checkpoint=path)

    assert disturbed(fit, 6, monkeypatch)
    kept = checkpoints.archive.read(path)[1]["trace_0"]
    model = fit()
    assert_array_equal(fit().means_, model.means_)  # a finished fit is returned
    assert len(kept) >= 4
    traces = checkpoints.archive.read(path)[1]
    assert_array_equal(traces["trace_0"][: len(kept)], kept)


def test_the_start_is_kept_before_the_first_pass(rows, path, monkeypatch):
    assert disturbed(lambda: GaussianMixture(**SETTINGS).fit(rows, checkpoint=path), 1, monkeypatch)
    header, arrays = checkpoints.archive.read(path)
    assert [each["outcome"] for each in header["states"]] == ["running"] * 3
    assert len(arrays["trace_0"]) == 0


def test_a_finished_fit_says_again_what_it_had_to_say(path):
    rows = np.c_[np.random.default_rng(0).normal(size=(50, 2)), np.ones(50)]
    for _ in range(2):
        with pytest.warns(DegenerateComponentWarning, match="feature 2 is constant"):
            GaussianMixture(2, random_state=0).fit(rows, checkpoint=path)


def test_a_fit_that_degenerates_does_so_again(path, monkeypatch):
    rows = np.concatenate([np.linspace(0, 1, 40), [90.0]])[:, None]
    settings = {"means_init": [[0.0], [90.0]], "reg_covar": 0.0, "weights_init": [0.5, 0.5]}
    for _ in range(2):
        with pytest.raises(ValueError, match="ill-defined"):
            GaussianMixture(2, precisions_init=[[[1.0]]] * 2, **settings).fit(rows, checkpoint=path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_components": 5}, "n_components was 4 and is 5"),
        ({"covariance_type": "diag"}, "covariance_type was full and is diag"),
        ({"tol": 0.5}, "tol was 1e-09 and is 0.5"),
        ({"max_iter": 13}, "max_iter was 12 and is 13"),
        ({"random_state": None}, "random_state was 0 and is None"),
        ({"means_init": np.eye(4, 3)}, "means_init was None and is an array"),
        ({"reg_covar": 1e-3}, "reg_covar was 1e-06 and is 0.001"),
        ({"prior": 2.0}, "prior was auto and is 2"),
    ],
)
def test_other_arguments_are_refused_by_name(rows, path, settings, said):
    GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    with pytest.raises(CheckpointError, match=f"another fit: {said}.*delete.*afresh"):
        GaussianMixture(**SETTINGS | settings).fit(rows, checkpoint=path)


def test_what_changes_no_bit_may_change(rows, path, capsys):
    GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    settings = SETTINGS | {"n_components": np.int64(4), "verbose": 1, "verbose_interval": 3}
    GaussianMixture(**settings).fit(rows, checkpoint=path)
    assert "Initialization" in capsys.readouterr().out


def test_fields_of_another_fastgmm_are_refused(rows, path):
    GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    header, arrays = archive.read(path)
    header["states"][0]["numbers"]["acceleration"]["parts"]["trust"] = 0
    archive.write(path, header, arrays)
    with pytest.raises(CheckpointError, match=r"written by another fastgmm .*'trust'"):
        GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)


def test_another_version_is_refused(rows, path, monkeypatch):
    GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    monkeypatch.setattr("fastgmm.storage.fit_identity.__version__", "99.0")
    with pytest.raises(CheckpointError, match=r"fastgmm's version was .* and is 99\.0"):
        GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)


def altered(rows, row):
    rows = rows.copy()
    rows[row, 0] += 1.0
    return rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-1], "the number of rows was 5000 and is 4999"),
        (lambda rows: rows[:, :2], "the number of features was 3 and is 2"),
        (lambda rows: rows.astype(np.float32), "the type of the rows was float64 and is float32"),
        (lambda rows: pd.DataFrame(rows, columns=[*"abc"]), "names .* was 0, 1, 2 and is a, b, c"),
        (lambda rows: altered(rows, 3), "the checksum of the first rows was"),
        (lambda rows: altered(rows, 4999), "other rows follow the first"),
    ],
)
def test_other_rows_are_refused(rng, path, change, said):
    rows = rng.normal(size=(5000, 3))
    settings = {"n_components": 2, "max_iter": 2, "random_state": 0}
    GaussianMixture(**settings).fit(rows, checkpoint=path)
    with pytest.raises(CheckpointError, match=said):
        GaussianMixture(**settings).fit(change(rows), checkpoint=path)


def test_rows_appended_to_a_file_are_noticed(rng, path):
    rows = pd.DataFrame(rng.normal(size=(5000, 2)), columns=["a", "b"])
    data = path.parent / "rows.csv"
    rows.to_csv(data, index=False)
    settings = {"n_components": 2, "max_iter": 2, "random_state": 0}
    GaussianMixture(**settings).fit(data, checkpoint=path)
    pd.concat([rows, rows[:7]]).to_csv(data, index=False)
    with pytest.raises(ValueError, match=r"rows in this pass and 5000|other rows"):
        GaussianMixture(**settings).fit(data, checkpoint=path)


def test_a_file_may_be_moved_and_read_from_memory(rows, path, monkeypatch):
    np.save(path.parent / "rows.npy", rows)
    expected = GaussianMixture(**SETTINGS).fit(rows)
    moved = path.parent / "moved.npy"
    fit = GaussianMixture(**SETTINGS).fit
    assert disturbed(lambda: fit(path.parent / "rows.npy", checkpoint=path), 4, monkeypatch)
    (path.parent / "rows.npy").rename(moved)
    assert disturbed(lambda: fit(moved, checkpoint=path), 4, monkeypatch)
    assert_same(GaussianMixture(**SETTINGS).fit(rows, checkpoint=path), expected, path.parent)


def test_a_warm_start_has_a_checkpoint_of_its_own(rows, path):
    model = GaussianMixture(**SETTINGS | {"warm_start": True}).fit(rows, checkpoint=path)
    with pytest.raises(CheckpointError, match="the start"):
        model.fit(rows, checkpoint=path)
    other = path.parent / "other.ckpt"
    expected = load_again(model, path.parent).fit(rows)
    found = load_again(model, path.parent).fit(rows, checkpoint=other)
    assert_same(found, expected, path.parent)
    assert_same(load_again(model, path.parent).fit(rows, checkpoint=other), expected, path.parent)


def load_again(model, folder):
    model.save(folder / "model.npz")
    return load(folder / "model.npz")


def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_used(rows, path, monkeypatch):
    expected = GaussianMixture(**SETTINGS).fit(rows)
    fit = GaussianMixture(**SETTINGS).fit
    assert disturbed(lambda: fit(rows, checkpoint=path), 6, monkeypatch)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.warns(CheckpointWarning, match=r"truncated.*goes on from.*previous"):
        found = GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    assert_same(found, expected, path.parent)


def test_every_pass_is_written_and_what_has_reached_the_disk_stays(rows, path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHARE_OF_TIME", 1e-9)  # the disk is waited for once
    write, climb_pass = checkpoints.Checkpoint.write, Climb._pass
    events, written, older, synced = [], [], set(), []
    fsync = os.fsync

    def counting(climb, candidates):
        events.append("pass")
        return climb_pass(climb, candidates)

    def looking(self, *arguments, **keywords):
        write(self, *arguments, **keywords)
        events.append("write")
        written.append(len(archive.read(path)[1]["trace_0"]))
        if len(written) > 1:
            older.add(path.with_name("run.ckpt.previous").read_bytes())

    monkeypatch.setattr(Climb, "_pass", counting)
    monkeypatch.setattr(checkpoints.Checkpoint, "write", looking)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(fsync(descriptor)))
    model = GaussianMixture(**SETTINGS | {"n_init": 1}).fit(rows, checkpoint=path)
    assert events == ["pass", "write"] * events.count("pass") + ["write"], events
    assert written[-1] == model.n_iter_
    assert len(older) == 1  # the first, which alone was waited for before the end
    assert len(synced) == 4  # of two writes, the first and the last: file and folder


def changed_late(rows):
    """The same rows but for one number of one of the last."""
    other = rows.copy()
    other[-7, 1] += 1e-9
    return other


def complete_start(n_components, n_features):
    return {
        "weights_init": np.full(n_components, 1.0 / n_components),
        "means_init": np.arange(n_components * n_features).reshape(n_components, -1) / 3.0,
        "precisions_init": np.ones((n_components, n_features)),
    }


@pytest.mark.parametrize("form", ["array", "file", "chunks"])
@pytest.mark.parametrize("start", ["given", "of its own", "last"])
def test_one_number_of_many_rows_is_noticed_after_any_start(rng, path, tmp_path, form, start):
    rows = rng.normal(size=(120_000, 2))  # of which a sample has 50 000

    def form_of(rows, name):
        if form == "file":
            np.save(tmp_path / name, rows)
            return tmp_path / name
        return rows if form == "array" else lambda: np.array_split(rows, 7)

    settings = {"covariance_type": "diag", "max_iter": 2, "random_state": 0}
    if start == "given":
        settings |= complete_start(2, 2)
    before = GaussianMixture(2, **settings).fit(rows)

    def fit(rows, name):
        model = GaussianMixture(2, **settings)
        if start == "last":
            model = GaussianMixture(2, warm_start=True, **settings)
            model._publish(
                {name: getattr(before, name) for name in FITTED if hasattr(before, name)}
            )
        return model.fit(form_of(rows, name), checkpoint=path)

    first = fit(rows, "a.npy")
    with pytest.raises(CheckpointError, match="other rows follow the first"):
        fit(changed_late(rows), "b.npy")
    assert_array_equal(fit(rows, "c.npy").means_, first.means_)


def test_one_number_of_many_rows_is_noticed_by_a_search(rng, path):
    rows = rng.normal(size=(120_000, 2))
    settings = {"n_components": 1, "covariance_type": "diag", "random_state": 0}
    select(rows, checkpoint=path, **settings)
    with pytest.raises(CheckpointError, match="other rows follow the first"):
        select(changed_late(rows), checkpoint=path, **settings)


def test_one_weight_of_many_is_noticed(rng, path):
    rows, weights = rng.normal(size=(120_000, 2)), rng.uniform(0.5, 2.0, 120_000)
    model = GaussianMixture(2, covariance_type="diag", max_iter=2, **complete_start(2, 2))
    model.fit(rows, sample_weight=weights, checkpoint=path)
    weights[-7] *= 1.0 + 1e-9
    with pytest.raises(CheckpointError, match="other rows follow the first"):
        model.fit(rows, sample_weight=weights, checkpoint=path)
