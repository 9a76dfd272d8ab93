import pickle

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import parquet
from sources.rows import rows_of, some_rows, walk

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows()


def write(path, rows, names="abc", **choices):
    table = pa.table(dict(zip(names, np.asarray(rows).T, strict=True)))
    parquet.write_table(table, path, **choices)
    return path


def test_a_file_gives_its_rows_and_names(tmp_path):
    path = write(tmp_path / "points.parquet", ROWS, row_group_size=4)
    source = open_source(str(path))
    assert (source.name, source.n_rows) == ("points.parquet", 23)
    assert source.feature_names == ("a", "b", "c")
    assert_array_equal(rows_of(path), ROWS)
    assert_array_equal(rows_of(path, columns=["c", "a"], chunk_rows=3), ROWS[:, [2, 0]])


def test_weights_and_float32_come_from_the_columns_chosen(tmp_path):
    table = pa.table({"x": ROWS[:, 0].astype("f4"), "t": ["text"] * 23, "n": range(23)})
    parquet.write_table(table, tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet", ["x"], "n")
    assert source.dtype == np.float32
    rows, weights = walk(source)
    assert_array_equal(rows[:, 0], ROWS[:, 0].astype("f4"))
    assert_array_equal(weights, np.arange(23))
    with pytest.raises(DataError, match=r"column 't' of x.parquet holds string"):
        open_source(tmp_path / "x.parquet")


def test_a_folder_and_a_pattern_are_read_in_the_order_of_their_paths(tmp_path):
    (tmp_path / "day=2").mkdir()
    write(tmp_path / "day=2" / "b.parquet", ROWS[9:])
    write(tmp_path / "a.parquet", ROWS[:9])
    write(tmp_path / "_hidden.parquet", ROWS)
    (tmp_path / "readme.txt").write_text("no rows")
    assert_array_equal(rows_of(tmp_path), ROWS)
    assert_array_equal(rows_of(str(tmp_path / "**" / "*.parquet")), ROWS)
    assert_array_equal(rows_of(tmp_path / "[ab].parquet"), ROWS[:9])


def test_columns_are_matched_by_name_whatever_their_order_and_type(tmp_path):
    write(tmp_path / "1.parquet", np.arange(6).reshape(2, 3))
    write(tmp_path / "2.parquet", ROWS[:, ::-1], "cba")
    write(tmp_path / "3.parquet", ROWS[:0])
    write(tmp_path / "4.parquet", ROWS[:, [0, 1, 2, 0]].astype("f4"), "abcd")
    expected = np.vstack([[[0, 1, 2], [3, 4, 5]], ROWS, ROWS.astype("f4")])
    assert open_source(tmp_path).dtype == np.float64
    assert_array_equal(rows_of(tmp_path), expected)


def test_a_missing_column_is_named_with_its_file(tmp_path):
    write(tmp_path / "1.parquet", ROWS)
    write(tmp_path / "2.parquet", ROWS[:, :2], "ab")
    with pytest.raises(DataError, match=r"2.parquet has no column 'c'"):
        open_source(tmp_path)


def test_bad_cells_are_named_by_file_and_row_within_it(tmp_path):
    bad = ROWS.copy()
    bad[3, 1] = np.nan
    write(tmp_path / "1.parquet", ROWS)
    write(tmp_path / "2.parquet", ROWS[:0])
    write(tmp_path / "3.parquet", bad)
    with pytest.raises(
        DataError, match=r"row 3 of 3.parquet holds no value .NaN or null. in column 'b'; drop"
    ):
        walk(open_source(tmp_path))
    parquet.write_table(
        pa.table({"a": [1.0, None], "b": [1.0] * 2, "c": [1] * 2}), tmp_path / "2.parquet"
    )
    with pytest.raises(DataError, match=r"row 1 of 2.parquet holds no value .* column 'a'"):
        walk(open_source(tmp_path))


def test_a_damaged_file_is_named(tmp_path):
    path = write(tmp_path / "points.parquet", ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    with pytest.raises(DataError, match=r"cannot read points.parquet"):
        open_source(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read points.parquet"):
        open_source(path)
    path.write_bytes(whole[:4] + bytes(60) + whole[64:])
    with pytest.raises(DataError, match=r"cannot read points.parquet"):
        walk(open_source(path))


def test_a_file_that_changes_between_passes_is_an_error(tmp_path):
    path = write(tmp_path / "points.parquet", ROWS)
    source = open_source(path)
    walk(source)
    write(path, ROWS[:20])
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        walk(source)
    path.unlink()
    with pytest.raises(SourceChangedError, match="gone since it was opened"):
        walk(source)


def test_sources_of_paths_can_be_pickled(tmp_path):
    write(tmp_path / "1.parquet", ROWS)
    source = pickle.loads(pickle.dumps(open_source(tmp_path)))
    assert_array_equal(walk(source)[0], ROWS)


def test_a_file_is_never_held_whole(tmp_path):
    rows = some_rows(400_000, 10)
    path = write(tmp_path / "points.parquet", rows, "abcdefghij", row_group_size=50_000)
    source = open_source(path, chunk_rows=5_000)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in source.chunks()]
    assert max(held) < rows.nbytes / 2  # two of the eight row groups, at most; all, by default


def test_weights_and_rows_are_cut_alike_wherever_a_batch_or_a_block_ends(tmp_path):
    rows, weights = some_rows(300, 5), np.arange(300.0)
    table = pa.table({**{name: rows[:, j] for j, name in enumerate("abcde")}, "w": weights})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=70)
    for chunk_rows in (1, 7, 70, 300):
        source = open_source(tmp_path / "x.parquet", weight="w", chunk_rows=chunk_rows)
        for block_rows in (1, 33, 299, 300):
            found, given = walk(source, block_rows)
            assert_array_equal(found, rows)
            assert_array_equal(given, weights)


def test_finite_numbers_whose_sum_is_not_are_taken(tmp_path):
    rows = np.full((5, 4), 1.5e308)
    assert_array_equal(rows_of(write(tmp_path / "x.parquet", rows, "abcd")), rows)


def test_columns_that_are_not_asked_for_stay_unread(tmp_path):
    rows = some_rows(2000)
    path = write(tmp_path / "x.parquet", rows, use_dictionary=False, row_group_size=500)
    damaged = bytearray(path.read_bytes())
    footer = parquet.ParquetFile(path).metadata
    for group in range(footer.num_row_groups):
        chunk = footer.row_group(group).column(1)
        stretch = slice(
            chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
        )
        damaged[stretch] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(damaged)
    assert_array_equal(rows_of(path, columns=["a", "c"]), rows[:, [0, 2]])
    with pytest.raises(DataError, match=r"cannot read x.parquet"):
        walk(open_source(path))
