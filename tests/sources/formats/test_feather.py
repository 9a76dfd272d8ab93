import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import feather
from sources.rows import some_rows, walk

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows()
TABLE = pa.table({"a": ROWS[:, 0], "t": ["x"] * 23, "b": ROWS[:, 1], "w": range(23)})


def counted(source):
    source.fold(lambda block: len(block.rows), int.__add__, 4)
    return source


@pytest.mark.parametrize("suffix", [".feather", ".ARROW"])
@pytest.mark.parametrize("compression", ["uncompressed", "lz4"])
def test_a_file_gives_the_columns_chosen(tmp_path, suffix, compression):
    path = tmp_path / f"points{suffix}"
    feather.write_feather(TABLE, path, compression, chunksize=5)
    rows, weights = walk(counted(open_source(path, ["b", "a"], "w", chunk_rows=3)))
    assert_array_equal(rows, ROWS[:, [1, 0]])
    assert_array_equal(weights, np.arange(23))
    with pytest.raises(DataError, match=r"column 't' of points.* holds string"):
        open_source(path)


def test_what_polars_writes_is_read(tmp_path):
    pl.DataFrame(ROWS, schema=["a", "b", "c"]).write_ipc(tmp_path / "x.arrow")
    assert_array_equal(walk(counted(open_source(tmp_path / "x.arrow")))[0], ROWS)


def test_a_null_is_named_by_row_and_column(tmp_path):
    table = pa.table({"a": [*range(9), None]})
    feather.write_feather(table, tmp_path / "x.feather", chunksize=4)
    with pytest.raises(DataError, match=r"row 9 of x.feather holds no value .* column 'a'"):
        counted(open_source(tmp_path / "x.feather"))


@pytest.mark.parametrize("length", [0, 5, 100, -5])
def test_a_damaged_file_is_named(tmp_path, length):
    path = tmp_path / "x.feather"
    feather.write_feather(TABLE, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"cannot read x.feather"):
        open_source(path)


def test_a_file_that_changes_is_an_error(tmp_path):
    path = tmp_path / "x.feather"
    feather.write_feather(TABLE, path)
    source = counted(open_source(path, ["a"]))
    feather.write_feather(TABLE.slice(1), path)
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        counted(source)
