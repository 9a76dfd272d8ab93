import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

from .rows import some_rows, walk

ROWS = some_rows(40_000)  # over 2 MB of text: pyar it in three


@pytest.fixture
def path(tmp_path):
    return tmp_path / "points.csv"


def counted(source):
    source.fold(lambda block: len(block.rows), int.__add__, 1000)
    return source


@pytest.mark.parametrize("chunk_rows", [None, 1700])
def test_a_file_gives_its_rows_and_names(path, chunk_rows):
    pd.DataFrame(ROWS, columns=["a", "b", "c"]).to_csv(path, index=False)
    source = counted(open_source(path, chunk_rows=chunk_rows))
    assert source.feature_names == ("a", "b", "c")
    assert source.n_rows == 40_000
    assert_array_equal(walk(source, 1000)[0], ROWS)


def test_a_compressed_file_gives_its_rows_and_one_that_is_cut_is_an_error(tmp_path):
    path = tmp_path / "points.csv.gz"
    pd.DataFrame(ROWS, columns=["a", "b", "c"]).to_csv(path, index=False, compression="gzip")
    assert_array_equal(walk(counted(open_source(path)), 1000)[0], ROWS)
    path.write_bytes(path.read_bytes()[:-30_000])
    with pytest.raises(DataError, match=r"points\.csv\.gz"):
        counted(open_source(path))


def test_columns_and_weights_are_chosen_and_text_beside_them_is_not_read(path):
    path.write_text("name,x,n\nA,1,2\nB,3.5,4\n")
    rows, weights = walk(counted(open_source(path, ["x"], "n")))
    assert_array_equal(rows, [[1], [3.5]])
    assert_array_equal(weights, [2, 4])


def test_a_column_that_is_whole_at_first_may_hold_fractions_later(path):
    path.write_text("x\n" + "1\n" * 600_000 + "2.5\n")
    source = counted(open_source(path))
    assert source.dtype == np.float64
    assert walk(source, 100_000)[0][-1] == 2.5


@pytest.mark.parametrize("row", [0, 199_999])
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("abc", "the text 'abc'"),
        ("", "no value"),
        ("NaN", "NaN"),
        ("nan", "NaN"),
        ("-inf", "infinity"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(path, row, cell, said):
    lines = ["1,2,3"] * 200_000
    lines[row] = f"1.0,{cell},2.0"
    path.write_text("\n".join(["a,b,c", *lines]))
    with pytest.raises(DataError, match=rf"row {row} of points.csv holds {said}.* column 'b'"):
        counted(open_source(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "points.csv is empty"),
        ("\n\n", "cannot read points.csv"),
        ("a,b\n1,2\n3\n", r"row 1 of points.csv has 1 column\(s\) where the header names 2"),
        ("1.5,2.5\n3,4\n", r"first line of points.csv holds numbers \(1.5, 2.5\).*add a header"),
        ("a,a\n1,2\n", "'a' stands twice in points.csv"),
        ("a;b\n1;2\n", "row 0 of points.csv holds the text '1;2' in column 'a;b'"),
        ("a\n", "points.csv holds no rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused(path, text, said):
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        counted(open_source(path))


def test_a_header_of_counted_columns_is_one(path):
    path.write_text("0,1\n5,6\n")
    source = counted(open_source(path))
    assert source.feature_names == ("0", "1")
    assert_array_equal(walk(source)[0], [[5, 6]])


def test_a_file_that_changes_is_an_error(path):
    path.write_text("a,b,c\n4,5,6\n")
    source = counted(open_source(path))
    with path.open("a") as file:
        file.write("1,2,3\n")
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        counted(source)
