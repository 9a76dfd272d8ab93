"""Files appear whole or not at all, whoever else writes for the same name or leaves something."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import fastgmm
from fastgmm.cli import output
from fastgmm.storage import atomic
from fastgmm.storage.atomic import demand_replaceable, replacing

pytestmark = pytest.mark.deadline(60)

SAVER = """
import sys, time
from fastgmm.storage.atomic import replacing
failed, until = 0, time.monotonic() + 1.0
while time.monotonic() < until:
    try:
        with replacing(sys.argv[1]) as file:
            file.write(b"whole")
    except OSError:
        failed += 1
print(failed)
"""

STUCK = """
import sys, time
from fastgmm.storage.atomic import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def started(code, path):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env=os.environ | {"PYTHONPATH": str(Path(fastgmm.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def write(path, content=b"whole", **options):
    with replacing(path, **options) as file:
        file.write(content)


def left_over(path, token="0" * 16):
    """The name of a temporary file for a path."""
    return Path(atomic._temporary_names(str(path), token))


def test_two_processes_write_for_one_name_and_none_fails(path):
    both = [started(SAVER, path) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["0\n", "0\n"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"whole"


def test_another_that_looks_for_left_overs_before_the_renaming_finds_none(path, monkeypatch):
    replace = os.replace

    def crowded(source, target):
        atomic._remove_what_was_left(str(path))
        replace(source, target)

    monkeypatch.setattr(os, "replace", crowded)
    write(path)
    assert path.read_bytes() == b"whole"


def test_a_file_that_was_taken_for_left_over_gets_another_name(path, monkeypatch):
    lock, lost = atomic._lock, []

    def late(descriptor, otherwise):
        if not lost:
            lost.extend(path.parent.iterdir())
            return False
        lost[0].unlink(missing_ok=True)  # by who has the lock, at any time
        return lock(descriptor, otherwise)

    monkeypatch.setattr(atomic, "_lock", late)
    write(path)
    assert path.read_bytes() == b"whole"


def test_another_may_have_moved_the_file_before(path, monkeypatch):
    write(path, b"first")
    replace = os.replace

    def twice(source, target):
        if target.endswith(atomic.PREVIOUS):
            replace(source, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", twice)
    write(path, b"second", keep_previous=True)
    assert path.read_bytes() == b"second"
    assert Path(f"{path}.previous").read_bytes() == b"first"


@pytest.mark.skipif(os.name != "posix", reason="no locks, no pipes")
def test_what_a_killed_process_leaves_is_removed_and_what_a_living_one_writes_is_not(path):
    process = started(STUCK, path)
    try:
        assert process.stdout.readline() == "writing\n"
        (left,) = path.parent.iterdir()
        write(path)
        assert left.read_bytes() == b"half"
    finally:
        process.kill()
        process.communicate()
    assert left.exists()
    write(path, durable=False)
    assert left.exists()
    write(path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="no locks, no pipes")
def test_nothing_but_a_regular_file_is_taken_for_left_over_or_waited_for(path, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("another's")
    pipe, link, to_pipe, folder, place, plain = (left_over(path, f"{i:016}") for i in range(6))
    os.mkfifo(pipe)
    link.symlink_to(elsewhere)
    to_pipe.symlink_to(pipe)
    folder.mkdir()
    plain.touch()
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(place.parent)  # names of sockets are short
        listening.bind(place.name)
        os.chdir(here)
        write(path)
    assert path.read_bytes() == b"whole"
    assert elsewhere.read_text() == "another's"
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert to_pipe.is_symlink()
    assert folder.is_dir()
    assert place.is_socket()
    assert not plain.exists()


@pytest.mark.skipif(os.name != "posix", reason="no pipes")
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=r"regular file|symbolic links"):
            atomic._regular(str(tmp_path / name), os.O_RDONLY)


@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", os.mkdir)])
def test_neither_the_name_nor_that_of_the_file_before_may_be_another_thing(path, make):
    write(path, b"first")
    previous = f"{path}.previous"
    make(previous)
    with pytest.raises(OSError, match=r"directory|regular file") as caught:
        write(path, keep_previous=True)
    assert caught.value.filename == previous
    assert path.read_bytes() == b"first"
    with pytest.raises(OSError, match=r"directory|regular file"):
        demand_replaceable(previous)


def test_an_output_that_is_no_regular_file_is_refused_before_any_work(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(OSError, match="Not a regular file"):
        output.check(tmp_path / "labels.csv", output.TABLES, [])


def test_an_error_names_the_file_that_it_is_of(path, tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        (tmp_path / "rows.csv").read_text()
    assert caught.value.filename == str(tmp_path / "rows.csv")
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "nowhere" / "model.npz")
    assert caught.value.filename == str(tmp_path / "nowhere" / "model.npz")
    assert not list(tmp_path.iterdir())
