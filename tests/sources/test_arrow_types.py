"""What Arrow's types are as rows, from memory and from files."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import feather, parquet
from sources.rows import rows_of, some_rows, walk

from fastgmm import GaussianMixture
from fastgmm.errors import DataError
from fastgmm.sources import open_source

ROWS = some_rows(23, 4)
LISTS = ROWS.tolist()


def table(_, column):
    return pa.table({"c": column})


def chunked(_, column):
    return pa.table({"c": pa.chunked_array([column[:3], column[3:10], column[10:]])})


def batch(_, column):
    return pa.RecordBatch.from_pydict({"c": column})


def parquet_file(folder, column):
    parquet.write_table(table(folder, column), folder / "x.parquet", row_group_size=7)
    return folder / "x.parquet"


def arrow_file(folder, column):
    feather.write_feather(table(folder, column), folder / "x.arrow", chunksize=7)
    return folder / "x.arrow"


def polars(folder, column):
    return pl.from_arrow(table(folder, column))


def lazy(folder, column):
    return polars(folder, column).lazy()


def chunks(folder, column):
    return table(folder, column).to_batches(max_chunksize=7)


def relation(folder, column):
    return duckdb.from_arrow(table(folder, column))


WAYS = [table, chunked, batch, parquet_file, arrow_file, polars, lazy, chunks, relation]
EXACT = ["0.100000", "-1234.567891", "0.125730", "99999.999999", "0.000001", "-0.000003"]
DECIMALS = [Decimal(text) for text in (EXACT * 4)[:23]]


EVERY_WAY = [pytest.param(make, id=make.__name__) for make in WAYS]


@pytest.mark.parametrize("make", EVERY_WAY)
@pytest.mark.parametrize("precision", [18, 38])
def test_decimals_are_the_nearest_floats(make, precision, tmp_path):
    column = pa.array(DECIMALS, pa.decimal128(precision, 6))
    assert_array_equal(rows_of(make(tmp_path, column))[:, 0], [float(each) for each in DECIMALS])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["123456789012345678901.5", "0.1", "-7.0"], pa.decimal128(38, 10)),
        (["123456789012345678901234567890123456789012.5", "0.1"], pa.decimal256(60, 10)),
        (["1E+10", "-2E+9"], pa.decimal128(10, -5)),
        (["0.1", "12.34"], pa.decimal32(9, 2)),
        (["0.1", "12.34"], pa.decimal64(18, 4)),
        (["9007199254740993", "-9007199254740993", "1"], pa.decimal128(38, 0)),
    ],
)
def test_decimals_of_any_width_are_the_nearest_floats(values, kind):
    decimals = [Decimal(value) for value in values]
    column = pa.array([Decimal(0), *decimals], kind)[1:]  # a slice, with an offset
    assert_array_equal(rows_of(pa.table({"c": column}))[:, 0], list(map(float, decimals)))


def test_literals_sums_and_hugeints_of_duckdb_are_numbers():
    found = duckdb.sql(
        "select 1.5 a, sum(2.25::decimal(10, 3)) b, 1::hugeint c, sum(3) d, "
        "[1.5, 2.5]::double[2] e, [1, 2] f, {'x': 1.5, 'y': 2} g, 255::utinyint h, true i"
    )
    source = open_source(found)
    names = [*"abcd", "e[0]", "e[1]", "f[0]", "f[1]", "g.x", "g.y", "h", "i"]
    assert list(source.labels) == names
    assert_array_equal(walk(source)[0], [[1.5, 2.25, 1, 3, 1.5, 2.5, 1, 2, 1.5, 2, 255, 1]])


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (pa.array([1.5, 2.5, 1.5]).dictionary_encode(), [1.5, 2.5, 1.5]),
        (pa.array([1.5, -2.5, 0.0], pa.float16()), [1.5, -2.5, 0.0]),
        (pa.array([2**64 - 1, 2**63, 1], pa.uint64()), [2.0**64, 2.0**63, 1.0]),
        (pa.array([True, False, True]), [1.0, 0.0, 1.0]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], [1.5, 2.5]), [1.5, 1.5, 2.5]),
        (pa.array([1, 0, 1], pa.int8()).cast(pa.bool8()), [1.0, 0.0, 1.0]),
    ],
    ids=["dictionary", "half", "uint64", "bool", "runs", "bool8"],
)
@pytest.mark.parametrize("cut", [slice(None), slice(1, None)])
def test_numbers_in_any_coat_are_numbers(column, numbers, cut, tmp_path):
    for data in (pa.table({"c": column[cut]}), pa.RecordBatch.from_pydict({"c": column[cut]})):
        assert_array_equal(rows_of(data)[:, 0], numbers[cut])
    if not str(column.type).startswith("run_end"):  # which Parquet does not hold
        parquet.write_table(pa.table({"c": column[cut]}), tmp_path / "x.parquet")
        assert_array_equal(rows_of(tmp_path / "x.parquet")[:, 0], numbers[cut])


KINDS = {
    "fixed": pa.list_(pa.float64(), 4),
    "lists": pa.list_(pa.float64()),
    "large": pa.large_list(pa.float64()),
    "decimals": pa.list_(pa.decimal128(30, 20), 4),
}


@pytest.mark.parametrize("make", EVERY_WAY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_arrays_is_a_feature_for_each_number(make, kind, tmp_path):
    if make is relation and kind == "decimals":
        pytest.skip("DuckDB reads no fixed lists of decimals from Arrow")
    rows = ROWS.round(3)
    cells = [[Decimal(f"{v:.3f}") for v in row] for row in rows] if kind == "decimals" else rows
    data = make(tmp_path, pa.array(list(cells), KINDS[kind]))
    source = open_source(data)
    assert source.feature_names == ("c[0]", "c[1]", "c[2]", "c[3]")
    assert_array_equal(walk(source, 10)[0], rows)
    assert_array_equal(rows_of(data, columns=["c[2]", "c[0]"]), rows[:, [2, 0]])
    assert_array_equal(rows_of(data, columns=["c"], chunk_rows=2), rows)


def test_views_and_tensors_are_columns_of_arrays():
    view = pa.array(LISTS, pa.list_view(pa.float64()))
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS.reshape(23, 2, 2))
    for column in (view, tensor):
        assert_array_equal(rows_of(pa.table({"c": column})), ROWS)
        assert_array_equal(rows_of(pa.table({"c": column[5:]})), ROWS[5:])


@pytest.mark.parametrize("make", EVERY_WAY)
def test_a_struct_is_a_feature_for_each_field(make, tmp_path):
    column = pa.array([{"x": row[0], "y": row[1:3]} for row in LISTS])
    data = make(tmp_path, column)
    assert open_source(data).feature_names == ("c.x", "c.y[0]", "c.y[1]")
    assert_array_equal(rows_of(data), ROWS[:, :3])
    assert_array_equal(rows_of(data, columns=["c.y", "c.x"]), ROWS[:, [1, 2, 0]])


def test_a_column_of_float32_arrays_stays_single_and_its_weight_is_beside_it():
    data = pa.table({"w": range(23), "c": list(ROWS.astype("f4"))})
    source = open_source(data, weight="w")
    assert source.dtype == np.float32
    rows, weights = walk(source)
    assert_array_equal(rows, ROWS.astype("f4"))
    assert_array_equal(weights, range(23))
    with pytest.raises(DataError, match=r"'c' of the Table holds 4 numbers.*such as 'c\[0\]'"):
        open_source(data, weight="c")
    with pytest.raises(DataError, match=r"columns 'c' and 'c\[1\]' are one"):
        open_source(data, ["c", "c[1]"])


@pytest.mark.parametrize("make", EVERY_WAY)
@pytest.mark.parametrize(
    ("row", "cell", "said"),
    [
        (17, [1.0, 2.0], r"row 17 of .* holds 2 number.* column 'c' where the rows before hold 4"),
        (8, None, r"row 8 of .* holds no value .* column 'c'"),
        (9, [1.0, None, 2.0, 3.0], r"row 9 of .* holds no value .* column 'c\[1\]'"),
        (9, [1.0, 2.0, 3.0, np.nan], r"row 9 of .* holds no value .* column 'c\[3\]'"),
    ],
    ids=["ragged", "null", "null within", "NaN"],
)
def test_a_bad_list_is_named_by_its_row(make, row, cell, said, tmp_path):
    lists = [*LISTS[:row], cell, *LISTS[row + 1 :]]
    data = make(tmp_path, pa.array(lists, pa.list_(pa.float64())))
    if make is chunks and row == 17:  # the first of its chunk is as long as no other
        said = r"chunk 2\) (holds|has)|row 17"
    with pytest.raises(DataError, match=said):
        walk(open_source(data))


def test_lists_that_are_not_asked_for_may_be_ragged(tmp_path):
    data = pa.table({"a": ROWS[:, 0], "t": [[1.0] * (i % 3 + 1) for i in range(23)]})
    parquet.write_table(data, tmp_path / "x.parquet")
    for each in (data, tmp_path / "x.parquet"):
        assert_array_equal(rows_of(each, columns=["a"])[:, 0], ROWS[:, 0])


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1, 2], pa.timestamp("us")), r"timestamp\[us\]; make it seconds first"),
        (pa.array([1, 2], pa.date32()), "date32.*; make it seconds first"),
        (pa.array([1, 2], pa.duration("s")), "duration.*; make it seconds first"),
        (pa.array([1, 2], pa.time64("us")), "time64.*; make it seconds first"),
        (pa.array(["x", "y"]), "string; cast it to a number"),
        (pa.array(["x", "y"]).dictionary_encode(), "dictionary<values=string"),
        (pa.array([[], [1.0]]), "each row needs one list of numbers"),
        (pa.array([[[1.0]], [[2.0]]]), "each row needs one list of numbers"),
        (pa.array([["a"], ["b"]]), "each row needs one list of numbers"),
    ],
)
def test_what_is_no_number_is_named_with_a_way_out(column, said):
    with pytest.raises(DataError, match=f"column 'c' of the Table holds .*{said}"):
        open_source(pa.table({"c": column}))


def test_a_null_in_parquet_and_a_nan_in_csv_are_told_alike(tmp_path):
    parquet.write_table(pa.table({"a": [1.0, 2.0, None], "b": [1.0] * 3}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("a,b\n1,1\n2,1\nnan,1\n")
    (tmp_path / "y.csv").write_text("a,b\n1,1\n2,1\n,1\n")
    said = set()
    for name in ("x.parquet", "x.csv", "y.csv"):
        with pytest.raises(DataError) as found:
            GaussianMixture(1).fit(tmp_path / name)
        said.add(str(found.value).replace(name, "FILE"))
    way = "drop or impute it, or expect it: GaussianMixture(missing='em')"
    assert said == {f"row 2 of FILE holds no value (NaN or null) in column 'a'; {way}"}


def test_a_fit_to_a_column_of_arrays_scores_frames_and_files_alike(tmp_path):
    data = pa.table({"e": pa.array(LISTS)})
    parquet.write_table(data, tmp_path / "x.parquet")
    model = GaussianMixture(1, random_state=0).fit(data.to_pandas())
    assert list(model.feature_names_in_) == ["e[0]", "e[1]", "e[2]", "e[3]"]
    expected = GaussianMixture(1, random_state=0).fit(ROWS).score(ROWS)
    for each in (data, data.to_pandas(), pl.from_arrow(data), tmp_path / "x.parquet"):
        assert model.score(each) == expected
    model.partial_fit(data.to_pandas())
