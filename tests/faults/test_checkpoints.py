"""Kills, full disks, damage and odd files: the newest sound checkpoint is gone on from."""

from __future__ import annotations

import errno
import os
import resource
import signal
import warnings

import numpy as np
import pytest
from faults import processes
from numpy.testing import assert_array_equal

from fastgmm.errors import CheckpointError, CheckpointWarning
from fastgmm.estimators import GaussianMixture
from fastgmm.storage import archive
from fastgmm.storage import checkpoint as checkpoints

# FASTGMM_KILLS=1000 takes 5 to 10 minutes
KILLS = int(os.environ.get("FASTGMM_KILLS", "20"))
SETTINGS = {"n_components": 6, "tol": 0.0, "max_iter": 12, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


@pytest.fixture(autouse=True)
def _every_write_reaches_the_disk(monkeypatch):
    monkeypatch.setattr(checkpoints, "SHARE_OF_TIME", 1.0)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)  # six groups: noise would be fitted with components of few rows
    return rng.normal(size=(3000, 4)) + 4.0 * rng.normal(size=(6, 4))[rng.integers(6, size=3000)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


@pytest.mark.slow
@pytest.mark.deadline(240 + KILLS)
@pytest.mark.parametrize(("what", "wanted"), [("fit", KILLS), ("select", -(-KILLS // 4))])
def test_fits_that_are_killed_again_and_again_end_with_the_same_bits(what, wanted, tmp_path):
    printed = processes.run("killed", what, tmp_path, wanted, timeout=180 + KILLS)
    kills, ends, _ = map(int, printed.split())
    assert kills >= wanted
    assert ends >= 1


# Functions that a write calls, and at which call: before the bytes, before they are on the disk,
# before and between the renamings, after them, and where a half-made file would be removed.
PLACES = ["_write_zip:4", "chmod:3", "fsync:3", "fsync:4", "replace:3", "replace:4", "unlink:3"]


def checkpointed(folder, model, *places):
    files = [folder / name for name in ("rows.npy", "run.ckpt", model)]
    return processes.start("checkpointed", *files, *places)


@pytest.mark.slow
def test_fits_that_are_interrupted_in_the_midst_of_a_write_go_on(tmp_path, rows):
    np.save(tmp_path / "rows.npy", rows)
    assert processes.finish(checkpointed(tmp_path, "expected.npz")) == "finished\n"
    for name in ("run.ckpt", "run.ckpt.previous"):
        (tmp_path / name).unlink()
    process = checkpointed(tmp_path, "model.npz", *PLACES)
    try:
        for place in PLACES:
            assert processes.next_line(process) == place
            process.send_signal(signal.SIGINT)
            assert processes.next_line(process) == "interrupted"
    except AssertionError:
        process.kill()
    finally:
        assert processes.finish(process) == ""
    # another process goes on where the last was interrupted
    assert processes.finish(checkpointed(tmp_path, "model.npz")) == "finished\n"
    assert (tmp_path / "model.npz").read_bytes() == (tmp_path / "expected.npz").read_bytes()


class Stop(BaseException):
    """What ends a fit, as a kill would."""


def ended_in(passes, rows, path, monkeypatch):
    """Begin a fit, and end it after some writes."""
    write, written = checkpoints.Checkpoint.write, []

    def counted(*arguments):
        write(*arguments)
        written.append(1)
        if len(written) == passes:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.Checkpoint, "write", counted)
        with pytest.raises(Stop):
            GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)


@pytest.mark.parametrize("damage", ["truncated", "zeros", "empty", "flipped"])
def test_a_newest_file_whose_data_did_not_reach_the_disk_is_told_of(
    rows, path, monkeypatch, damage
):
    expected = GaussianMixture(**SETTINGS).fit(rows)
    ended_in(5, rows, path, monkeypatch)
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "zeros": bytes(len(content)),
        "empty": b"",
        "flipped": content[:300] + bytes([content[300] ^ 1]) + content[301:],
    }
    path.write_bytes(damaged[damage])
    with pytest.warns(CheckpointWarning, match="goes on from '.*previous'"):
        found = GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    assert_array_equal(found.means_, expected.means_)
    assert found.lower_bounds_ == expected.lower_bounds_


def damages(content):
    """Truncations, flipped bits, and bytes cut out, doubled and replaced."""
    rng = np.random.default_rng(0)
    # every 13th byte: of the format, storage/test_archive.py tries every one
    for at in range(0, len(content), 13):
        yield content[:at]
        yield content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]
    for _ in range(300):
        start, end, to = rng.integers(len(content), size=3)
        yield content[:start] + content[end : end + 64] + content[to:]


def test_any_damage_is_noticed(path, monkeypatch):
    small = np.random.default_rng(0).normal(size=(40, 2))
    settings = {"covariance_type": "diag", "init_params": "random", "random_state": 0}
    GaussianMixture(2, max_iter=3, tol=0.0, **settings).fit(small, checkpoint=path)
    content, whole = path.read_bytes(), archive.read(path)
    refused = 0
    for damaged in damages(content):
        path.write_bytes(damaged)
        try:
            header, arrays = archive.read(path)
        except ValueError:
            refused += 1
            continue
        # what the zip says twice: the numbers and the header are covered by the checksum
        assert header == whole[0]
        assert arrays.keys() == whole[1].keys()
        assert all(np.array_equal(arrays[name], whole[1][name]) for name in arrays)
    assert refused > 700  # of 900


def test_a_sound_older_file_is_not_pushed_out_by_a_damaged_one(rows, path, monkeypatch):
    ended_in(5, rows, path, monkeypatch)
    path.write_bytes(b"")
    previous = path.with_name("run.ckpt.previous")
    sound = previous.read_bytes()
    with pytest.warns(CheckpointWarning):
        ended_in(1, rows, path, monkeypatch)
    assert previous.read_bytes() == sound
    assert archive.read(path)[0]["identity"]


def test_two_damaged_files_are_refused(rows, path, monkeypatch):
    ended_in(5, rows, path, monkeypatch)
    for name in ("run.ckpt", "run.ckpt.previous"):
        path.with_name(name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no sound .*delete both"):
        GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)


def test_a_disk_that_is_full_is_told_of_and_the_fit_ends(rows, path, monkeypatch):
    """A limit of the system on the size of files, which fails in the midst of the write."""
    expected = GaussianMixture(**SETTINGS).fit(rows)
    ended_in(5, rows, path, monkeypatch)
    kept = {each: each.read_bytes() for each in path.parent.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.warns(CheckpointWarning, match="could not be written.*the fit goes on"):
            found = GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert_array_equal(found.means_, expected.means_)
    assert {each: each.read_bytes() for each in path.parent.iterdir()} == kept


def test_fit_predict_goes_on_from_the_checkpoint_of_fit(rows, path, monkeypatch):
    expected = GaussianMixture(**SETTINGS).fit_predict(rows)
    ended_in(5, rows, path, monkeypatch)
    assert_array_equal(GaussianMixture(**SETTINGS).fit_predict(rows, checkpoint=path), expected)
    assert archive.read(path)[0]["is_finished"]


def test_a_disk_that_is_full_for_a_while_is_used_again(rows, path, monkeypatch):
    sync, calls = os.fsync, []

    def full_for_a_while(descriptor):
        calls.append(descriptor)
        if 4 < len(calls) < 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full_for_a_while)
    with pytest.warns(CheckpointWarning, match="No space left"):
        GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    assert archive.read(path)[0]["is_finished"]


def test_places_where_nothing_can_be_written_are_refused_before_the_fit(rows, tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("nowhere/run.ckpt", "file/run.ckpt", ".", "pipe"):
            with pytest.raises(OSError) as caught:  # noqa: PT011, any kind, but of this path
                GaussianMixture(**SETTINGS).fit(rows, checkpoint=tmp_path / name)
            assert caught.value.filename == str(tmp_path / name)
        (tmp_path / "run.ckpt.previous").mkdir()
        with pytest.raises(IsADirectoryError, match=r"run\.ckpt\.previous"):
            GaussianMixture(**SETTINGS).fit(rows, checkpoint=tmp_path / "run.ckpt")


def test_what_is_no_checkpoint_is_never_written_over(rows, path, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    GaussianMixture(**SETTINGS).fit(rows).save(tmp_path / "model.npz")
    for name in ("rows.npy", "model.npz"):
        content = (tmp_path / name).read_bytes()
        with pytest.raises(CheckpointError, match="name another file"):
            GaussianMixture(**SETTINGS).fit(rows, checkpoint=tmp_path / name)
        assert (tmp_path / name).read_bytes() == content


def test_a_link_is_read_through_and_replaced(rows, path, tmp_path, monkeypatch):
    expected = GaussianMixture(**SETTINGS).fit(rows)
    elsewhere = tmp_path / "elsewhere.ckpt"
    ended_in(5, rows, elsewhere, monkeypatch)
    content = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    found = GaussianMixture(**SETTINGS).fit(rows, checkpoint=path)
    assert_array_equal(found.means_, expected.means_)
    assert not path.is_symlink()
    assert elsewhere.read_bytes() == content


def test_what_a_kill_leaves_half_written_is_removed_and_a_living_writers_is_not(path):
    left = path.with_name(archive.os.path.basename(_temporary(path, "0" * 16)))
    left.touch()
    other = path.with_name(".fastgmm-other-0.tmp")
    other.touch()
    with archive.replacing(path) as file:
        assert not left.exists()
        file.write(b"one")
        with archive.replacing(path) as second:  # does not take the first for left
            second.write(b"two")
    assert path.read_bytes() == b"one"
    assert sorted(each.name for each in path.parent.iterdir()) == [other.name, path.name]


def _temporary(path, token):
    from fastgmm.storage.atomic import _temporary_names

    return _temporary_names(str(path), token)
