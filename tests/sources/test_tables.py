import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sources.rows import rows_of, some_rows, walk

from fastgmm.errors import DataError
from fastgmm.sources import open_source

ROWS = some_rows()
COLUMNS = dict(zip("abc", ROWS.T, strict=True))
MAKERS = [pd.DataFrame, pl.DataFrame, pa.table, pa.RecordBatch.from_pydict]


@pytest.mark.parametrize("make", MAKERS)
def test_every_table_keeps_its_rows_and_names(make):
    source = open_source(make(COLUMNS))
    assert source.feature_names == ("a", "b", "c")
    assert source.n_rows == 23
    assert source.checked
    assert_array_equal(rows_of(make(COLUMNS)), ROWS)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("chunk_rows", [None, 1, 5])
def test_every_table_gives_chosen_columns_and_weights(make, chunk_rows):
    table = make(COLUMNS | {"n": np.arange(23)})
    rows, weights = walk(open_source(table, ["c", "a"], "n", chunk_rows))
    assert_array_equal(rows, ROWS[:, [2, 0]])
    assert_array_equal(weights, np.arange(23))
    assert weights.dtype == np.float64


@pytest.mark.parametrize("make", MAKERS)
def test_float32_only_if_every_column_is(make):
    single = {name: column.astype("f4") for name, column in COLUMNS.items()}
    assert open_source(make(single)).dtype == np.float32
    assert open_source(make(single | {"n": np.arange(23)})).dtype == np.float64
    assert open_source(make(single | {"n": np.arange(23)}), weight="n").dtype == np.float32


@pytest.mark.parametrize("make", MAKERS)
def test_ints_and_bools_are_numbers(make):
    rows = rows_of(make({"i": np.arange(5, dtype="i2"), "b": np.arange(5) > 2}))
    assert_array_equal(rows, [[0, 0], [1, 0], [2, 0], [3, 1], [4, 1]])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "values",
    [
        ["x", "y"],
        np.zeros(2, "M8[ms]"),
        np.zeros(2, "m8[ms]"),
        [1, None],
        [1.0, None],
        [True, None],
        [[1.0], [2.0, 3.0]],
        [["a"], ["b"]],
    ],
)
def test_columns_that_are_not_numbers_are_named(make, values):
    with pytest.raises(DataError, match="'odd"):
        open_source(make({"a": [1.0, 2.0], "odd": values}))


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"odd": pd.Categorical([1, None])}),
        pd.DataFrame({"odd": pd.Categorical(["x", "y"])}),
        pd.DataFrame({"odd": pd.array([1, None], "Int64")}),
        pl.DataFrame({"odd": pl.Series(["x", "y"], dtype=pl.Categorical)}),
        pa.table({"odd": pa.array(["x", "y"]).dictionary_encode()}),
        pa.table({"odd": pa.nulls(2)}),
    ],
)
def test_other_types_that_are_not_numbers_are_named(table):
    with pytest.raises(DataError, match="'odd'"):
        open_source(table)


@pytest.mark.parametrize("make", MAKERS)
def test_decimals_are_numbers(make):
    given = [decimal.Decimal("1.5"), decimal.Decimal("-0.1")]
    assert_array_equal(rows_of(make({"d": given})), [[1.5], [-0.1]])


@pytest.mark.parametrize("kind", ["Int128", "UInt128"])
def test_polars_integers_of_128_bits_are_numbers(kind):
    frame = pl.DataFrame({"i": [1, 2**60]}, schema={"i": getattr(pl, kind)})
    assert_array_equal(rows_of(frame), [[1], [2**60]])


def test_pandas_categories_that_are_numbers_are_taken():
    assert_array_equal(rows_of(pd.DataFrame({"c": pd.Categorical([2, 1, 2])})), [[2], [1], [2]])


@pytest.mark.parametrize(
    "cells",
    [
        [np.array([1.0, 2.0]), np.array([3.0, 4.0])],
        [[1.0, 2.0], [3.0, 4.0]],
        [(1, 2), (3, 4)],
        pd.array([[1, 2], [3, 4]], dtype=pd.ArrowDtype(pa.list_(pa.int32()))),
        [[decimal.Decimal(1), 2], [3, 4.0]],
    ],
    ids=["arrays", "lists", "tuples", "Arrow lists", "objects"],
)
def test_a_pandas_column_of_arrays_is_features(cells):
    frame = pd.DataFrame({"w": [1, 2], "e": cells})
    source = open_source(frame, weight="w")
    assert source.feature_names == ("e[0]", "e[1]")
    rows, weights = walk(source)
    assert_array_equal(rows, [[1, 2], [3, 4]])
    assert_array_equal(weights, [1, 2])
    assert_array_equal(rows_of(frame, columns=["e[1]"]), [[2], [4]])
    assert_array_equal(rows_of(frame, columns=["e"], chunk_rows=1), rows)


def test_a_pandas_column_of_float32_arrays_stays_single():
    cells = list(ROWS.astype("f4"))
    assert open_source(pd.DataFrame({"e": cells})).dtype == np.float32
    assert open_source(pd.DataFrame({"e": [*cells[:5], ROWS[5]]})).dtype == np.float64


def test_pandas_arrays_of_other_lengths_are_named_by_row():
    frame = pd.DataFrame({"e": [[1.0, 2.0], [3.0, 4.0], [5.0]]})
    with pytest.raises(DataError, match=r"row 2 of the DataFrame holds 1 number.* 'e' where"):
        open_source(frame)
    with pytest.raises(DataError, match=r"row 1 of the DataFrame holds no value .* column 'e'"):
        open_source(pd.DataFrame({"e": [[1.0], None]}))


def test_a_null_is_named_by_its_row():
    table = pa.table({"a": pa.chunked_array([[1.0, 2.0], [3.0, None]])})
    with pytest.raises(DataError, match=r"row 3 of the Table holds no value .* column 'a'"):
        open_source(table)


def test_nullable_columns_without_nulls_are_numbers():
    columns = {
        "i": pd.array([1, 2], "Int64"),
        "f": pd.array([1.5, 2.5], "double[pyarrow]"),
        "b": pd.array([True, False], "boolean"),
    }
    assert_array_equal(rows_of(pd.DataFrame(columns)), [[1, 1.5, 1], [2, 2.5, 0]])


def test_a_pandas_index_is_no_position():
    frame = pd.DataFrame(COLUMNS, index=np.arange(23.0)[::-1])
    assert_array_equal(rows_of(frame, chunk_rows=5), ROWS)


def test_columns_that_are_named_by_numbers_are_chosen_by_them():
    assert_array_equal(rows_of(pd.DataFrame(ROWS, columns=[10, 20, 30]), columns=[30]), ROWS[:, 2:])


def test_arrow_slices_and_uneven_chunks_are_followed():
    a = pa.chunked_array([ROWS[:5, 0], ROWS[5:, 0]])
    b = pa.chunked_array([ROWS[:11, 1], ROWS[11:11, 1], ROWS[11:, 1]])
    table = pa.table({"a": a, "b": b}).slice(3, 15)
    assert_array_equal(rows_of(table), ROWS[3:18, :2])
    assert_array_equal(rows_of(pl.concat([pl.DataFrame(COLUMNS)] * 2)), np.vstack([ROWS, ROWS]))
