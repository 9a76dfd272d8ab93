"""Rows from anywhere, walked once for every pass; knows nothing of mixtures."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from fastgmm.errors import DataError
from fastgmm.sources.arrow import StreamSource
from fastgmm.sources.blocks import Block, blocks, verify
from fastgmm.sources.cells import Place
from fastgmm.sources.csv import CsvSource
from fastgmm.sources.dask import DaskSource, is_dask
from fastgmm.sources.feather import FeatherSource
from fastgmm.sources.files import find
from fastgmm.sources.iterable import IterableSource, refuse_iterator
from fastgmm.sources.memory import TableSource, with_weights
from fastgmm.sources.npy import NpySource
from fastgmm.sources.parquet import ParquetSource
from fastgmm.sources.source import Chunk, Source
from fastgmm.sources.strangers import is_elsewhere, on_host, refuse_stranger
from fastgmm.sources.tables import as_table, is_instance

__all__ = [
    "Block",
    "Chunk",
    "Source",
    "blocks",
    "is_dask",
    "is_elsewhere",
    "open_source",
    "with_weights",
]

READERS: dict[str, Callable[..., Source]] = {
    ".npy": NpySource,
    ".csv": CsvSource,
    ".arrow": FeatherSource,
    ".feather": FeatherSource,
}
FRAMES = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table", "RecordBatch"))


def open_source(
    data: Any,
    columns: Sequence[Hashable] | None = None,
    weight: Hashable | None = None,
    chunk_rows: int | None = None,
) -> Source:
    """Open rows from memory, from files or from code, to be read block by block.

    Parameters
    ----------
    data : array-like, frame, Arrow table or stream, path, iterable, callable or Source
        - an array-like of shape (n_rows, n_columns); a pandas or polars frame; an Arrow table or
          record batch; an object that gives an Arrow stream whenever asked (a DuckDB relation);
        - a path to a .npy, .csv (with a header), .parquet, .arrow or .feather file, or to a
          folder of Parquet files, or a pattern of them (``"data/*.parquet"``);
        - a list or another re-iterable of chunks, or a callable that returns a fresh iterable of
          chunks for every pass. A chunk is a 2-d array, a frame or a record batch, of any
          length; its memory may be reused once the next chunk is asked for;
        - a Dask array or dataframe, each of whose partitions is visited where it lives.
    columns : sequence of str or int, optional
        The features, in this order; columns without names are chosen by number. All columns but
        the weight, if not given.
    weight : str or int, optional
        The column that holds the weights of the rows; it is no feature.
    chunk_rows : int, optional
        The most rows to take from the data at a time. Changes the use of memory, never a result.

    Returns
    -------
    Source
        Of float32 rows if every feature is float32, otherwise of float64 rows.

    Raises
    ------
    DataError
        If the data cannot be used. Rows are counted from 0 in all messages. Data in memory are
        checked now, files and chunks in every pass.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(data, Source):
        return _as_it_is(data, columns, weight, chunk_rows)
    if chunk_rows is not None and chunk_rows < 1:
        raise DataError(f"chunk_rows is {chunk_rows}; at least one row must be taken at a time")
    if isinstance(data, str) and not data:
        raise DataError("the path is empty; give the path of a file, or of a folder of Parquet")
    if isinstance(data, str | Path):
        return _open_path(Path(data), columns, weight, chunk_rows)
    refuse_stranger(data)
    data = on_host(data)
    reader = _reader(data)
    return reader(data, columns, weight, chunk_rows)


def _as_it_is(source: Source, *choices: Any) -> Source:
    if choices != (None, None, None):
        raise DataError(
            f"{source.name} is open already; choose its columns, weight and chunks when opening it"
        )
    return source


def _open_path(path: Path, *choices: Any) -> Source:
    """Choose a reader by the suffix; several files are Parquet."""
    files = find(path)
    suffixes = {file.path.suffix.lower() for file in files}
    if suffixes == {".parquet"}:
        return ParquetSource(files, path.name, *choices)
    if len(files) > 1:
        raise DataError(f"{path} matches files that are not Parquet; only those are read together")
    (suffix,) = suffixes
    if suffix == ".npz":
        raise DataError(
            f"{files[0].name} is an archive of arrays (a model file is one, too); give one of "
            "them, numpy.load(path)[name], or save it alone as .npy"
        )
    if suffix not in READERS:
        known = ", ".join([*READERS, ".parquet"])
        raise DataError(f"{files[0].name} has the unknown suffix {suffix!r}; {known} are read")
    return READERS[suffix](files[0], *choices)


def _reader(data: Any) -> Callable[..., Source]:
    """Choose how to read an object."""
    if is_dask(data):
        return DaskSource
    if any(is_instance(data, *names) for names in FRAMES):
        return _open_table
    refuse_iterator(data)
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__array__"):
        return StreamSource
    if _is_array_like(data):
        return _open_table
    if callable(data) or hasattr(data, "__iter__"):
        return IterableSource
    return _open_table


def _is_array_like(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return not data or not all(map(_is_chunk, data))
    return hasattr(data, "__array__") or hasattr(data, "tocsr")


def _is_chunk(item: Any) -> bool:
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
