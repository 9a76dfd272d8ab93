"""Each row of the table of text files in docs/quickstart.md is read so, found as well as told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import shlex
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from cli.commands import run
from numpy.testing import assert_array_equal
from sources.rows import walk

from fastgmm.estimators.model_file import load
from fastgmm.sources import open_source

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text()
TABLE = [
    [cell.strip() for cell in line.split(" | ")]
    for line in PAGE.partition("### Text files")[2].partition("\n\nA first line")[0].splitlines()
    if line.startswith("| ")
][2:]
ROWS = [[1.5, -2.0], [3.0, 4.25], [2.0, -1.0], [0.5, 2.0]]
NAMED = "x,y\n1.5,-2\n3,4.25\n2,-1\n0.5,2\n"
SEMICOLONS = NAMED.replace(",", ";").replace(".", ",")
NO_HEADER = NAMED.partition("\n")[2]
YEARS = "2001,2002\n" + NO_HEADER
LONG = "x,y,note\n" + "".join(f"{line},{'z' * 1_500_000}\n" for line in NO_HEADER.splitlines())


def lz4(data):
    """Compress as the program lz4 does; pa.compress leaves out what such a file begins with."""
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "lz4") as stream:
        stream.write(data)
    return buffer.getvalue().to_pybytes()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


# by the first words of a row: files that hold ROWS so
FILES: dict[str, list[str | bytes | tuple[str, bytes]]] = {
    "cells between": [NAMED, NAMED.replace(",", ";"), *(NAMED.replace(",", s) for s in "\t| ")],
    "`1,5`": [SEMICOLONS, SEMICOLONS.replace(";", "\t"), SEMICOLONS.replace(";", "   ")],
    "`1.234,5`": [
        "x;y\n1,5;-2\n3;4,25\n2.000;-1\n,5;2\n",
        "x;y\n1,5;-2\n3;4,25\n2 000;-1\n0,5;2\n",
    ],
    "no header": [NO_HEADER],
    "names of columns that are numbers": [YEARS],
    "lines with `#`": ["# by hand\n\n" + NAMED + "# end", "sep=;\n" + SEMICOLONS, "# " + NAMED],
    "a separator at the ends": [
        NAMED.replace("\n", ",\n"),
        "x,y\n" + NO_HEADER.replace("\n", ",\n"),
        "|" + NAMED.strip().replace(",", "|").replace("\n", "|\n|") + "|\n",
    ],
    "names of rows": [
        '"x" "y"\n"1" 1.5 -2\n"2" 3 4.25\n"3" 2 -1\n"4" .5 2\n',
        '"x","y"\n"a b",1.5,-2\n"c",3,4.25\n"d",2,-1\n"e",.5,2\n',
    ],
    "`True`, `False`": ["x,y\n1.5,False\n3,True\n"],
    "UTF-8": [
        NAMED.replace("x", "é").encode(each) for each in ("utf-8", "utf-8-sig", "utf-16", "latin-1")
    ],
    "compressed": [
        gzip.compress(NAMED.encode()),
        lzma.compress(NAMED.encode()),
        bz2.compress(NAMED.encode()),
        pa.compress(NAMED.encode(), "zstd", asbytes=True),
        lzma.compress(NAMED.encode(), lzma.FORMAT_ALONE),
        lz4(NAMED.encode()),
    ],
    "compressed by brotli": [(".br", pa.compress(NAMED.encode(), "brotli", asbytes=True))],
    "the only file of a zip": [zipped({"x.csv": NAMED, "__MACOSX/._x.csv": "\0"})],
    "long texts": [LONG, "x,y," + ",".join(f"n{at}" for at in range(109_998)) + "\n"],
}
EXPECTED = {
    "`1.234,5`": [ROWS[0], ROWS[1], [2000.0, -1.0], ROWS[3]],
    "`True`, `False`": [[1.5, 0.0], [3.0, 1.0]],
}


@pytest.mark.parametrize(("row", "key"), list(zip(TABLE, FILES, strict=True)), ids=FILES)
def test_a_row_holds_found_and_told(row, key, tmp_path):
    assert row[0].removeprefix("| ").startswith(key)
    told = eval(f"dict({', '.join(re.findall(r'`([a-z]+=[^`]+)`', row[2]))})")
    asked = eval(f"dict({', '.join(re.findall(r'`(columns=[^`]+)`', row[1]))})")
    options = shlex.split(" ".join(re.findall(r"`(--[^`]+)`", row[2])))
    n_told = 0
    for number, data in enumerate(FILES[key]):
        suffix, data = data if isinstance(data, tuple) else ("", data)
        path = tmp_path / f"points{number}.csv{suffix}"
        data = data.encode() if isinstance(data, str) else data
        if key == "long texts" and number == 1:
            data += "".join(f"{line}{',0' * 109_998}\n" for line in NO_HEADER.split()).encode()
        path.write_bytes(data)
        found = open_source(path, **asked, **{k: v for k, v in told.items() if k == "columns"})
        expected = EXPECTED.get(key, ROWS)
        assert_array_equal(walk(found)[0], expected)
        if told.items() <= said_of(found).items():  # what the table shows is one of several
            n_told += 1
            assert_array_equal(walk(open_source(path, **told))[0], expected)
            run("fit", path, "-k", 1, "--init", "random", *options, "-o", tmp_path / "model.npz")
            assert load(tmp_path / "model.npz").n_rows_ == len(expected)
    assert n_told


def said_of(source):
    """Return the options that say of a source what was found."""
    separator, decimal = re.match(
        r"(?:separated by (.*)|one column), decimal '(.)'", source.read_as
    ).groups()
    return {
        "delimiter": separator.strip("'"),
        "decimal": decimal,
        "header": "no header" not in source.read_as,
        "columns": list(source.labels),
        "encoding": source.read_as.rpartition(", ")[2],
    }
