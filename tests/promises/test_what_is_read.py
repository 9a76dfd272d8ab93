"""Every row of the tables of docs/quickstart.md that say what is read."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import duckdb
import fsspec
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zarr
from numpy.testing import assert_array_equal
from pyarrow import dataset, feather, ipc, parquet
from sources.rows import walk

from fastgmm import DataError, GaussianMixture, open_source

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
ROWS = np.random.default_rng(0).normal(size=(300, 2)) + 4.0 * (np.arange(300)[:, None] % 2)
FRAME = pd.DataFrame(ROWS, columns=["x", "y"])
TABLE = pa.Table.from_pandas(FRAME)
HALVES = [FRAME[:100], FRAME[100:]]


def first_cells(head):
    """Return the first cells of a table of the page, by the first of its head."""
    lines = PAGE.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append(line.split("|")[1].strip())
    raise AssertionError("the page ends in a table")


def saved(_):
    np.save("x.npy", ROWS)
    return ["x.npy", np.load("x.npy", mmap_mode="r")]


def raw(_):
    ROWS.tofile("x.bin")
    return [np.memmap("x.bin", dtype="float64", mode="r").reshape(-1, 2)]


def text(_):
    FRAME.to_csv("x.csv", index=False)
    FRAME.to_csv("x.tsv", index=False, sep="\t")
    return ["x.csv", "x.tsv"]


def parquets(_):
    names = ["x.parquet", "x.pq", "x.parq"]
    for name in names:
        parquet.write_table(TABLE, name)
    return [*names, parquet.ParquetFile("x.pq")]


def arrows(_):
    names = ["x.arrow", "x.feather", "x.ipc"]
    for name in names:
        feather.write_feather(TABLE, name)
    with ipc.new_stream("x.arrows", TABLE.schema) as stream:
        stream.write_table(TABLE)
    opened = dataset.dataset("x.arrow", format="feather")
    return [*names, "x.arrows", *opened.get_fragments(), opened]


def hdf5(_):
    with h5py.File("x.h5", "w") as file:
        file["points"] = ROWS
    return ["x.h5", open_source("x.h5", dataset="/points"), h5py.File("x.h5")["points"]]


def zarrs(_):
    zarr.open_group("x.zarr", mode="w").create_array("points", data=ROWS)
    opened = zarr.open("x.zarr")["points"]
    return ["x.zarr", open_source("x.zarr", dataset="points"), opened]


def halves(suffix):
    Path("data").mkdir(exist_ok=True)
    for number, half in enumerate(HALVES):
        path = f"data/{number}{suffix}"
        if suffix == ".npy":
            np.save(path, half)
        elif suffix == ".csv":
            half.to_csv(path, index=False)
        else:
            half.to_parquet(path)


def folder(_):
    halves(".csv")
    yield "data"
    halves(".parquet")
    yield "data"


def pattern(_):
    halves(".csv")
    halves(".npy")
    return ["data/*.csv", "data/**/*.npy"]


def paths(_):
    halves(".parquet")
    both = ["data/0.parquet", "data/1.parquet"]
    lists = [["data/0.parquet", Path("data/1.parquet")], ["data"], ["data/0.*", "data/1.*"]]
    return [*lists, np.array(both), pd.Series(both), pl.Series(both)]


def hive(_):
    keyed = TABLE.append_column("year", pa.array(np.repeat([1.0, 2.0], 150)))
    parquet.write_to_dataset(keyed, "data", partition_cols=["year"])
    yield "data"
    rows, weights = walk(open_source("data", columns=["x", "year"], weight="year"))[0:2]
    assert_array_equal(weights, np.repeat([1.0, 2.0], 150))
    assert_array_equal(rows[:, 0], ROWS[:, 0])


def url(_):
    system = fsspec.filesystem("memory")
    parquet.write_table(TABLE, "x.parquet")
    system.put("x.parquet", "/read/x.parquet")
    yield from ["memory://read/x.parquet", "memory://read", "memory://read/*.parquet"]
    yield f"file://{Path('x.parquet').absolute()}"
    yield "simplecache::memory://read/x.parquet"
    system.rm("/read", recursive=True)


def tables(_):
    frame = pl.from_arrow(TABLE)
    return [FRAME, frame, TABLE, frame.lazy()]


def lists(_):
    batches = TABLE.to_batches(max_chunksize=70)
    return [batches, tuple(HALVES), [TABLE], [pl.from_pandas(half) for half in HALVES], [ROWS]]


def relation(_):
    with duckdb.connect("x.db") as connection:
        connection.register("given", TABLE)
        connection.execute("create table t as select * from given")
        yield connection.sql("select x, y from t")


def asked(_):
    connection = sqlite3.connect("x.sqlite")
    FRAME.to_sql("t", connection, index=False)
    yield lambda: connection.execute("select x, y from t")
    connection.close()


class Loader:
    def __iter__(self):
        return iter([(half.to_numpy(), None) for half in HALVES])


class Numbered:
    def __len__(self):
        return len(ROWS)

    def __getitem__(self, number):
        return ROWS[number], 0


DATA = {
    "NumPy": saved,
    "raw numbers": raw,
    "text": text,
    "Parquet": parquets,
    "Arrow": arrows,
    "HDF5": hdf5,
    "Zarr 2 and 3": zarrs,
    "a folder": folder,
    "a pattern": pattern,
    "a list of paths": paths,
    "a hive-partitioned folder": hive,
    "a URL": url,
    "tables": tables,
    "lists of tables": lists,
    "DuckDB": relation,
    "other databases": asked,
    "torch": lambda _: [Loader(), Numbered()],
}


def test_every_row_of_the_tables_is_tried():
    assert first_cells("data") == list(DATA)
    assert first_cells("column") == [*NUMBERS, *REFUSED]


@pytest.mark.parametrize("row", DATA)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_the_table_says_is_read(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = GaussianMixture(2, random_state=0).fit(ROWS)
    for data in DATA[row](tmp_path):
        assert_array_equal(walk(open_source(data))[0], ROWS)
        assert_array_equal(GaussianMixture(2, random_state=0).fit(data).means_, expected.means_)


def column(values, kind=None):
    return pa.array(values, kind)


NUMBERS = {
    "bool, integers, half, single and double floats": [
        (column([True, False]), [1, 0]),
        (column([2**64 - 1, 1], pa.uint64()), [2.0**64, 1]),
        (column([-7, 1], pa.int8()), [-7, 1]),
        (column([0.5, 1.5], pa.float16()), [0.5, 1.5]),
        (column([0.5, 1.5], pa.float32()), [0.5, 1.5]),
    ],
    "DECIMAL, `hugeint`, polars' `Int128`; cells of `decimal.Decimal`": [
        (column([Decimal("0.1"), Decimal("2.5")]), [0.1, 2.5]),
        (pl.DataFrame({"c": [1, 2]}, schema={"c": pl.Int128}), [1, 2]),
        (pd.DataFrame({"c": [Decimal("0.1"), Decimal("2.5")]}), [0.1, 2.5]),
        (duckdb.sql("select * from (values (1::hugeint), (2::hugeint)) t(c)"), [1, 2]),
    ],
    "dictionaries and pandas categories of numbers": [
        (column([2.5, 0.5]).dictionary_encode(), [2.5, 0.5]),
        (pd.DataFrame({"c": pd.Categorical([2.5, 0.5])}), [2.5, 0.5]),
    ],
    "arrays in each row: lists of one length, tensors, a pandas column of arrays": [
        (column([[1.0, 2.0], [3.0, 4.0]]), [[1, 2], [3, 4]]),
        (
            pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(4.0).reshape(2, 2)),
            [[0, 1], [2, 3]],
        ),
        (pd.DataFrame({"c": [np.array([1.0, 2.0]), np.array([3.0, 4.0])]}), [[1, 2], [3, 4]]),
    ],
    "a struct, a pandas column of dictionaries": [
        (column([{"x": 1.0, "y": 2}, {"x": 3.0, "y": 4}]), [[1, 2], [3, 4]]),
        (pd.DataFrame({"c": [{"x": 1.0, "y": 2}, {"y": 4, "x": 3.0}]}), [[1, 2], [3, 4]]),
    ],
}
REFUSED = {
    "dates, times, durations, periods, intervals": [
        (column([1, 2], pa.timestamp("us")), "make it seconds first"),
        (column([1, 2], pa.date32()), "make it seconds first"),
        (column([1, 2], pa.duration("s")), "make it seconds first"),
        (pd.DataFrame({"c": pd.period_range("2020", periods=2)}), "column 'c'; .*to_timestamp"),
        (pd.DataFrame({"c": pd.interval_range(0, 2)}), "column 'c'; .*its middle"),
    ],
    "text, categories of text": [
        (column(["a", "b"]), r"columns=\[...\]"),
        (column(["a", "b"]).dictionary_encode(), r"columns=\[...\]"),
    ],
    "a null or NaN": [
        (column([1.0, None]), "row 1 .* column 'c'; .* GaussianMixture.missing='em'"),
        (column([1.0, np.nan]), "row 1 .* column 'c'; .* GaussianMixture.missing='em'"),
    ],
    "infinity; a list of another length than the first": [
        (column([1.0, np.inf]), "row 1 .* column 'c'"),
        (column([[1.0, 2.0], [3.0]]), "row 1 .* column 'c'"),
    ],
}


def table_of(data):
    return pa.table({"c": data}) if isinstance(data, pa.Array) else data


@pytest.mark.parametrize("row", NUMBERS)
def test_what_the_table_says_of_columns_is_so(row):
    for data, numbers in NUMBERS[row]:
        expected = np.asarray(numbers, dtype=float).reshape(2, -1)
        assert_array_equal(walk(open_source(table_of(data)))[0], expected)
        assert_array_equal(walk(open_source(table_of(data), columns=["c"]))[0], expected)


@pytest.mark.parametrize("row", REFUSED)
def test_what_the_table_says_is_refused_is(row):
    for data, said in REFUSED[row]:
        with pytest.raises(DataError, match=said):
            open_source(table_of(data))
