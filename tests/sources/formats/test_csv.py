import csv
import gzip

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sources.rows import rows_of, some_rows, walk

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows(40_000)  # over 2 MB of text: pyarrow reads it in three


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
        ("", "no value .NaN or null."),
        ("NaN", "no value .NaN or null."),
        ("nan", "no value .NaN or null."),
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
        ("a\n", "points.csv holds no rows"),
        ('t,a\n"x,1\ny,2\n', "last quote of points.csv, byte 4, opens a cell that is never closed"),
        ('a,t\n1,x\n2,"y\n3,z\n', "last quote of points.csv, byte 10, opens a cell that is never"),
        ('a,t\n1,"""x"\n2,"y ""z"" \n3,z\n', "last quote of points.csv, byte 14, opens"),
        ('a,t\n1,"' + "x\n" * 2**20 + "2,3\n", "last quote of points.csv, byte 6, opens a cell"),
        ("a\n" + "x" * 1000 + "\n", "row 0 of points.csv holds the text 'x{60}'... in column"),
    ],
)
def test_a_file_that_is_no_table_is_refused(path, text, said):
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        counted(open_source(path))


# line breaks of both kinds, commas, quotes, and rests of cells that look like rows of their own
CELLS = ["a\nb", "two\r\nlines", 'say ""hi""\n', "\n7,8,9\n", '""\r\n""', "plain", ""]


def quoted(n_rows, ends="\n"):
    """Lines of a first and a last column of numbers, and text in between."""
    cells = (CELLS[i % 7] + "x" * (i % 11) for i in range(n_rows))
    return "".join(f'{i},"{cell}","{i}.25"{ends}' for i, cell in enumerate(cells))


@pytest.mark.parametrize("n_rows", [7, 60_000])  # of 1.2 MB
@pytest.mark.parametrize("name", ["points.csv", "points.csv.gz"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_line_breaks_in_cells_beside_the_features_are_text(tmp_path, n_rows, name, ends):
    path = tmp_path / name
    text = '"x","the\ntext",y' + ends + quoted(n_rows, ends)
    path.write_bytes(gzip.compress(text.encode(), 1) if name.endswith("gz") else text.encode())
    source = counted(open_source(path, ["x", "y"]))
    expected = np.arange(n_rows)[:, None] + [0.0, 0.25]
    for _ in range(2):
        assert_array_equal(walk(source, 1000)[0], expected)


@pytest.mark.parametrize("offset", range(12))
def test_no_cut_of_a_block_makes_rows_of_a_cell(path, offset):
    line = "1," + "z" * 1021 + "\n"  # a kilobyte: the first block ends in those that follow
    head = "x,t\n" + line * 1023 + line[12 + offset :].replace("z", "1,z", 1)
    path.write_text(head + '2,"a\n3,b"\n' * 2)
    assert_array_equal(rows_of(path, columns=["x"])[-3:], [[1], [2], [2]])


def test_rows_are_numbered_as_rows_where_cells_hold_several_lines(path):
    path.write_text("x,t,y\n" + quoted(60_000) + '1,"a\nb",no\n')
    with pytest.raises(DataError, match=r"row 60000 of points.csv holds the text 'no' in column"):
        counted(open_source(path, ["y"]))
    with pytest.raises(DataError, match=r"row 0 of points.csv holds the text 'a\\nb' in column"):
        counted(open_source(path, ["t"]))


def test_what_looks_like_an_open_quote_and_is_none_is_read(path):
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["x", "t"], [1, ',"a,'], [2, ""]])
    assert_array_equal(rows_of(path, columns=["x"]), [[1], [2]])
    path.write_text('t,x\n5" pipe,1\n"a,",2\n"",3\n')
    assert_array_equal(rows_of(path, columns=["x"]), [[1], [2], [3]])


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


@pytest.mark.parametrize("words", ["no,yes", "F,T", "N,Y", "f,t", "off,on", "No,Yes"])
@pytest.mark.parametrize("first", ["", "True\n"])  # read as numbers, as text
def test_words_that_might_be_true_or_false_are_not_guessed(tmp_path, words, first):
    path = tmp_path / "x.csv"
    path.write_text("a\n" + first + words.replace(",", "\n"))
    at, word = first.count("\n"), words.partition(",")[0]
    said = f"row {at} of x.csv holds the text '{word}' in column 'a', .*only True and False are"
    with pytest.raises(DataError, match=said):
        walk(open_source(path))
