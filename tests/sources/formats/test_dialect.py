"""What is found in the head of a text file, and what the options say instead."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sources.rows import some_rows, walk

from fastgmm.errors import DataError
from fastgmm.sources import open_source
from fastgmm.sources.formats import TEXTS
from fastgmm.sources.formats import text as tidying

ROWS = some_rows(60)  # of three columns


def lines(separator=",", decimal=".", rows=ROWS, end="\n"):
    cells = [[repr(x).replace(".", decimal) for x in row] for row in rows.tolist()]
    return "".join(separator.join(row) + end for row in cells)


@pytest.fixture
def written(tmp_path):
    def write(text, name="points.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("long_at", [[0], [0, 1, 2], [7]])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_how_a_text_is_written_is_found_beside_long_cells(written, long_at, ending):
    rows = lines(";", ",", end=ending or "\n").splitlines()
    for at, row in enumerate(rows):
        rows[at] = f"{'z, ' * (70_000 if at in long_at else 1)};{row}"
    path = written("note;a;b;c\n" + "\n".join(rows) + ending)
    source = open_source(path, columns=["a", "b", "c"])
    assert_array_equal(walk(source)[0], ROWS)


SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'", " ": "blanks", "   ": "blanks"}


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("has_header", [True, False])
def test_separator_decimal_and_header_are_found_and_told(written, separator, decimal, has_header):
    if separator == decimal:
        return
    text = lines(separator, decimal)
    source = open_source(
        written(separator.join(["x", "y", "z"]) + "\n" + text if has_header else text)
    )
    assert_array_equal(walk(source)[0], ROWS)
    assert list(source.labels) == (["x", "y", "z"] if has_header else [0, 1, 2])
    names = "names in line 1" if has_header else "no header"
    assert (
        source.read_as
        == f"separated by {SEPARATORS[separator]}, decimal {decimal!r}, {names}, utf-8"
    )


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("x\n1,5\n2,25\n", None, [[1.5], [2.25]]),
        ("my column\n1\n2\n", None, [[1], [2]]),
        ("first name,x y\n1,2\n3,4\n", None, [[1, 2], [3, 4]]),
        ("height, cm;weight, kg\n1,5;2,5\n3,5;4,5\n", None, [[1.5, 2.5], [3.5, 4.5]]),
        ("time stamp,x\n2020-01-01 00:00,1.5\n2020-01-02 00:00,2.5\n", ["x"], [[1.5], [2.5]]),
        ("name;x\nA, B;1,5\nC, D;2,5\n", ["x"], [[1.5], [2.5]]),
        ('note;x\n"a;b; c";1,5\n"d\n;";2,5\n', ["x"], [[1.5], [2.5]]),
        ("id;tags;x\n1;a,b,c;2.0\n2;b,d;3.0\n", ["id", "x"], [[1, 2], [2, 3]]),
        ('x,y\n"1,5","2,5"\n"3","4,25"\n', None, [[1.5, 2.5], [3, 4.25]]),
        ("day x\n01.02.2020 1,5\n02.02.2020 2,5\n", ["x"], [[1.5], [2.5]]),
        (
            '1,1273;1.5 kg;"x;y"\n6,8324;2 kg;"y"\n-4,3183;1.5 kg;"x;y"\n',
            [0],
            [[1.1273], [6.8324], [-4.3183]],
        ),
        ("x\tt\n1.5\ttwo words\n2.5\tthree more words\n", ["x"], [[1.5], [2.5]]),
        ("x y \r\n 1  2 \r\n\t3 4\t\r\n", None, [[1, 2], [3, 4]]),
        ("x;y\r1,5;2\r3;4\r", None, [[1.5, 2], [3, 4]]),
    ],
)
def test_what_also_stands_in_text_and_names_separates_nothing(written, text, columns, rows):
    assert_array_equal(walk(open_source(written(text), columns))[0], rows)


def test_options_overrule_what_a_file_shows(written):
    path = written("a,b;c,d\n1,2;3,4\n5,6;7,8\n")
    assert open_source(path, delimiter=";").labels == ["a,b", "c,d"]
    assert_array_equal(walk(open_source(path, delimiter=";"))[0], [[1.2, 3.4], [5.6, 7.8]])
    path = written("x;y\n1,234;2\n")
    assert walk(open_source(path))[0][0, 0] == 1.234
    assert walk(open_source(path, decimal="."))[0][0, 0] == 1234
    path = written("x;y\n1;2\n", "points.data")
    assert_array_equal(walk(open_source(path, delimiter=";"))[0], [[1, 2]])


YEARS = "2001,2002,2003\n"


@pytest.mark.parametrize(
    ("first", "options", "labels"),
    [
        (YEARS, {"header": True}, ["2001", "2002", "2003"]),
        (YEARS, {"header": False}, [0, 1, 2]),
        (YEARS, {"columns": ["2001", "2003"]}, ["2001", "2003"]),
        (YEARS, {"columns": [2003, 2001]}, ["2003", "2001"]),
        (YEARS, {"columns": ["2001"], "weight": "2003"}, ["2001"]),
        (YEARS, {"columns": [0, 2]}, [0, 2]),
        ("400.5,401.0,401.5\n", {"columns": [401, 400.5]}, ["401.0", "400.5"]),
        ("0,1,2\n", {}, ["0", "1", "2"]),
        ("name,2001,2002\n", {"columns": ["2001"]}, ["2001"]),
        ("x,,2002\n", {}, ["x", "", "2002"]),
        ("0.5,-0.25,0.125\n", {}, [0, 1, 2]),
        ("0.5,0.25,0.5\n", {}, [0, 1, 2]),
        ("0.5,0.75,0.6\n", {}, [0, 1, 2]),
        ("0.5,0.7512,0.8\n", {}, [0, 1, 2]),
        ("0.5,nan,0.75\n", {"columns": [0]}, [0]),
        ("# made by hand\n# x, y, z\n", {}, ["x", "y", "z"]),
        ("# x, y, z\n", {"header": False}, [0, 1, 2]),
        ("# x, y, z\na,b,c\n", {}, ["a", "b", "c"]),
        ("# x, y, z\n", {"columns": [0, 2]}, [0, 2]),
        ("# x; y, now, z\n", {"header": False}, [0, 1, 2]),
    ],
)
def test_what_the_first_line_is(written, first, options, labels):
    source = open_source(written(first + lines(rows=np.abs(ROWS))), **options)
    assert list(source.labels) == labels
    is_row = first[0] != "#" and not isinstance(labels[0], str)
    if not (is_row and "nan" in first):
        assert len(walk(source)[0]) == len(ROWS) + is_row


@pytest.mark.parametrize(
    "first", [YEARS, "4000,3998,3996\n", "400.5,401.0,401.5\n", "0.5,0.75,2.5\n"]
)
def test_a_first_line_that_could_be_either_is_refused_with_both_ways_out(written, first):
    with pytest.raises(DataError, match=r"header=False says the former, header=True the latter"):
        open_source(written(first + lines(rows=np.abs(ROWS))))


def test_a_row_of_numbers_and_text_is_no_header(written):
    path = written("5.1,3.5,1.4,0.2,Iris-setosa\n4.9,3.0,1.4,0.2,Iris-setosa\n5.5,3.9,1.5,0.3,I\n")
    assert_array_equal(walk(open_source(path, [0, 3]))[0], [[5.1, 0.2], [4.9, 0.2], [5.5, 0.3]])
    with pytest.raises(
        DataError, match=r"row 0 of points.csv holds the text 'Iris-setosa' in column"
    ):
        walk(open_source(path))


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nx;y\n1,5;2\n3;4\n",
        '"sep=;"\r\nx;y\r\n1,5;2\r\n3;4\r\n',
        "\ufeffsep=|\nx|y\n1.5|2\n3|4\n",
        "# one, or two\n#\n\nx,y\n1.5,2\n3,4\n",
        "# one, two\nx,y\n# three\n1.5,2\n   # four, five\n3,4\n# six",
        "#x,y\n1.5,2\n3,4\n",
        "# x y\n1.5 2\n#\n3 4\n",
        "## format 4\n#x\ty\n1.5\t2\n3\t4\n",
        "x,y,\n1.5,2,\n3,4,\n",
        "x,y\n1.5,2,\n3,4,\n",
        "x,y,\n1.5,2\n3,4\n",
        "x;y;\n1,5;2;\n3;4;\n",
        "x , y\n1.5 , 2\n3 , 4\n",
    ],
)
def test_what_stands_around_a_table_is_left_out(written, text):
    source = open_source(written(text))
    assert list(source.labels) == ["x", "y"]
    assert_array_equal(walk(source)[0], [[1.5, 2], [3, 4]])


def test_a_trailing_separator_without_header_is_no_column(written):
    source = open_source(written("1.5,-2,\n3,4,\n2,-3,\n"))
    assert list(source.labels) == [0, 1]
    assert_array_equal(walk(source)[0], [[1.5, -2], [3, 4], [2, -3]])


def test_columns_without_names_are_told_apart(written):
    source = open_source(written(",x,\n0,1.5,\n1,2.5,\n"))
    assert list(source.labels) == ["", "x"]
    assert_array_equal(walk(source)[0], [[0, 1.5], [1, 2.5]])


def test_a_column_without_values_that_has_a_name_is_one(written):
    with pytest.raises(DataError, match=r"no value.*column 'y'"):
        walk(open_source(written("x,y\n1,\n2,\n")))


def test_lines_with_hashes_are_rows_where_they_have_as_many_cells_and_no_number(written):
    source = open_source(written("tag,x\n#a,1\n#b,2\nc,3\n"), ["x"])
    assert_array_equal(walk(source)[0], [[1], [2], [3]])
    source = open_source(written("tag x\na 1\n# b\nc 3\n"), ["x"])
    assert_array_equal(walk(source)[0], [[1], [3]])


@pytest.mark.parametrize("separator", [",", " "])
@pytest.mark.parametrize("comment", ["# end", "# the{0}end", "  # a{0}b{0}c{0}d"])
def test_comments_and_blanks_far_below_the_head_are_left_out(written, separator, comment):
    rows = some_rows(9000)  # some 500 kB
    text = f"x{separator}y{separator}z\n" + lines(separator, rows=rows)
    more = comment.format(separator) + "\n" + lines(separator + " ", rows=rows)
    source = open_source(written(text + more))
    for _ in range(2):
        assert_array_equal(walk(source, 1000)[0], np.concatenate([rows, rows]))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('x,y\n"1,234",2\n"1,234,567.5",3\n', [[1234, 2], [1234567.5, 3]]),
        ("x;y\n1.234,5;2\n1.234.567,25;-3\n", [[1234.5, 2], [1234567.25, -3]]),
        ("x;y\n1 234,5;2\n-12\u202f345,25;3\n", [[1234.5, 2], [-12345.25, 3]]),
        ("x\ty\n1'234.5\t2\n1\u2019234\t3\n", [[1234.5, 2], [1234, 3]]),
        ("x;y\n1.234;0,5\n2;1\n", [[1234, 0.5], [2, 1]]),
        ("x;y\n1.234.567;2\n1.234;-3\n", [[1234567, 2], [1234, -3]]),
        ("x;y\n0,125;1\n1,250;2\n", [[0.125, 1], [1.25, 2]]),
        ("x|y\n1,125|1\n1,250|2\n", [[1.125, 1], [1.25, 2]]),
        ("x|y\n1,125|1\n250|2\n", [[1125, 1], [250, 2]]),
        ('x,y\n"1,125",1\n"1,250",2\n', [[1125, 1], [1250, 2]]),
    ],
)
def test_thousands_are_read_and_told(written, text, rows):
    source = open_source(written(text))
    assert_array_equal(walk(source)[0], rows)
    assert ("True/False or thousands in 'x'" in source.read_as) == (rows[0][0] > 2)


@pytest.mark.parametrize("words", [("True", "False"), ("true", "false"), ("TRUE", "FALSE")])
def test_true_and_false_are_one_and_zero(written, words):
    source = open_source(written("x,f\n1,{}\n2,{}\n".format(*words)), weight="f")
    assert_array_equal(walk(source)[1], [1, 0])


@pytest.mark.parametrize(("cell", "number"), [("True", 1), ('"1,500"', 1500), ("5", 5)])
def test_words_and_thousands_far_below_the_head_are_read(written, cell, number):
    source = open_source(written("x,f\n" + "1,0\n" * 300_000 + f"2,{cell}\n" + "3,1\n" * 300_000))
    for _ in range(2):
        rows = walk(source, 10_000)[0]
        assert len(rows) == 600_001
        assert_array_equal(rows[299_999:300_002], [[1, 0], [2, number], [3, 1]])


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("cell", ["Maybe", "12,34.5.6", "1.5,2", "   "])
def test_a_cell_that_is_no_number_is_named_in_a_column_of_thousands(written, decimal, cell):
    point = "," if decimal == "." else "."
    text = f"x;f\n1;1{point}000{decimal}5\n" + "2;3\n" * 50 + f"2;{cell}\n" + "2;no\n"
    with pytest.raises(
        DataError, match=f"row 51 of points.csv holds the text '{cell}' in column 'f'"
    ):
        walk(open_source(written(text), decimal=decimal, delimiter=";"))
    with pytest.raises(DataError, match=r"row 1 of points.csv holds the text '1.5' in column 'x'"):
        walk(open_source(written("x;y\n1,5;2\n1.5;2\n1,5;2\n")))
    with pytest.raises(DataError, match=r"row 1 of points.csv holds the text '1.5' in column 'x'"):
        walk(open_source(written("x;y\n1.000,5;2\n1.5;2\n1,5;2\n"), decimal=","))


ENCODINGS = ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", [";", "  "])
def test_encodings_are_found(written, encoding, separator):
    text = f"größe{separator}é{separator}z\n" + lines(separator) + "# end\n"
    path = written(text, encoding=encoding)
    for source in (open_source(path), open_source(path, ["größe", "é", "z"], encoding=encoding)):
        assert_array_equal(walk(source)[0], ROWS)
        assert source.labels == ["größe", "é", "z"]
    if encoding not in ("utf-8", "utf-8-sig"):
        assert encoding in open_source(path).read_as


def test_an_encoding_that_is_given_is_taken_and_one_that_fails_is_named(written):
    path = written("größe,x\n1,2\n", encoding="cp1250")
    assert open_source(path, encoding="cp1250").labels == ["größe", "x"]
    for encoding, said in (("ascii", "not written in ascii.*encoding=... names"), ("u8x", "'u8x'")):
        with pytest.raises(DataError, match=said):
            open_source(path, encoding=encoding)
    far = written(b"x,t\n" + b"1,a\n" * 50_000 + "2,ü\n".encode("latin-1"))
    assert_array_equal(walk(open_source(far, ["x"]), 10_000)[0][-1], [2])
    with pytest.raises(
        DataError, match=r"points.csv is not written in ascii.*encoding=\.\.\. names"
    ):
        walk(open_source(far, ["x"], encoding="ascii"))


def zipped(text, name="points.csv", way=zipfile.ZIP_DEFLATED, **others):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", way) as archive:
        for each, content in {name: text, **others}.items():
            archive.writestr(each, content)
    return buffer.getvalue()


def lz4(text):
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "lz4") as stream:
        stream.write(text)
    return buffer.getvalue().to_pybytes()


COMPRESSIONS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda text: pa.compress(text, "zstd", asbytes=True),
    ".zstd": lambda text: pa.compress(text, "zstd", asbytes=True),
    ".lz4": lz4,
    ".lzma": lambda text: lzma.compress(text, lzma.FORMAT_ALONE),
    ".br": lambda text: pa.compress(text, "brotli", asbytes=True),
    ".zip": zipped,
}


@pytest.mark.parametrize("suffix", [*TEXTS, ".CSV"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_text_is_read_under_its_names_compressed_or_not(written, suffix, compression):
    data = COMPRESSIONS[compression](("x;y;z\n" + lines(";", ",")).encode())
    for name in (f"points{suffix}{compression}", f"points{suffix}"):  # a name may not tell
        if compression == ".br" and name == f"points{suffix}":
            continue  # brotli begins with anything
        source = open_source(written(data, name))
        assert_array_equal(walk(source)[0], ROWS)


TEXT = b"x,y\n1,2\n3,4\n"


def test_what_is_hidden_in_a_zip_archive_is_left_out(written):
    others = {"__MACOSX/data/._points.csv": b"\0", "data/.DS_Store": b"\0", "data/": b""}
    data = zipped(TEXT, "data/points.csv", **others)
    for name in ("points.csv.zip", "points.zip", "points.csv"):
        assert_array_equal(walk(open_source(written(data, name)))[0], [[1, 2], [3, 4]])


@pytest.mark.parametrize("name", ["points.csv.zip", "points.csv", "points.zip"])
def test_zip_archives_of_more_or_less_than_one_file_are_refused(written, name):
    others = {f"{at}.csv": TEXT for at in range(5)}
    said = r"points.* is a zip archive of 3 files \(points.csv, 0.csv, 1.csv\); .*single text"
    with pytest.raises(DataError, match=said):
        open_source(written(zipped(TEXT, **dict(list(others.items())[:2])), name))
    with pytest.raises(DataError, match=r"of 6 files \(points.csv, 0.csv, 1.csv, 2.csv, \.\.\.\)"):
        open_source(written(zipped(TEXT, **others), name))
    with pytest.raises(DataError, match="is a zip archive of no file"):
        open_source(written(b"PK\x05\x06" + bytes(18), name))


def test_zip_archives_that_cannot_be_read_are_refused(written):
    with pytest.raises(DataError, match=r"cannot read points.csv: File is not a zip file"):
        open_source(written(b"PK\x03\x04" + bytes(100)))
    locked = bytearray(zipped(TEXT))
    locked[6] |= 1  # the flags, of the file and in the list at the end
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match=r"cannot read points.csv.*password.*; unpack it, or"):
        open_source(written(bytes(locked)))
    unknown = bytearray(zipped(TEXT))
    unknown[8] = unknown[unknown.index(b"PK\x01\x02") + 10] = 97
    with pytest.raises(DataError, match=r"cannot read points.csv.*compression.*; unpack it, or"):
        open_source(written(bytes(unknown)))
    wrong = bytearray(zipped(TEXT, way=zipfile.ZIP_STORED))
    wrong[wrong.index(TEXT) + 4] += 1
    with pytest.raises(DataError, match=r"cannot read points.csv: Bad CRC-32"):
        walk(open_source(written(bytes(wrong))))
    with pytest.raises(DataError, match=r"points.parquet.zip is a zip archive of no text; unpack"):
        open_source(written(zipped(b"PAR1"), "points.parquet.zip"))


def test_brotli_that_pyarrow_lacks_is_refused_with_the_way_out(written, monkeypatch):
    path = written(COMPRESSIONS[".br"](TEXT), "points.csv.br")
    lacking = SimpleNamespace(is_available=lambda kind: kind != "brotli")
    monkeypatch.setattr(pa, "Codec", lacking)
    said = "points.csv.br is compressed by brotli, which pyarrow lacks here; unpack it, or compress"
    with pytest.raises(DataError, match=said):
        open_source(path)


@pytest.mark.parametrize("compression", [each for each in COMPRESSIONS if each])
def test_a_compressed_file_that_is_cut_is_refused(written, compression):
    text = ("x,y,z\n" + lines(rows=some_rows(30_000))).encode()
    data = COMPRESSIONS[compression](text)
    for length in (len(data) - 4000, len(data) // 2, 20):
        with pytest.raises(DataError, match="points"):
            walk(open_source(written(data[:length], f"points.csv{compression}")), 10_000)


@pytest.mark.parametrize("name", ["points.csv", "points.csv.gz", "points.csv.xz"])
def test_a_line_of_any_length_is_read_in_columns_that_are_not_asked_for(written, name):
    notes = ["short"] * 200
    notes[3], notes[150] = "z" * 200_000, '"' + "many\nlines, " * 500_000 + '"'
    text = "x,y,note\n" + "".join(f"{at},{at + 0.5},{note}\n" for at, note in enumerate(notes))
    source = open_source(written(COMPRESSIONS[name[10:]](text.encode()), name), ["x", "y"])
    for _ in range(2):
        assert_array_equal(walk(source)[0], np.arange(200)[:, None] + [0, 0.5])


@pytest.mark.parametrize("name", ["points.csv", "points.csv.gz"])
def test_a_quote_that_opens_megabytes_is_refused(written, name):
    text = "x,y\n" + "1,2\n" * 100 + '3,"4\n' + "5,6\n" * 2**20
    with pytest.raises(DataError, match=r"the last quote of points.csv.*, byte 406, opens a cell"):
        walk(open_source(written(COMPRESSIONS[name[10:]](text.encode()), name)))


def test_a_header_of_many_names_is_read(written):
    names = [f"gene_{at:07d}" for at in range(110_000)]
    row = ",".join(map(str, range(110_000)))
    path = written(",".join(names) + "\n" + (row + "\n") * 3)
    source = open_source(path, [names[5], names[-1]])
    assert_array_equal(walk(source)[0], [[5, 109_999]] * 3)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            "x,y\n1,2\n3\n",
            {},
            r"row 1 of .* has 1 column\(s\).* names 2, separated by ','.*delimiter=",
        ),
        ("x y\n1 2\n3\n", {}, r"row 1 of .* names 2, separated by blanks.*delimiter=\.\.\."),
        (
            "1.5 -2\n1 2 3\n3 4\n",
            {"header": False},
            r"row 1 of .* has 3 column\(s\) where there are 2, separated",
        ),
        ("# a\nx,y\n1,2\n3\n", {}, r"row 1 of .* has 1 column\(s\)"),
        ("x;y\n1;2\n", {"delimiter": ","}, r"row 0 .* '1;2' in column 'x;y'.*',', .*delimiter="),
        ("x,y\n1,2\n", {"delimiter": ";"}, r"row 0 .* '1,2' in column 'x,y'.*';', .*delimiter="),
        ("x;y\n1,5;2\n", {"decimal": "."}, r"row 0 .* '1,5' in column 'x'.*decimal '\.'.*decimal="),
        ("x;y\n1;2\n", {"columns": ["x"], "delimiter": ","}, r"no column 'x'.*separated by ','"),
        ("x;y\n1;2\n", {"delimiter": ";;"}, "delimiter=';;' separates nothing"),
        ("x;y\n1;2\n", {"delimiter": ""}, "delimiter='' separates nothing"),
        ("x;y\n1;2\n", {"decimal": ";"}, "decimal=';' is unknown"),
        ("x;y\n1;2\n", {"header": 0}, "header=0 is unknown"),
        ("# nothing\n\n", {}, "no line but comments"),
        ("1,2\n", {"header": True}, "holds no rows"),
        ("x y\n1 1.5 2\n2 2.5 3\n", {}, "has 3 column.*names 2, separated by blanks"),
        (
            "Of today\n\nx;y\n1;2\n",
            {},
            "row 0 .* 'x;y' in column 'Of today'.*one column.*delimiter=",
        ),
        ("x,y\n1,2\n".encode("utf-16"), {"encoding": "latin-1"}, "not written in latin-1: .*zeros"),
        ("x,y\n1,2\n".encode("utf-16"), {"encoding": "utf-8"}, "not written in utf-8.*encoding="),
        (b"PAR1....", {}, "is a Parquet file; name it .parquet"),
        (b"PK\x03\x04....", {}, "not a zip file"),
        (b"\x00\x01\x02\x03", {}, "bytes that are no text"),
    ],
)
def test_errors_name_what_was_assumed_and_what_changes_it(written, text, options, said):
    with pytest.raises(DataError, match=said) as caught:
        open_source(written(text), **options).fold(lambda block: len(block.rows), int.__add__, 10)
    assert "mend" not in str(caught.value)


def test_options_of_text_are_refused_of_what_is_none(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    for data in (tmp_path / "x.npy", ROWS):
        with pytest.raises(DataError, match=r"delimiter=';' does not apply to .*; it is for text"):
            open_source(data, delimiter=";")
    with pytest.raises(DataError, match="header=False does not apply"):
        open_source(ROWS, header=False)


R_ROWS = '"Mazda RX4" 1.5 6\n"Fiat 128" 2.5 4\n"Valiant" 3.5 NA\n'


def test_names_of_rows_that_r_has_written_are_left_out(written):
    source = open_source(written('"mpg" "cyl"\n' + R_ROWS), ["mpg"])
    assert "names in line 1, names of rows left out" in source.read_as
    assert_array_equal(walk(source)[0], [[1.5], [2.5], [3.5]])
    with pytest.raises(DataError, match=r"row 2 of points.csv holds no value .* in column 'cyl'"):
        walk(open_source(written('"mpg" "cyl"\n' + R_ROWS)))
    years = '"2001","2002"\n"1",3,4\n"2",5,6\n'
    assert_array_equal(walk(open_source(written(years), ["2002"]))[0], [[4.0], [6.0]])
    ends = '"x","y"\n"1",2,\n"3",4,\n'  # a separator at the ends of lines
    assert_array_equal(walk(open_source(written(ends)))[0], [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    "text",
    [
        "mpg cyl\n" + R_ROWS,
        "x,y\n1,2,3\n2,4,6\n",
        "x y\n1 2.5 3\n2 3.5 4\n",
        '"x","y"\n1,2,"3"\n2,3,"4"\n',
        '"x","y"\n"1","2","3"\n"2","3","4"\n',
    ],
)
def test_a_header_that_is_a_name_short_might_lack_the_first_or_the_last(written, text):
    with pytest.raises(DataError, match=r"where the header names 2.*R's write.table.*col.names=NA"):
        walk(open_source(written(text)))


@pytest.mark.parametrize(
    ("above", "line"),
    [
        ("Measured in 2020", 2),
        ("Measured in 2020\nby me, in Paris\n", 4),
        ("Station: Paris,", 2),
        ("a title of words", 2),
        ("# a comment\nMeasured", 3),
        ("% a comment of Matlab's", 2),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_title_above_the_names_is_refused_with_the_line_of_the_names(
    written, above, line, separator
):
    text = f"x{separator}y\n" + "".join(f"{at}.5{separator}-{at}\n" for at in range(9))
    path = written(f"{above}\n{text}")
    for options in ({}, {"columns": ["x", "y"]}, {"delimiter": separator}):
        with pytest.raises(DataError, match=rf"numbers begin below line {line}, 'x.*y': a line"):
            walk(open_source(path, **options))
    mended = written("".join(f"# {each}\n" for each in above.splitlines()) + text)
    assert_array_equal(walk(open_source(mended))[0][:, 0], np.arange(9) + 0.5)


PAIRS = [
    "1,2\n3,4\n5,6\n",
    "10,25\n-30,5\n\n0,0\n",
    "1,200\n3,400\n",
    "# by hand\n1,2\n3,4",
    "1,2\n3,\n",
    "120,255,100\n130,250,101\n",
]


@pytest.mark.parametrize("title", ["Measured in 2024", "# a comment\nHeight (cm)", "Run 7;"])
@pytest.mark.parametrize("pairs", PAIRS)
def test_words_above_pairs_of_whole_numbers_are_refused_with_both_ways_out(written, title, pairs):
    text = f"{title}\n{pairs}"
    said = r"column of numbers such as 1.*,2.*, or be a title above [23] columns: header=True says"
    with pytest.raises(DataError, match=said) as caught:
        open_source(written(text))
    assert "begin that line with # and give header=False" in str(caught.value)


def test_each_way_out_of_words_above_pairs_is_one(written):
    pairs = "1,2\n3,4\n5,6\n"
    path = written(f"Measured in 2024\n{pairs}")
    name = "Measured in 2024"
    for options in ({"decimal": ","}, {"header": True}, {"delimiter": ";"}, {"columns": [name]}):
        source = open_source(path, **options)
        assert source.labels == [name]
        assert_array_equal(walk(source)[0], [[1.2], [3.4], [5.6]])
    with pytest.raises(DataError, match=r"2 column\(s\) where the header names 1"):
        walk(open_source(path, delimiter=","))
    mended = open_source(written(f"# {name}\n{pairs}"), header=False)
    assert_array_equal(walk(mended)[0], [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("x\n1,2\n3,4\n", [1.2, 3.4]),  # a word is a name
        ("Height (cm)\n1,2\n3,05\n", [1.2, 3.05]),
        ("Height (cm)\n1,2\n3\n", [1.2, 3]),
        ("Height (cm)\n1,2\n-0,5\n", [1.2, -0.5]),
        ('Height (cm)\n"1,2"\n"3,4"\n', [1.2, 3.4]),
        ("Height (cm)\n1.2\n3.4\n", [1.2, 3.4]),
        ("Height (cm)\n1\n3\n", [1, 3]),
        ("Number of people\n1,234,567\n2,034,567\n", [1234567, 2034567]),
        ("People\n1,234,567\n2,134,567\n", [1234567, 2134567]),
    ],
)
def test_one_column_of_decimals_is_read_where_it_can_be_nothing_else(written, text, numbers):
    assert_array_equal(walk(open_source(written(text)))[0][:, 0], numbers)


def test_units_below_the_names_are_refused_with_their_line(written):
    with pytest.raises(DataError, match="begin below line 2, 'm,s': a line that neither names"):
        walk(open_source(written("x,y\nm,s\n1,2\n3,4\n")))
    assert_array_equal(walk(open_source(written("x,y\n# m,s\n1,2\n3,4\n")))[0], [[1, 2], [3, 4]])


@pytest.mark.parametrize("text", ["x,name\n1,Ann\n2,Bob\n", "name\nAnn\nBob\n", "x,y\n1,2\n3,a\n"])
def test_text_in_other_rows_is_no_title(written, text):
    for options in ({}, {"columns": ["z"]}):
        with pytest.raises(DataError) as caught:
            walk(open_source(written(text), **options))
        assert "begin below" not in str(caught.value)


@pytest.mark.parametrize("pairs", ["1,7\n2,14\n3,20\n", "1,10\n2,5\n", "5,100\n6,99\n7,0\n"])
def test_one_word_above_what_are_no_decimals_may_be_a_title(written, pairs):
    # decimals are all of one length, or none has a needless zero
    with pytest.raises(DataError, match=r"'points', may name one column .*title above 2 columns"):
        open_source(written("points\n" + pairs))


@pytest.mark.parametrize("decimals", ["1,5\n2,0\n", "1,50\n2,20\n", "1,5\n2,25\n3,0\n"])
def test_one_word_above_what_may_be_decimals_names_them(written, decimals):
    expected = [[float(line.replace(",", "."))] for line in decimals.split()]
    assert_array_equal(walk(open_source(written("points\n" + decimals)))[0], expected)


@pytest.mark.parametrize("error", ["#DIV/0!", "#REF!", "#NAME?", "#VALUE!", "#NV", "#WERT!"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("at", [1, 200])
def test_errors_of_spreadsheets_are_no_comments(written, error, separator, at):
    rows = ["1.5,2"] * 250
    rows[at] = f"{error},4"
    path = written("\n".join(["x,y", *rows, "# the end", ""]).replace(",", separator))
    with pytest.raises(DataError, match=f"row {at} of .* holds the text '{re.escape(error)}'"):
        walk(open_source(path))


@pytest.mark.parametrize("cell", ["#N/A", "n/a", "<NA>", "#NA", " NA ", " n/a"])
@pytest.mark.parametrize("at", [1, 200])
def test_what_people_write_for_no_value_is_none(written, cell, at):
    rows = ["1.5,2"] * 250
    rows[at] = f"{cell},4"
    with pytest.raises(DataError, match=rf"row {at} of .* holds no value \(NaN or null\)"):
        walk(open_source(written("\n".join(["x,y", *rows]))))


@pytest.mark.parametrize("sign", ["?", "-", "--", ".", "*"])
def test_a_sign_beside_numbers_does_not_make_names_of_a_row(written, sign):
    with pytest.raises(DataError, match=rf"'{re.escape(sign)}' in column|may be a row, or names"):
        walk(open_source(written(f"5.1,{sign},1\n4.9,3.0,2\n1.5,2,3\n")))


@pytest.mark.parametrize("n_above", [0, 200])
def test_a_line_with_a_hash_within_a_cell_is_no_comment(written, n_above):
    above = "7,as said\n" * n_above
    path = written(f'id,note\n{above}1,"abc\n# def"\n2,"x"\n3,5" wide\n# a comment\n4,y\n')
    found = walk(open_source(path, ["id"]))[0]
    assert_array_equal(found[n_above:, 0], [1, 2, 3, 4])
    assert len(found) == n_above + 4


def test_lines_in_cells_are_kept_where_pieces_of_a_file_end_in_them():
    line = b'1,"abc\n# def\n  \n"\n# no\n   \n'
    for piece in (1, 7, 4096):
        stream = Pieces(line * 3000, piece)
        tidied = tidying.Tidied(stream, tidying.Tidying(True, blank_lines=True))
        assert tidied.read() == b'1,"abc\n# def\n  \n"\n' * 3000


class Pieces(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data, size):
        super().__init__(data)
        self.size = size

    def read(self, _=-1):
        return super().read(self.size)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("id,x\n#1,2.5\n#2,3.5\n", [2.5, 3.5]),
        ("colour;x\n#ff0000;2,5\n#00ff00;3,5\n", [2.5, 3.5]),
        ("id,x\nA1,2.5\n#2,3.5\n", [2.5, 3.5]),
    ],
)
def test_rows_may_all_begin_with_a_hash(written, rows, expected):
    assert_array_equal(walk(open_source(written(rows), ["x"]))[0][:, 0], expected)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("above", ["", "# by hand\n  \n# again\n", "   \n"])
def test_lines_of_blanks_are_left_out(written, separator, above):
    text = f"{above}x,y\n1,2\n  \n3,4\n# c\n5,6\n   \n".replace(",", separator)
    assert_array_equal(walk(open_source(written(text)))[0], [[1, 2], [3, 4], [5, 6]])
    path = written("x\n1\n2\n   \n3\n \n")
    assert_array_equal(walk(open_source(path))[0][:, 0], [1, 2, 3])


@pytest.mark.parametrize("separator", ["|", ";", "\t", ","])
def test_a_separator_at_both_ends_of_lines_makes_no_column(written, separator):
    text = "|x|y|\n|1|2|\n|3|4|\n".replace("|", separator)
    source = open_source(written(text))
    assert source.labels == ["x", "y"]
    assert_array_equal(walk(source)[0], [[1, 2], [3, 4]])
    source = open_source(written(text.replace(f"{separator}\n", "\n")))
    assert source.labels == ["x", "y"]


def test_one_number_with_decimals_or_two_whole_ones_is_asked(written):
    path = written("-6,109494\n3,0308\n-13,47\n17,5\n")
    said = r"such as 3,0308 may hold one number or two: decimal=',' says .*, delimiter=',' the"
    for options in ({"header": False}, {"columns": [0]}):
        with pytest.raises(DataError, match=said):
            open_source(path, **options)
    assert_array_equal(
        walk(open_source(path, decimal=","))[0], [[-6.109494], [3.0308], [-13.47], [17.5]]
    )
    two = [[-6, 109494], [3, 308], [-13, 47], [17, 5]]
    assert_array_equal(walk(open_source(path, delimiter=",", header=False))[0], two)
    for whole in ("3,0\n-1,2\n", "3,-2\n10,07\n", "1.5,2\n10,07\n", "1,2,3\n4,05,6\n"):
        assert walk(open_source(written(whole), header=False))[0].shape[1] > 1


def test_thousands_of_one_column_are_known_by_a_number_without_a_comma(written):
    assert_array_equal(
        walk(open_source(written("x\n1,598\n780\n2,001\n")))[0][:, 0], [1598, 780, 2001]
    )
    assert_array_equal(walk(open_source(written("x\n1,598\n2,001\n")))[0][:, 0], [1.598, 2.001])


@pytest.mark.parametrize("cells", ["True\nFalse\n", "1 234,5\n2 345,25\n"])
def test_lines_of_blanks_are_left_out_of_one_column_read_as_text(written, cells):
    plain = walk(open_source(written("x\n" + cells)))[0]
    assert_array_equal(
        walk(open_source(written(f"  \nx\n{cells}   \n{cells}  \n")))[0], [*plain, *plain]
    )


def test_numbers_in_columns_of_words_say_nothing_of_the_decimals(written):
    rows = "Ann;2.5;1,5\n1,5;3.5;Bob\n1,5;4.25;1,5\n"
    source = open_source(written("name;x;other\n" + rows), ["x"])
    assert_array_equal(walk(source)[0][:, 0], [2.5, 3.5, 4.25])
    source = open_source(written("x\n1,5\n2,25\n?\n"))  # of words alone, they do
    with pytest.raises(DataError, match=r"holds the text '\?'"):
        walk(source)


@pytest.mark.parametrize("above", ["", "#by hand\n# today\n"])
def test_comments_and_rows_that_begin_with_a_hash_are_told_apart(written, above):
    path = written(f"{above}name;x\nAnn;1,5\n#7;2,5\n# a comment; of 2021\n#8;3,5\n##\n# end\n")
    source = open_source(path, ["x"])
    assert_array_equal(walk(source)[0][:, 0], [1.5, 2.5, 3.5])
