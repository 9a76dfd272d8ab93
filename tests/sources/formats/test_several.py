"""Lists of paths, folders and patterns, of every format."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import parquet
from sources.rows import rows_of, some_rows, walk

from fastgmm import GaussianMixture, select
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows(60)
ROWS[:, 1] = np.abs(ROWS[:, 1])  # a weight
CUTS = [17, 17, 40]  # the second file has no rows
WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    ".npy": lambda frame, path: np.save(path, frame.to_numpy()),
    ".feather": lambda frame, path: frame.to_feather(path),
    ".arrow": lambda frame, path: frame.to_feather(path),
    ".ipc": lambda frame, path: frame.to_feather(path),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".pq": lambda frame, path: frame.to_parquet(path),
    ".parq": lambda frame, path: frame.to_parquet(path),
    ".h5": lambda frame, path: h5py.File(path, "w").create_dataset("x", data=frame).file.close(),
}


def written(folder, suffix, rows=ROWS, names="abc"):
    """Write rows to four files."""
    paths = [folder / f"{number}{suffix}" for number in range(4)]
    for part, path in zip(np.split(rows, CUTS), paths, strict=True):
        WRITERS[suffix](pd.DataFrame(part, columns=list(names)), path)
    return paths


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_list_a_folder_and_a_pattern_are_the_rows_of_all_files(suffix, tmp_path):
    paths = written(tmp_path, suffix)
    for data in (
        paths,
        tuple(map(str, paths)),
        tmp_path,
        str(tmp_path),
        str(tmp_path / f"*{suffix}"),
        [str(tmp_path / f"[01]{suffix}"), *paths[2:]],
    ):
        source = open_source(data)
        for block_rows in (7, 60):
            assert_array_equal(walk(source, block_rows)[0], ROWS)
        assert source.n_rows == 60
        last = "b" if source.feature_names else 1
        rows, weights = walk(open_source(data, [0 if last == 1 else "a"], last, chunk_rows=5))
        assert_array_equal(rows, ROWS[:, :1])
        assert_array_equal(weights, ROWS[:, 1])


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".parquet"])
def test_a_fit_to_many_files_has_the_bits_of_one_to_all_rows(suffix, tmp_path):
    paths = written(tmp_path, suffix)
    expected = GaussianMixture(2, random_state=0).fit(ROWS)
    found = GaussianMixture(2, random_state=0).fit(paths)
    assert_array_equal(found.means_, expected.means_)
    assert_array_equal(found.predict(paths), expected.predict(ROWS))
    assert found.score(tmp_path) == expected.score(ROWS)
    learned = GaussianMixture(2, random_state=0).partial_fit(paths).partial_fit(paths)
    twice = GaussianMixture(2, random_state=0).partial_fit(ROWS).partial_fit(ROWS)
    assert_array_equal(learned.means_, twice.means_)
    assert select(paths, [1, 2], random_state=0).table["bic"] == pytest.approx(
        select(ROWS, [1, 2], random_state=0).table["bic"], rel=0
    )


def test_files_of_other_types_are_widened(tmp_path):
    np.save(tmp_path / "1.npy", ROWS[:20].astype("f4"))
    np.save(tmp_path / "2.npy", np.asfortranarray(ROWS[20:40]))
    np.save(tmp_path / "3.npy", np.arange(60).reshape(20, 3))
    expected = np.vstack([ROWS[:20].astype("f4"), ROWS[20:40], np.arange(60).reshape(20, 3)])
    source = open_source(tmp_path)
    assert source.dtype == np.float64
    for block_rows in (7, 60):
        assert_array_equal(walk(source, block_rows)[0], expected)
    np.save(tmp_path / "2.npy", ROWS[20:40])  # all of them lie as a block does, in two types
    assert_array_equal(walk(open_source(tmp_path))[0], expected)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".feather", ".parquet"])
def test_a_bad_cell_is_named_by_file_and_row_within_it(suffix, tmp_path):
    bad = ROWS.copy()
    bad[45, 1] = np.inf
    written(tmp_path, suffix, bad)
    with pytest.raises(DataError, match=rf"row 5 of 3\{suffix} holds infinity in column ('b'|1)"):
        walk(open_source(tmp_path), 10)


def test_rows_of_files_with_the_same_name_are_told_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.csv").write_text("a\n1\nx\n" if folder == "y" else "a\n1\n2\n")
    with pytest.raises(DataError, match=r"row 1 of y/1.csv holds the text 'x'"):
        walk(open_source(tmp_path))
    with pytest.raises(DataError, match=rf"row 1 of {tmp_path}/y/1.csv holds the text 'x'"):
        walk(open_source([tmp_path / "x" / "1.csv", tmp_path / "y" / "1.csv"]))


def test_files_that_do_not_fit_together_are_named(tmp_path):
    paths = [*written(tmp_path, ".csv"), *written(tmp_path, ".npy")]
    with pytest.raises(DataError, match=r"0.csv and 3.npy are of different formats|different form"):
        open_source(paths)
    with pytest.raises(DataError, match=r"different formats; give files of one, as with a pattern"):
        open_source(tmp_path)
    np.save(tmp_path / "1.npy", ROWS[:, :2])
    with pytest.raises(DataError, match=r"1.npy has 2 columns and 0.npy has 3; choose"):
        open_source(str(tmp_path / "*.npy"))
    assert_array_equal(rows_of(str(tmp_path / "[01].npy"), columns=[1])[17:], ROWS[:, 1:2])
    (tmp_path / "1.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"1.csv has no column 'b'"):
        open_source(str(tmp_path / "*.csv"))


def test_of_a_folder_the_parquet_files_are_read_if_there_are_any(tmp_path):
    written(tmp_path, ".parquet")
    (tmp_path / "notes.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "0.parquet").write_text("not whole yet")
    assert_array_equal(rows_of(tmp_path), ROWS)


def test_what_may_be_no_table_is_read_of_a_folder_where_there_is_nothing_else(tmp_path):
    for name in ("run.log", "x.csv.zstd", "notes.txt"):  # the surer one comes later
        (tmp_path / name).write_text("not read")
        (tmp_path / "notes.txt").write_text("a,b\n1,2\n3,4\n")
        assert_array_equal(rows_of(tmp_path), [[1.0, 2.0], [3.0, 4.0]])
    (tmp_path / "x.csv").write_text("a\n5\n6\n")
    assert_array_equal(rows_of(tmp_path), [[5.0], [6.0]])


def test_a_file_that_changes_between_passes_is_an_error(tmp_path):
    paths = written(tmp_path, ".npy")
    source = open_source(paths)
    walk(source)
    np.save(paths[2], ROWS)
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        walk(source)


def test_a_source_of_many_files_can_be_pickled(tmp_path):
    written(tmp_path, ".parquet")
    assert_array_equal(walk(pickle.loads(pickle.dumps(open_source(tmp_path))))[0], ROWS)


def test_a_list_with_what_is_not_there_says_what_a_text_may_be(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file 'b'; a text given as rows is the path"):
        open_source(["b", "c"])
    with pytest.raises(FileNotFoundError, match=r"no file 'a string'; a text given as rows is"):
        GaussianMixture(2).fit("a string")
    with pytest.raises(DataError, match="the path is empty"):
        open_source([str(tmp_path), ""])


def test_an_open_parquet_file_is_read(tmp_path):
    parquet.write_table(pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1]}), tmp_path / "x.parquet")
    with parquet.ParquetFile(tmp_path / "x.parquet") as opened:
        assert open_source(opened).n_rows == 60
        assert_array_equal(rows_of(opened, columns=["b"]), ROWS[:, 1:2])
        model = GaussianMixture(2, random_state=0).fit(opened)
    expected = GaussianMixture(2, random_state=0).fit(tmp_path / "x.parquet")
    assert_array_equal(model.means_, expected.means_)


def test_feather_of_version_1_is_told_apart(tmp_path):
    (tmp_path / "x.feather").write_bytes(b"FEA1\x00\x00\x00\x00")
    with pytest.raises(DataError, match=r"x.feather is Feather of version 1.*write it anew"):
        open_source(tmp_path / "x.feather")


def test_an_empty_file_among_others_may_have_lists_of_any_length(tmp_path):
    lists = pa.table({"e": pa.array(ROWS.tolist())})
    parquet.write_table(lists, tmp_path / "1.parquet")
    parquet.write_table(lists[:0], tmp_path / "2.parquet")
    assert_array_equal(rows_of(tmp_path), ROWS)
    ragged = pa.table({"e": pa.array([[1.0, 2.0]])})
    parquet.write_table(ragged, tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2.parquet has no column 'e\[2\]'"):
        walk(open_source(tmp_path))
