"""Rows from anywhere, walked once for every pass; knows nothing of mixtures."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.arrow import StreamSource
from fastgmm.sources.blocks import Block, blocks, verify
from fastgmm.sources.cells import Place
from fastgmm.sources.dask.collection import DaskSource, is_dask
from fastgmm.sources.formats.chunked import is_stored, open_stored
from fastgmm.sources.formats.csv import CsvSource
from fastgmm.sources.formats.feather import FeatherSource
from fastgmm.sources.formats.file import File, find
from fastgmm.sources.formats.hdf5 import Hdf5Source
from fastgmm.sources.formats.npy import NpySource
from fastgmm.sources.formats.options import SUFFIXES, Hints
from fastgmm.sources.formats.parquet import ParquetSource
from fastgmm.sources.formats.raw import RawSource
from fastgmm.sources.formats.zarr import ZarrSource, is_zarr
from fastgmm.sources.in_memory import TableSource, with_weights
from fastgmm.sources.iterable import IterableSource, refuse_iterator
from fastgmm.sources.lazy import DatasetSource, LazySource
from fastgmm.sources.loaders import is_map_style, rows_of
from fastgmm.sources.source import Chunk, Source
from fastgmm.sources.tables import as_table, is_instance
from fastgmm.sources.unsupported import is_elsewhere, on_host, refuse_stranger

__all__ = [
    "Block",
    "Chunk",
    "Source",
    "blocks",
    "is_dask",
    "is_elsewhere",
    "is_stored",
    "open_source",
    "with_weights",
]

READERS: dict[str, Callable[..., Source]] = {
    ".npy": NpySource,
    ".csv": CsvSource,
    ".csv.gz": CsvSource,
    ".arrow": FeatherSource,
    ".arrows": FeatherSource,
    ".feather": FeatherSource,
}
HDF5 = (".h5", ".hdf5", ".hdf")
FRAMES = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table", "RecordBatch"))


def open_source(
    data: Any,
    columns: Sequence[Hashable] | None = None,
    weight: Hashable | None = None,
    chunk_rows: int | None = None,
    *,
    dtype: npt.DTypeLike | None = None,
    n_features: int | None = None,
    dataset: str | None = None,
) -> Source:
    """Open rows from memory, from files or from code, to be read block by block.

    Parameters
    ----------
    data : array-like, frame, Arrow table or stream, path, iterable, callable or Source
        - an array-like of shape (n_rows, n_columns); a pandas or polars frame; an Arrow table or
          record batch; an object that gives an Arrow stream whenever asked (a DuckDB relation);
        - a path to a .npy, .csv or .csv.gz (with a header), .parquet, .arrow, .arrows, .feather,
          .h5 or .zarr file or store, or to a file of raw numbers (.f64, .f32, .bin, .raw), or to a
          folder of Parquet files, or a pattern of them (``"data/*.parquet"``);
        - an h5py.Dataset, a zarr.Array, a lazy polars frame or a pyarrow Dataset, none of which
          is read whole;
        - a list or another re-iterable of chunks, or a callable that returns a fresh iterable of
          chunks for every pass. A chunk is a 2-d array or tensor, a frame or a record batch, of
          any length, or a tuple that begins with one, as a torch DataLoader's ``(x, y)``; its
          memory may be reused once the next is asked for;
        - a data set with a length that gives a row, or a tuple that begins with one, for every
          number, as torch's do;
        - a Dask array or dataframe, each of whose partitions is visited where it lives.
    columns : sequence of str or int, optional
        The features, in this order; columns without names are chosen by number. All columns but
        the weight, if not given.
    weight : str or int, optional
        The column that holds the weights of the rows; it is no feature.
    chunk_rows : int, optional
        The most rows to take from the data at a time. Changes the use of memory, never a result.
    dtype : data type, optional
        Of a file of raw numbers, which need not end in one of the suffixes above if it is given.
    n_features : int, optional
        How many raw numbers make a row; the size of the file must be a whole number of rows.
    dataset : str, optional
        The dataset of an HDF5 file or the array of a Zarr store, by its path; the only one that
        is 2-d and of numbers, if not given.

    Returns
    -------
    Source
        Of float32 rows if every feature is float32, otherwise of float64 rows.

    Raises
    ------
    DataError
        If the data cannot be used. Rows are counted from 0 in all messages. Data in memory are
        checked now, files and chunks in every pass.
    SourceChangedError
        In a pass that finds other rows than the one before: another size, time or inode of a
        file, or other numbers; chunks may come in another order.
    FileNotFoundError
        If there is no such file.
    """
    hints = Hints(dtype, n_features, dataset)
    if isinstance(data, Source):
        hints.refuse_but((), data.name)
        return _as_it_is(data, columns, weight, chunk_rows)
    if chunk_rows is not None and chunk_rows < 1:
        raise DataError(f"chunk_rows is {chunk_rows}; at least one row must be taken at a time")
    if isinstance(data, str) and not data:
        raise DataError("the path is empty; give the path of a file, or of a folder of Parquet")
    if isinstance(data, str | Path):
        return _open_path(Path(data), hints, columns, weight, chunk_rows)
    refuse_stranger(data)
    data = on_host(data)
    hints.refuse_but((), f"the {type(data).__name__}")
    reader = _reader(data)
    return reader(data, columns, weight, chunk_rows)


def _as_it_is(source: Source, *choices: Any) -> Source:
    if choices != (None, None, None):
        raise DataError(
            f"{source.name} is open already; choose its columns, weight and chunks when opening it"
        )
    return source


def _open_path(path: Path, hints: Hints, *choices: Any) -> Source:
    """Choose a reader by the suffix; several files are Parquet."""
    if is_zarr(path):
        hints.refuse_but(("dataset",), path.name)
        return ZarrSource(path, hints, *choices)
    files = find(path)
    suffixes = {file.path.suffix.lower() for file in files}
    if suffixes == {".parquet"}:
        hints.refuse_but((), path.name)
        return ParquetSource(files, path.name, *choices)
    if len(files) > 1:
        raise DataError(f"{path} matches files that are not Parquet; only those are read together")
    return _open_file(files[0], hints, *choices)


def _open_file(file: File, hints: Hints, *choices: Any) -> Source:
    suffix = _suffix(file.path)
    if suffix in HDF5:
        hints.refuse_but(("dataset",), file.name)
        return Hdf5Source(file, hints, *choices)
    if suffix in READERS:
        hints.refuse_but((), file.name)
        return READERS[suffix](file, *choices)
    if hints.are_raw(suffix):
        hints.refuse_but(("dtype", "n_features"), file.name)
        return RawSource(file, hints, *choices)
    if suffix == ".npz":
        raise DataError(
            f"{file.name} is an archive of arrays (a model file is one, too); give one of "
            "them, numpy.load(path)[name], or save it alone as .npy"
        )
    known = ", ".join([*READERS, *HDF5, ".zarr", *SUFFIXES, ".parquet"])
    raise DataError(
        f"{file.name} has the unknown suffix {suffix!r}; {known} are read; for raw "
        "numbers in any file give dtype and n_features"
    )


def _suffix(path: Path) -> str:
    """Return what the name ends in: of a compressed file, what is compressed as well."""
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() + last if last == ".gz" else last


def _reader(data: Any) -> Callable[..., Source]:
    """Choose how to read an object."""
    if is_dask(data):
        return DaskSource
    if any(is_instance(data, *names) for names in FRAMES):
        return _open_table
    if is_stored(data):
        return open_stored
    if is_instance(data, "polars", "LazyFrame"):
        return LazySource
    if is_instance(data, "pyarrow.dataset", "Dataset"):
        return DatasetSource
    refuse_iterator(data)
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__array__"):
        return StreamSource
    if _is_array_like(data):
        return _open_table
    if callable(data) or hasattr(data, "__iter__") or is_map_style(data):
        return IterableSource
    return _open_table


def _is_array_like(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return not data or not all(map(_is_chunk, data))
    return hasattr(data, "__array__") or hasattr(data, "tocsr")


def _is_chunk(item: Any) -> bool:
    item = rows_of(item)
    return getattr(item, "ndim", 0) == 2 or any(is_instance(item, *names) for names in FRAMES)


def _open_table(data: Any, *choices: Any) -> Source:
    """Open rows that are in memory, and check them now; mapped files are checked in every pass."""
    name = "the array" if hasattr(data, "__array__") else f"the {type(data).__name__}"
    if any(is_instance(data, *names) for names in FRAMES):
        name = f"the {type(data).__name__}"
    source = TableSource(as_table(data, Place(name)), name, *choices)
    if not source.is_mapped:
        verify(source)
    return source
