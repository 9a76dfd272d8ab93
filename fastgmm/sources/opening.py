"""What opens which rows: the only place that asks what X is."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.arrays import as_array
from fastgmm.sources.arrow import StreamSource
from fastgmm.sources.blocks import verify
from fastgmm.sources.cells import Place
from fastgmm.sources.dask.collection import DaskSource, is_dask
from fastgmm.sources.formats.chunked import open_stored
from fastgmm.sources.formats.csv import CsvSource
from fastgmm.sources.formats.feather import FeatherSource
from fastgmm.sources.formats.file import File, find
from fastgmm.sources.formats.hdf5 import Hdf5Source
from fastgmm.sources.formats.npy import NpySource
from fastgmm.sources.formats.options import SUFFIXES, Hints
from fastgmm.sources.formats.parquet import ParquetSource
from fastgmm.sources.formats.raw import RawSource
from fastgmm.sources.formats.zarr import ZarrSource, is_zarr
from fastgmm.sources.in_memory import TableSource
from fastgmm.sources.iterable import IterableSource, refuse_iterator
from fastgmm.sources.lazy import DatasetSource, LazySource
from fastgmm.sources.loaders import is_map_style, rows_of
from fastgmm.sources.source import Source
from fastgmm.sources.tables import ArrayTable, Table, as_table, is_instance
from fastgmm.sources.unsupported import refuse_stranger

Reader = Callable[..., Source]  # of the data, and of columns, weight and chunk_rows

READERS: dict[str, Reader] = {
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
    if chunk_rows is not None and chunk_rows < 1:
        raise DataError(f"chunk_rows is {chunk_rows}; at least one row must be taken at a time")
    reader = reader_of(data)
    choices = (columns, weight, chunk_rows)
    if reader is open_path:
        return open_path(data, *choices, hints=Hints(dtype, n_features, dataset))
    if any(hint is not None for hint in (dtype, n_features, dataset)):
        name = data.name if isinstance(data, Source) else f"the {type(data).__name__}"
        Hints(dtype, n_features, dataset).refuse_but((), name)
    return reader(data, *choices)


def reader_of(data: Any) -> Reader:
    """Return what opens an object: the only place that asks what it is.

    Raises
    ------
    DataError
        If it holds no rows, holds them on another device, or can be walked only once.
    """
    if isinstance(data, np.ma.MaskedArray):
        return _open_masked
    if isinstance(data, np.ndarray | memoryview):
        return open_array
    if isinstance(data, Source):
        return _as_it_is
    if isinstance(data, str | os.PathLike):
        return open_path
    refuse_stranger(data)
    for library, names, reader in OF_LIBRARIES:
        if is_instance(data, library, *names):
            return reader
    if is_dask(data):
        return DaskSource
    refuse_iterator(data)
    if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        return _open_dlpack
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__array__"):
        return StreamSource
    if _is_chunks(data):
        return IterableSource
    return open_array


def _is_chunks(data: Any) -> bool:
    """Whether rows come in chunks: of a callable, an iterable, or a list of nothing else."""
    if isinstance(data, list | tuple):
        return bool(data) and all(map(_is_chunk, data))
    if hasattr(data, "__array__") or hasattr(data, "tocsr"):
        return False
    return callable(data) or hasattr(data, "__iter__") or is_map_style(data)


def _is_chunk(item: Any) -> bool:
    item = rows_of(item)
    return getattr(item, "ndim", 0) == 2 or any(is_instance(item, *names) for names in FRAMES)


def _as_it_is(source: Source, *choices: Any) -> Source:
    if any(choice is not None for choice in choices):
        raise DataError(
            f"{source.name} is open already; choose its columns, weight and chunks when opening it"
        )
    return source


def open_array(data: Any, *choices: Any) -> Source:
    """Open an array-like: what scikit-learn's checks are for."""
    name = "the array" if hasattr(data, "__array__") else f"the {type(data).__name__}"
    return _in_memory(ArrayTable(as_array(data, Place(name))), name, *choices)


def _open_dlpack(data: Any, *choices: Any) -> Source:
    """Open what speaks DLPack and nothing else, without a copy."""
    return open_array(np.from_dlpack(data), *choices)


def _open_table(data: Any, *choices: Any) -> Source:
    """Open a frame or an Arrow table."""
    name = f"the {type(data).__name__}"
    return _in_memory(as_table(data, Place(name)), name, *choices)


def _open_masked(data: Any, *choices: Any) -> Source:
    """Open a masked array, whose mask scikit-learn's checks would not see."""
    return open_array(data, *choices)


def _in_memory(table: Table, name: str, *choices: Any) -> Source:
    """Open rows that are in memory, and check them now; mapped files are checked in every pass."""
    source = TableSource(table, name, *choices)
    if not source.is_mapped:
        verify(source)
    return source


def open_path(data: str | os.PathLike[str], *choices: Any, hints: Hints | None = None) -> Source:
    """Open a file by its suffix; several files are Parquet."""
    hints = hints or Hints()
    if not os.fspath(data):
        raise DataError("the path is empty; give the path of a file, or of a folder of Parquet")
    path = Path(data)
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


# what is known by its class, in the order of asking
OF_LIBRARIES: tuple[tuple[str, tuple[str, ...], Reader], ...] = (
    *((library, tuple(names), _open_table) for library, *names in FRAMES),
    ("h5py", ("Dataset",), open_stored),
    ("zarr", ("Array",), open_stored),
    ("polars", ("LazyFrame",), LazySource),
    ("pyarrow.dataset", ("Dataset",), DatasetSource),
)
