import errno
import os
from pathlib import Path

import numpy as np
import pytest

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source
from fastgmm.sources.formats.file import find, look_at


@pytest.fixture
def file(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    return look_at(tmp_path / "x.csv")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*nothing.npy'"):
        find(tmp_path / "nothing.npy")
    with pytest.raises(FileNotFoundError, match=r"no file matches the pattern .*n\*.parquet"):
        find(tmp_path / "n*.parquet")
    with pytest.raises(FileNotFoundError, match=r"no .parquet file in the folder"):
        find(tmp_path)


@pytest.mark.parametrize(
    "query",
    ["select x, y from t", "SELECT * FROM t", "\n with a as (select 1)\nselect x from a", "from t"],
)
def test_a_query_in_place_of_a_path_is_told_what_asks_it(query):
    with pytest.raises(FileNotFoundError, match=r"if it is a query .*lambda: connection.execute"):
        open_source(query)


@pytest.mark.parametrize("text", ["x,y\n1,2\n", "1,2\n" * 2000, "a\0b"])
def test_a_text_that_is_no_path_is_told_what_a_path_is(text):
    with pytest.raises(FileNotFoundError, match="a text given as rows is the path") as caught:
        open_source(text)
    assert len(str(caught.value)) < 600


def test_a_path_with_the_signs_of_a_pattern_is_a_path_if_it_is_there(tmp_path):
    (tmp_path / "x[1].csv").write_text("a\n1\n")
    assert [file.name for file in find(tmp_path / "x[1].csv")] == ["x[1].csv"]


def test_another_time_or_size_is_a_change(file):
    file.check()
    os.utime(file.path, ns=(0, file.modified + 1))
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        file.check()


def test_a_failed_read_of_a_changed_file_is_a_change(file):
    def failed_read():
        with file.reading(EOFError):
            file.path.write_text("a")
            raise EOFError("too short")

    with pytest.raises(SourceChangedError, match="had 4 bytes and has 1"):
        failed_read()


@pytest.mark.parametrize("error", [EOFError("too short"), OSError("corrupt page")])
def test_a_failed_read_of_an_unchanged_file_names_it(file, error):
    with pytest.raises(DataError, match=r"cannot read x.csv: "), file.reading(EOFError):
        raise error


def test_a_fault_of_the_disk_is_left_as_it_is(file):
    with pytest.raises(OSError, match="Input/output"), file.reading(EOFError):
        raise OSError(errno.EIO, "Input/output error")


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", [[1.0, 2.0]])
    for path in ("~/x.npy", Path("~/x.npy"), "~/*.npy", ["~/x.npy"]):
        assert open_source(path).n_rows == 1


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("x.xlsx", r"pandas.read_excel\(path\)"),
        ("x.jsonl", r"pandas.read_json\(path, lines=True\)"),
        ("x.mat", r"scipy.io.loadmat\(path\)\[name\]"),
    ],
)
def test_tables_that_others_read_are_refused_with_who_does(tmp_path, name, way):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=f"{name} is read by others; give {way} as X"):
        open_source(tmp_path / name)


def test_a_text_that_is_named_as_if_it_were_compressed_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "x.csv.br").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"by brotli. If it is plain text, take \.br from its name"):
        open_source(tmp_path / "x.csv.br")
