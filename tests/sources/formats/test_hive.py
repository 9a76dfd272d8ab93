"""Keys of hive-partitioned folders as columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import dataset, parquet
from sources.rows import some_rows, walk

from fastgmm import GaussianMixture
from fastgmm.errors import DataError
from fastgmm.sources import open_source

ROWS = some_rows(40, 2)
YEARS = np.repeat([2020, 2021], 20)
TABLE = pa.table(
    {"a": ROWS[:, 0], "b": ROWS[:, 1], "year": YEARS, "share": np.repeat([0.5, 2], 20)}
)


@pytest.fixture
def folder(tmp_path):
    parquet.write_to_dataset(TABLE, tmp_path / "data", partition_cols=["year", "share"])
    return tmp_path / "data"


def test_a_key_is_a_column_where_it_is_asked_for(folder):
    files, parts = sorted(folder.rglob("*.parquet")), sorted(folder.glob("year=*"))
    for data in (folder, str(folder / "*" / "*" / "*.parquet"), files, parts):
        assert open_source(data).feature_names == ("a", "b")
        source = open_source(data, ["year", "b", "share", "a"])
        assert source.feature_names == ("year", "b", "share", "a")
        rows, _ = walk(source, 9)
        assert_array_equal(rows[:, [3, 1]], ROWS)
        assert_array_equal(rows[:, 0], YEARS)
        assert_array_equal(rows[:, 2], TABLE["share"])


@pytest.mark.parametrize("columns", [None, ["a", "b"], ["b", "year"]])
def test_a_key_is_a_weight(folder, columns):
    rows, weights = walk(open_source(folder, columns, "share", chunk_rows=3), 7)
    assert_array_equal(weights, TABLE["share"])
    assert_array_equal(rows, np.column_stack([TABLE[name] for name in columns or "ab"]))
    by_key = GaussianMixture(2, random_state=0).fit(open_source(folder, ["a", "b"], "share"))
    by_array = GaussianMixture(2, random_state=0).fit(ROWS, sample_weight=TABLE["share"])
    assert_array_equal(by_key.means_, by_array.means_)
    assert_array_equal(by_key.predict(open_source(folder, ["a", "b"])), by_array.predict(ROWS))


def test_columns_of_arrays_stand_beside_keys(tmp_path):
    lists = pa.table({"e": list(ROWS), "year": YEARS})
    parquet.write_to_dataset(lists, tmp_path, partition_cols=["year"])
    source = open_source(tmp_path, ["year", "e"])
    assert source.feature_names == ("year", "e[0]", "e[1]")
    assert_array_equal(walk(source)[0], np.column_stack([YEARS, ROWS]))


def test_keys_of_csv_are_read_as_those_of_parquet(tmp_path):
    part = dataset.partitioning(pa.schema([("year", pa.int64())]), flavor="hive")
    dataset.write_dataset(TABLE.select(["a", "year"]), tmp_path, format="csv", partitioning=part)
    rows, weights = walk(open_source(tmp_path, ["a"], "year"))
    assert_array_equal(rows[:, 0], ROWS[:, 0])
    assert_array_equal(weights, YEARS)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("D%20E", "holds the text 'D E' in column 'key'"),
        ("1_000", "holds the text '1_000' in column 'key'"),
        ("__HIVE_DEFAULT_PARTITION__", "holds no value .* in column 'key'"),
    ],
)
def test_a_key_that_is_no_number_is_named(tmp_path, value, said):
    (tmp_path / f"key={value}").mkdir()
    parquet.write_table(TABLE, tmp_path / f"key={value}" / "x.parquet")
    assert open_source(tmp_path).n_rows == 40
    with pytest.raises(DataError, match=rf"row 0 of key={value}/x.parquet {said}"):
        open_source(tmp_path, ["a", "key"])


def test_keys_alone_are_no_rows(folder):
    with pytest.raises(DataError, match=r"\['year'\] of year=2020.* are all keys of folders"):
        open_source(folder, ["year"])
    with pytest.raises(DataError, match="has no column 'month'"):
        open_source(folder, ["a", "month"])
