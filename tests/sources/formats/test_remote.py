"""Files elsewhere, by their URL."""

from __future__ import annotations

import sys

import fsspec
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sources.rows import rows_of, some_rows, walk

from fastgmm import GaussianMixture
from fastgmm.errors import DataError, MissingDependencyError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows(60)


def write(path, rows):
    frame = pd.DataFrame(rows, columns=list("abc"))
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".npy":
            np.save(path, rows)
        case ".h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=rows)
        case ".parquet":
            frame.to_parquet(path)
        case _:
            frame.to_feather(path)
    return path


@pytest.fixture
def memory(tmp_path):
    """A folder of fsspec's file system in memory, and a function that puts files there."""
    system = fsspec.filesystem("memory")

    def put(name, rows):
        path = write(tmp_path / name.rpartition("/")[2], rows)
        system.makedirs(f"/rows/{name}".rpartition("/")[0], exist_ok=True)
        system.put(str(path), f"/rows/{name}")
        return f"memory://rows/{name}"

    yield put
    system.rm("/rows", recursive=True)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.xz", ".csv.zip", ".csv.br"])
def test_compressed_text_elsewhere_is_read(suffix, memory, tmp_path):
    path, text = tmp_path / f"y{suffix}", pd.DataFrame(ROWS, columns=list("abc"))
    if suffix == ".csv.br":
        with pa.CompressedOutputStream(str(path), "brotli") as stream:
            stream.write(text.to_csv(index=False).encode())
    else:
        text.to_csv(path, index=False)  # pandas compresses by the suffix
    url = memory("x.csv", ROWS).replace("x.csv", f"y{suffix}")
    fsspec.filesystem("memory").put(str(path), f"/rows/y{suffix}")
    source = open_source(url)
    for _ in range(2):
        assert_array_equal(walk(source)[0], ROWS)


SUFFIXES = [".csv", ".npy", ".feather", ".parquet", ".h5"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_url_is_read_as_the_file_it_is_of(suffix, memory, tmp_path):
    url = memory(f"x{suffix}", ROWS)
    source = open_source(url)
    assert source.name == f"x{suffix}"
    for block_rows in (7, 60):
        assert_array_equal(walk(source, block_rows)[0], ROWS)
    assert_array_equal(rows_of(f"file://{tmp_path}/x{suffix}"), ROWS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_folders_patterns_and_lists_of_urls_are_all_their_files(suffix, memory):
    urls = [memory(f"{number}{suffix}", ROWS[20 * number :][:20]) for number in range(3)]
    for data in ("memory://rows", "memory://rows/", f"memory://rows/*{suffix}", urls):
        assert_array_equal(rows_of(data), ROWS)


def test_a_fit_to_a_url_has_the_bits_of_one_to_the_file(memory, tmp_path):
    url = memory("x.parquet", ROWS)
    found = GaussianMixture(2, random_state=0).fit(url)
    expected = GaussianMixture(2, random_state=0).fit(tmp_path / "x.parquet")
    assert_array_equal(found.means_, expected.means_)
    assert found.score(url) == expected.score(tmp_path / "x.parquet")


def test_keys_of_folders_are_columns(memory):
    for year in (2020, 2021):
        memory(f"year={year}/x.parquet", ROWS)
    _, weights = walk(open_source("memory://rows", ["a"], "year"))
    assert_array_equal(weights, np.repeat([2020, 2021], 60))


def test_a_file_that_changes_or_goes_is_an_error(memory):
    source = open_source(memory("x.npy", ROWS))
    walk(source)
    memory("x.npy", ROWS + 1.0)
    with pytest.raises(SourceChangedError, match=r"memory:///rows/x.npy changed since"):
        walk(source)
    fsspec.filesystem("memory").rm("/rows/x.npy")
    with pytest.raises(SourceChangedError, match=r"memory:///rows/x.npy is gone"):
        walk(source)


def test_what_is_not_there_is_named(memory):
    memory("x.npy", ROWS)
    with pytest.raises(FileNotFoundError, match=r"there is no file 'memory:///rows/y.npy'"):
        open_source("memory://rows/y.npy")
    with pytest.raises(
        FileNotFoundError, match=r"no file matches the pattern memory://rows/\*.csv"
    ):
        open_source("memory://rows/*.csv")


def test_a_scheme_that_is_not_known_is_named():
    with pytest.raises(DataError, match=r"'foo://x.csv' cannot be read: Protocol not known: foo"):
        open_source("foo://x.csv")
    with pytest.raises(DataError, match=r"URL of a database; give .*duckdb.connect\(file\).sql"):
        open_source("duckdb:///x.db?query=select 1")


def test_a_client_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fastgmm\[remote\]'"):
        open_source("s3://bucket/x.parquet")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fastgmm\[remote\]'"):
        open_source("memory://x.parquet")
