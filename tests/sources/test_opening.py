import io
import sys
import tempfile

import duckdb
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet
from sources.rows import rows_of, some_rows

from fastgmm import GaussianMixture
from fastgmm.errors import DataError, MissingDependencyError
from fastgmm.sources import open_source

ROWS = some_rows()


def test_a_source_is_returned_as_it_is():
    source = open_source(ROWS)
    assert open_source(source) is source
    with pytest.raises(DataError, match="the array is open already"):
        open_source(source, columns=[0])


ARRAYS = pa.table({"e": pa.FixedSizeListArray.from_arrays(ROWS.ravel(), ROWS.shape[1])})
LISTS = ARRAYS.cast(pa.schema({"e": pa.list_(pa.float64())}))


@pytest.mark.parametrize("table", [ARRAYS, LISTS])
@pytest.mark.parametrize(
    "column_of",
    [
        lambda table: table["e"],
        lambda table: table["e"].chunk(0),
        lambda table: pl.from_arrow(table)["e"],
        lambda table: table.to_pandas()["e"],
        lambda table: table.to_pandas()["e"].sort_index(ascending=False)[::-1],
        lambda table: table.to_pandas(types_mapper=pd.ArrowDtype)["e"],
        lambda table: table.to_pandas()["e"].to_numpy(),
        lambda table: pd.Series([dict(enumerate(row)) for row in ROWS]),
        lambda table: pa.array([{f"x{at}": x for at, x in enumerate(row)} for row in ROWS]),
    ],
)
def test_a_bare_column_of_arrays_is_the_rows_that_it_holds(table, column_of):
    column = column_of(table)
    np.testing.assert_array_equal(rows_of(column), ROWS)
    model = GaussianMixture(2, random_state=0).fit(column)
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.predict(column), model.predict(ROWS))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pd.Series([[1, 2], [3]]), r"row 1 of the Series holds 1 number\(s\)"),
        (pl.Series([[1, 2], [3]]), r"row 1 of the Series holds 1 number\(s\)"),
        (pd.Series([[1, 2], None]), "row 1 of the Series holds no value"),
        (pd.Series([{"x": 1, "y": 2}, {"x": 1, "z": 2}]), "row 1 .* no value .*'column.y'"),
    ],
)
def test_a_cell_of_a_bare_column_that_is_no_row_is_named(column, said):
    with pytest.raises(DataError, match=said):
        open_source(column)


def test_lists_of_rows_are_arrays_and_lists_of_arrays_are_chunks():
    np.testing.assert_array_equal(rows_of(ROWS.tolist()), ROWS)
    np.testing.assert_array_equal(rows_of(list(ROWS)), ROWS)
    np.testing.assert_array_equal(rows_of([ROWS, ROWS]), np.vstack([ROWS, ROWS]))


def test_an_object_that_gives_an_array_is_one():
    class Holder:
        def __array__(self, dtype=None, copy=None):
            return ROWS

    np.testing.assert_array_equal(rows_of(Holder()), ROWS)


@pytest.mark.parametrize("data", [None, 3, [], "", object()])
def test_what_holds_no_rows_is_refused(data):
    with pytest.raises((DataError, FileNotFoundError)):
        open_source(data)


def test_an_unknown_suffix_is_refused_with_those_that_are_known(tmp_path):
    (tmp_path / "x.dta").write_text("1")
    with pytest.raises(DataError, match=r"suffix '.dta'; .npy, .csv, .*.parquet, .zarr are read"):
        open_source(tmp_path / "x.dta")


@pytest.mark.parametrize("suffix", ["bin", "dat", "raw", "f32"])
def test_of_raw_numbers_the_line_that_opens_them_is_told(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    ROWS.tofile(path)
    with pytest.raises(DataError, match=r"np\.memmap\(path, dtype, mode='r'\)\.reshape\(-1, n_f"):
        open_source(path)
    source = open_source(np.memmap(path, ROWS.dtype, mode="r").reshape(-1, 3))
    np.testing.assert_array_equal(rows_of(source), ROWS)
    assert source.reads_ahead


def test_open_files_are_refused_with_the_way_out(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    with open(path, "rb") as binary, open(path) as text, tempfile.NamedTemporaryFile() as passing:
        for file in (binary, text, passing, io.BytesIO(b"a"), pa.OSFile(str(path))):
            with pytest.raises(DataError, match=r"is an open file, .* give its path"):
                GaussianMixture(2).fit(file)
            for several in ([file], [path, file], (file,)):
                with pytest.raises(DataError, match=r"holds an open file .* give paths"):
                    GaussianMixture(2).fit(several)


def test_records_are_refused_with_the_way_out(tmp_path):
    records = np.array([(1.0, 2.0), (3.0, 4.0)], [("x", float), ("y", float)])
    np.save(tmp_path / "x.npy", records)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = records
    with h5py.File(tmp_path / "x.h5") as file:
        lists = [records], [records, records], lambda: [records]
        for data in (records, records.view(np.recarray), tmp_path / "x.npy", file["x"], *lists):
            with pytest.raises(DataError, match=r"records \(of 'x', 'y'\).*pandas.DataFrame"):
                GaussianMixture(2).fit(data)
    dictionaries = [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]
    with pytest.raises(DataError, match=r"a list of dictionaries .*: pandas.DataFrame\(data\)"):
        GaussianMixture(2).fit(dictionaries)


def test_a_dataset_is_refused_of_what_has_none(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    for data, name in (
        (tmp_path / "x.npy", r"x\.npy"),
        (ROWS, "the ndarray"),
        (open_source(ROWS), "the array"),
    ):
        with pytest.raises(DataError, match=f"dataset='a' does not apply to {name}; it is for"):
            open_source(data, dataset="a")


@pytest.mark.parametrize("chunk_rows", [0, -1])
def test_a_chunk_holds_a_row_at_least(chunk_rows):
    with pytest.raises(DataError, match=f"chunk_rows is {chunk_rows}"):
        open_source(ROWS, chunk_rows=chunk_rows)


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fastgmm\[io\]'"):
        open_source(tmp_path / "x.csv")


def test_arrow_batches_in_a_list_are_chunks():
    table = pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    np.testing.assert_array_equal(rows_of(table.to_batches(max_chunksize=4)), ROWS[:, :2])


def test_a_list_of_what_is_opened_one_by_one_is_all_their_rows(tmp_path):
    table = pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    parquet.write_table(table, tmp_path / "x.parquet")
    path = str(tmp_path / "x.parquet")
    one = (
        lambda: pl.scan_parquet(path),
        lambda: dataset.dataset(path),
        lambda: parquet.ParquetFile(path),
        lambda: duckdb.read_parquet(path),
        lambda: open_source(path),
    )
    for make in one:
        np.testing.assert_array_equal(rows_of([make(), make()]), np.vstack([ROWS, ROWS])[:, :2])
    mixed = [path, table, *(make() for make in one)]
    source = open_source(mixed)
    np.testing.assert_array_equal(rows_of(mixed), np.vstack([ROWS] * 7)[:, :2])
    assert not source.reads_ahead  # a relation is asked in the thread that made it
    model = GaussianMixture(2, random_state=0).fit(mixed)
    assert (model.n_rows_, list(model.feature_names_in_)) == (7 * len(ROWS), ["a", "b"])
    np.testing.assert_array_equal(rows_of(mixed[:5], columns=["b"])[:23, 0], ROWS[:, 1])


def test_a_parquet_dataset_is_read(tmp_path):
    parquet.write_table(pa.table({"a": ROWS[:, 0]}), tmp_path / "x.parquet")
    np.testing.assert_array_equal(rows_of(parquet.ParquetDataset(tmp_path)), ROWS[:, :1])


def test_an_object_of_no_known_kind_is_refused_by_its_class(tmp_path):
    parquet.write_table(pa.table({"a": ROWS[:, 0]}), tmp_path / "x.parquet")
    scanner = dataset.dataset(tmp_path / "x.parquet").scanner()
    for data, name in ((object(), "object"), (scanner, "Scanner")):
        with pytest.raises(DataError, match=f"the {name} is no table of rows; give an array"):
            GaussianMixture(2).fit(data)
