"""A fit ends with the same bits whatever the rows come from."""

from __future__ import annotations

import dask.array
import dask.dataframe
import duckdb
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zarr
from pyarrow import dataset, feather, parquet

from fastgmm import GaussianMixture, select

ROWS = np.random.default_rng(0).normal(size=(3000, 3)) + 4.0 * np.arange(3000)[:, None] // 1000
NAMES = ["a", "b", "c"]
TABLE = pa.table(dict(zip(NAMES, ROWS.T.copy(), strict=True)))


def npy(folder):
    np.save(folder / "x.npy", ROWS)
    return folder / "x.npy"


def npy_by_columns(folder):
    np.save(folder / "x.npy", np.asfortranarray(ROWS))
    return folder / "x.npy"


def memmap(folder):
    ROWS.tofile(folder / "x.bin")
    return np.memmap(folder / "x.bin", ROWS.dtype, mode="r").reshape(-1, 3)


def csv(folder):
    pd.DataFrame(ROWS, columns=NAMES).to_csv(folder / "x.csv", index=False)
    return folder / "x.csv"


def parquet_file(folder):
    parquet.write_table(TABLE, folder / "x.parquet", row_group_size=700)
    return folder / "x.parquet"


def parquet_folder(folder):
    parquet.write_table(TABLE.slice(0, 1234), folder / "1.parquet")
    parquet.write_table(TABLE.slice(1234), folder / "2.parquet")
    return folder


def parquet_pattern(folder):
    return str(parquet_folder(folder) / "*.parquet")


def arrow_file(folder):
    feather.write_feather(TABLE, folder / "x.feather", chunksize=800)
    return folder / "x.feather"


def arrow_dataset(folder):
    return dataset.dataset(parquet_file(folder))


def hdf5(folder):
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=ROWS, chunks=(500, 3))
    return folder / "x.h5"


def zarr_array(folder):
    stored = zarr.open(
        str(folder / "x.zarr"), mode="w", shape=ROWS.shape, chunks=(500, 3), dtype="f8"
    )
    stored[:] = ROWS
    return stored


def duckdb_relation(_):
    return duckdb.from_arrow(TABLE)


class Loader:
    """Yields batches anew for every pass, as a torch DataLoader does."""

    def __iter__(self):
        return iter(np.array_split(ROWS, 17))

    def __len__(self):
        return 17


KINDS = {
    "npy": npy,
    "npy by columns": npy_by_columns,
    "memmap": memmap,
    "csv": csv,
    "parquet": parquet_file,
    "parquet folder": parquet_folder,
    "parquet pattern": parquet_pattern,
    "arrow file": arrow_file,
    "arrow dataset": arrow_dataset,
    "hdf5": hdf5,
    "zarr": zarr_array,
    "duckdb": duckdb_relation,
    "arrow table": lambda _: TABLE,
    "pandas": lambda _: pd.DataFrame(ROWS, columns=NAMES),
    "polars": lambda _: pl.DataFrame(ROWS, schema=NAMES),
    "polars, lazy": lambda _: pl.DataFrame(ROWS, schema=NAMES).lazy(),
    "dask array": lambda _: dask.array.from_array(ROWS, chunks=(3000, 3)),
    "dask frame": lambda _: dask.dataframe.from_pandas(
        pd.DataFrame(ROWS, columns=NAMES), npartitions=1
    ),
    "loader": lambda _: Loader(),
    "callable": lambda _: lambda: iter(np.array_split(ROWS, 5)),
}


def bits(rows):
    model = GaussianMixture(3, random_state=0, tol=1e-4).fit(rows)
    found = [model.weights_, model.means_, model.covariances_, np.array(model.lower_bounds_)]
    return b"".join(np.ascontiguousarray(each).tobytes() for each in found)


@pytest.fixture(scope="module")
def bits_in_memory():
    return bits(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_ends_with_the_bits_of_the_rows_in_memory(kind, bits_in_memory, tmp_path):
    assert bits(KINDS[kind](tmp_path)) == bits_in_memory


def test_a_memmap_of_raw_numbers_is_fitted_searched_and_scored_as_the_array(tmp_path):
    mapped = memmap(tmp_path)
    found, expected = (select(X, [1, 2], "full", random_state=0) for X in (mapped, ROWS))
    np.testing.assert_array_equal(found.table["bic"], expected.table["bic"])
    model = GaussianMixture(2, random_state=0).fit(mapped)
    np.testing.assert_array_equal(model.means_, GaussianMixture(2, random_state=0).fit(ROWS).means_)
    np.testing.assert_array_equal(model.predict(mapped), model.predict(ROWS))
    np.testing.assert_array_equal(model.score_samples(mapped), model.score_samples(ROWS))
