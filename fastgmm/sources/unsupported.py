"""Errors for objects that hold no rows, or hold them on another device."""

from __future__ import annotations

import io
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from fastgmm.errors import DataError

HOST_DEVICES = (1, 3)  # DLPack's numbers: main memory, and main memory pinned for CUDA


def _is_elsewhere(data: object) -> bool:
    """Whether an array says that it lies on another device than the processor's memory."""
    if isinstance(data, np.ndarray) or not hasattr(data, "__dlpack_device__"):
        return False
    return int(data.__dlpack_device__()[0]) not in HOST_DEVICES


def _is_of_database(data: object) -> bool:
    """Whether an object is a cursor, a connection or an engine of a database."""
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__array__"):
        return False
    kind = type(data)  # an instance of dask.Delayed has all attributes
    is_connection = hasattr(kind, "commit") and hasattr(kind, "rollback")
    is_engine = hasattr(kind, "connect") and hasattr(kind, "dispose")
    return hasattr(kind, "fetchmany") or is_connection or is_engine


def _is_file(kind: type) -> bool:
    """Whether objects of a class are open files: Python's, Arrow's, or of fsspec."""
    if issubclass(kind, io.IOBase) or kind.__name__ == "_TemporaryFileWrapper":
        return True
    return hasattr(kind, "read") and hasattr(kind, "seek")


def refuse_records(dtype: np.dtype[Any], name: str) -> None:
    """Refuse a structured array, whose fields no shape tells."""
    if dtype.names is not None:
        fields = ", ".join(map(repr, dtype.names[:4]))
        raise DataError(
            f"{name} holds records (of {fields}), not rows of numbers; of such an array, "
            "pandas.DataFrame(array) is a frame, and "
            "numpy.lib.recfunctions.structured_to_unstructured(array) are rows"
        )


def _refuse_list(data: Any) -> None:
    """Refuse a list of what is no rows: nothing, open files, records, dictionaries."""
    if not data:
        raise DataError(
            f"an empty {type(data).__name__} tells no number of features; give an array of shape "
            "(n_rows, n_features); of shape (0, n_features) it is an empty batch, and partial_fit "
            "learns nothing of it"
        )
    kinds = set(map(type, data))
    if files := [kind.__name__ for kind in kinds if _is_file(kind)]:
        raise DataError(
            f"the {type(data).__name__} holds an open file ({files[0]}), which is read once, and a "
            "fit reads its rows many times; give paths"
        )
    if isinstance(data[0], np.ndarray):
        refuse_records(data[0].dtype, f"an array of the {type(data).__name__}")
    if all(issubclass(kind, Mapping) for kind in kinds):
        way = "pandas.DataFrame(data)"
        if any(np.ndim(cell) for cell in data[0].values()):
            way = "[pandas.DataFrame(each) for each in data]"
        raise DataError(
            f"a {type(data).__name__} of dictionaries is no table of rows; make it one, with the "
            f"names of its columns: {way}"
        )


def refuse_stranger(data: Any) -> None:
    """Refuse what cannot be rows, before anything is taken from it."""
    if isinstance(data, list | tuple):
        _refuse_list(data)
    kind = type(data).__name__
    if data is None or isinstance(data, bool | int | float | complex | bytes | bytearray):
        raise DataError(
            f"{data!r:.60} is no table of rows; give an array of shape (n_rows, n_features), a "
            "frame, a path or a callable that yields chunks"
        )
    if isinstance(data, Mapping):
        keys = ", ".join(repr(key) for key in list(data)[:4]) or "nothing"
        raise DataError(
            f"a {kind} (of {keys}) is no table of rows; give one of its arrays, or make a frame of "
            "it with pandas.DataFrame(data)"
        )
    if _is_file(type(data)):
        raise DataError(
            f"a {kind} is an open file, which is read once, and a fit reads its rows many times; "
            "give its path, or a frame or an array of what it holds"
        )
    if isinstance(data, Set):
        raise DataError(f"a {kind} has no order of rows; give a list or an array")
    if _is_of_database(data):
        way = "lambda: connection.execute(query)"
        if kind == "DuckDBPyConnection":
            way = "connection.sql(query), a relation"
        raise DataError(
            f"the {kind} is no table of rows: its answer can be read once, and a fit asks for its "
            f"rows many times; give what asks anew, {way}"
        )
    if _is_elsewhere(data):
        raise DataError(
            f"the {kind} lies on another device; copy it into main memory first, with X.cpu() "
            "(torch), cupy.asnumpy(X) or jax.device_get(X)"
        )
