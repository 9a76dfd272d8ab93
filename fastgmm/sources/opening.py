"""What opens which rows: the only place that asks what X is."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from fastgmm.errors import DataError
from fastgmm.sources.arrays import as_array
from fastgmm.sources.arrow import StreamSource
from fastgmm.sources.blocks import verify
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading, Text, choose
from fastgmm.sources.dask.collection import DaskSource, is_dask
from fastgmm.sources.formats import open_files
from fastgmm.sources.formats.chunked import open_stored
from fastgmm.sources.formats.several import open_several
from fastgmm.sources.in_memory import TableSource
from fastgmm.sources.iterable import IterableSource, refuse_iterator
from fastgmm.sources.lazy import OPENED, LazySource
from fastgmm.sources.loaders import is_map_style, rows_of
from fastgmm.sources.source import Source
from fastgmm.sources.tables import (
    FRAMES,
    ArrayTable,
    Table,
    as_table,
    column_as_table,
    is_column,
    is_instance,
)
from fastgmm.sources.unsupported import refuse_records, refuse_stranger

Reader = Callable[..., Source]  # of the data and a Reading


def open_source(
    data: Any,
    columns: Sequence[Hashable] | None = None,
    weight: Hashable | None = None,
    chunk_rows: int | None = None,
    *,
    label: Hashable | None = None,
    dataset: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    missing: bool = False,
) -> Source:
    """Open rows from memory, from files or from code, to be read block by block.

    Parameters
    ----------
    data : array-like, frame, Arrow table or stream, path, iterable, callable or Source
        - an array-like of shape (n_rows, n_columns), such as a numpy.memmap of a file of raw
          numbers; a pandas or polars frame; an Arrow table or record batch; an object that gives an
          Arrow stream whenever asked (a DuckDB relation);
        - one column of arrays or structs, which is taken for the 2-d array that it is;
        - a path to a .npy, .csv, .parquet (.pq, .parq), .arrow (.arrows, .ipc, .feather), .h5 or
          .zarr file or store. .tsv, .tab, .psv, .txt, .dat, .data, .asc, .log and no suffix are
          text as .csv is, compressed by gzip, bz2, zst, xz, lzma, lz4 or brotli or not,
          or the only file of a zip archive;
        - a folder of files of one format, a pattern of them (``"data/*.parquet"``), or a list of
          paths; the keys of a hive-partitioned folder (``year=2020``) are columns where `columns`
          or `weight` names them;
        - a URL that fsspec reads, of a file, a folder or a pattern (``"s3://bucket/*.parquet"``);
        - an h5py.Dataset, a zarr.Array, a ParquetFile, a lazy polars frame or a pyarrow Dataset,
          none of which is read whole;
        - a callable that asks a database, and returns a cursor, an Arrow reader, a frame, an array
          or a list of rows: ``lambda: connection.execute(query)``, called for every pass; or one
          that opens a pyarrow Dataset or a ParquetFile;
        - a list or another re-iterable of chunks, or a callable that returns a fresh iterable of
          chunks for every pass. A chunk is a 2-d array or tensor, a frame or a record batch, of
          any length, or a tuple that begins with one, as a torch DataLoader's ``(x, y)``; its
          memory may be reused once the next is asked for;
        - a data set with a length that gives a row, or a tuple that begins with one, for every
          number, as torch's do;
        - a Dask array or dataframe, each of whose partitions is visited where it lives.
    columns : sequence of str or int, optional
        The features, in this order; columns without names are chosen by number. All columns but
        the weight, if not given. A column of arrays is a feature for each of their numbers,
        ``embedding[0]`` and so on, and its own name means all of them.
    weight : str or int, optional
        The column that holds the weights of the rows; it is no feature.
    label : str or int, optional
        The column that holds the classes of the rows, for the fit of a mixture; it is no feature.
    chunk_rows : int, optional
        The most rows to take from the data at a time. Changes the use of memory, never a result.
    dataset : str, optional
        The dataset of an HDF5 file or the array of a Zarr store, by its path; the only one that
        is 2-d and of numbers, if not given.
    delimiter : str, optional
        What separates the cells of a text file, of any suffix: one character, of which ``" "``
        stands for any number of blanks. Found in the first lines, if not given, as are the next
        three; `Source.read_as` says what was found.
    decimal : {".", ","}, optional
        What stands before decimals in a text file.
    header : bool, optional
        Whether the first line of a text file names the columns; if not, these are 0, 1, ... If not
        given, a line of nothing but numbers is a header where `columns` names them, and refused if
        it could be either.
    encoding : str, optional
        Of a text file, as Python names it. If not given, UTF-8, UTF-16 or Latin-1.
    missing : bool, default=False
        Whether values may be missing, for an estimator with ``missing="em"``: NaN, nulls, empty
        cells and what a mask hides. Otherwise they are refused.

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
    text = Text(delimiter, decimal, header, encoding)
    told = None if text == Text() else text
    reader = reader_of(data)
    reading = Reading(columns, weight, chunk_rows, dataset, told, label, may_lack=missing or None)
    if reader is not open_path:
        reading.refuse_options(
            data.name if isinstance(data, Source) else f"the {type(data).__name__}"
        )
    source = reader(data, reading)
    if label is not None:
        source.label = label
    return source.lacking() if missing and not source.may_lack else source


def reader_of(data: Any) -> Reader:
    """Return what opens an object: the only place that asks what it is.

    Raises
    ------
    DataError
        If it holds no rows, holds them on another device, or can be walked only once.
    """
    if isinstance(data, np.ma.MaskedArray):
        return _open_masked
    if isinstance(data, str | os.PathLike) or _is_paths(data):
        return open_path
    if is_column(data) and column_as_table(_head(data), Place("the column")) is not None:
        return _open_column
    if isinstance(data, np.ndarray | memoryview):
        refuse_records(np.asarray(data).dtype, "the array")
        return open_array
    if isinstance(data, Source):
        return _as_it_is
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
    if _is_sources(data):
        return _open_all
    if not any(hasattr(data, name) for name in ("__array__", "__array_interface__", "__len__")):
        raise DataError(
            f"the {type(data).__name__} is no table of rows; give an array, a frame, a path, or a "
            "function that returns chunks for every pass"
        )
    return open_array


def _head(column: Any) -> Any:
    return getattr(column, "iloc", column)[:1]


def _is_chunks(data: Any) -> bool:
    """Whether rows come in chunks: of a callable, an iterable, or a list of nothing else."""
    if isinstance(data, list | tuple):
        return bool(data) and all(map(_is_chunk, data))
    if hasattr(data, "__array__") or hasattr(data, "tocsr"):
        return False
    return callable(data) or hasattr(data, "__iter__") or is_map_style(data)


def _is_sources(data: Any) -> bool:
    """Whether a list holds what is opened one by one: lazy frames, datasets, paths, tables."""
    return isinstance(data, list | tuple) and bool(data) and all(map(_is_source, data))


def _is_source(item: Any) -> bool:
    if isinstance(item, str | os.PathLike | Source) or _is_chunk(item):
        return True
    is_known = any(is_instance(item, library, *names) for library, names, _ in OF_LIBRARIES)
    return is_known or (hasattr(item, "__arrow_c_stream__") and not hasattr(item, "__array__"))


def _open_all(data: Any, reading: Reading = ALL) -> Source:
    """Open a list of what is opened one by one."""

    def open_one(item: Any, how: Reading) -> Source:
        return _as_it_is(item, reading) if isinstance(item, Source) else reader_of(item)(item, how)

    return open_several(data, "the list", reading, open_one)


def _is_chunk(item: Any) -> bool:
    item = rows_of(item)
    return getattr(item, "ndim", 0) == 2 or any(is_instance(item, *names) for names in FRAMES)


def _as_it_is(source: Source, reading: Reading = ALL) -> Source:
    if any(choice is not None for choice in reading._replace(may_lack=None)):
        raise DataError(
            f"{source.name} is open already; choose its columns, weight and chunks when opening it"
        )
    return source.lacking() if reading.may_lack else source


def open_array(data: Any, reading: Reading = ALL) -> Source:
    """Open an array-like: what scikit-learn's checks are for."""
    name = "the array" if hasattr(data, "__array__") else f"the {type(data).__name__}"
    if reading.may_lack and np.ma.is_masked(data):
        data = data.astype(np.result_type(data.dtype, np.float32)).filled(np.nan)
    return _in_memory(ArrayTable(as_array(data, Place(name))), name, reading)


def _open_dlpack(data: Any, reading: Reading = ALL) -> Source:
    """Open what speaks DLPack and nothing else, without a copy."""
    return open_array(np.from_dlpack(data), reading)


def _open_table(data: Any, reading: Reading = ALL) -> Source:
    """Open a frame or an Arrow table."""
    name = f"the {type(data).__name__}"
    return _in_memory(as_table(data, Place(name)), name, reading)


def _open_column(data: Any, reading: Reading = ALL) -> Source:
    """Open one column of arrays or structs: the array that its cells are the rows of."""
    name = f"the {type(data).__name__}"
    table = column_as_table(data, Place(name))
    if table is None:
        return open_array(data, reading)
    chosen = choose(table.labels, ALL, name, table.groups)
    rows = table.chunk(chosen, slice(0, table.n_rows), Place(name)).rows
    return _in_memory(ArrayTable(rows), name, reading)


def _open_masked(data: Any, reading: Reading = ALL) -> Source:
    """Open a masked array, whose mask scikit-learn's checks would not see."""
    return open_array(data, reading)


def _in_memory(table: Table, name: str, reading: Reading = ALL) -> Source:
    """Open rows that are in memory, and check them now; mapped files are checked in every pass."""
    source = TableSource(table, name, reading)
    source.may_lack = bool(reading.may_lack)
    if not source.is_mapped:
        verify(source)
    return source


def open_path(data: Any, reading: Reading = ALL) -> Source:
    """Open a file, a store, a folder, a pattern or a URL, or a list of these."""
    for path in data if _is_paths(data) else [data]:
        if not os.fspath(path):
            raise DataError("the path is empty; give the path of a file or of a folder of files")
    return open_files(list(data) if _is_paths(data) else data, reading)


def _is_paths(data: Any) -> bool:
    several = isinstance(data, list | tuple) or is_column(data)
    return several and len(data) > 0 and all(isinstance(each, str | os.PathLike) for each in data)


# what is known by its class, in the order of asking
OF_LIBRARIES: tuple[tuple[str, tuple[str, ...], Reader], ...] = (
    *((library, tuple(names), _open_table) for library, *names in FRAMES),
    ("h5py", ("Dataset",), open_stored),
    ("zarr", ("Array",), open_stored),
    ("polars", ("LazyFrame",), LazySource),
    *OPENED,
)
