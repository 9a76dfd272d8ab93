"""What a function of the user's returns, asked anew for every pass: answers of databases, too.

Any cursor of Python's database interface (PEP 249) will do. Those that have Arrow's batches at
hand, ADBC's and DuckDB's, give these, without a tuple for each row.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, require
from fastgmm.sources.cells import SHOWN, Place, real
from fastgmm.sources.columns import ALL, Reading
from fastgmm.sources.lazy import OPENED
from fastgmm.sources.source import Source
from fastgmm.sources.tables import FRAMES, Table, as_objects, is_instance
from fastgmm.sources.unsupported import refuse_stranger

ITSELF = (("polars", "LazyFrame"), ("h5py", "Dataset"), ("zarr", "Array"))
ROWS_AT_A_TIME = 10_000  # of a cursor that gives tuples

_left: WeakSet[Any] = WeakSet()  # cursors whose last answer was not read to its end


class AnswerTable(Table):
    """Some rows of an answer, each a tuple or, as some drivers are told to, a dictionary."""

    def __init__(self, labels: Sequence[Hashable], rows: Sequence[Any]) -> None:
        super().__init__(labels, len(rows))
        tuples = (row.values() if isinstance(row, Mapping) else row for row in rows)
        self._columns = list(zip(*tuples, strict=True)) if rows else [()] * len(labels)

    def column(self, position: int, rows: slice, place: Place) -> npt.NDArray[Any]:
        """Return some rows of one column; missing values are an error."""
        cells = self._columns[position][rows]
        found = np.empty(len(cells), dtype=object)
        found[:] = cells
        return real(found[:, None], [self.labels[position]], place)[:, 0]

    def cells(self, position: int) -> npt.NDArray[Any]:
        """Return all cells of one column."""
        return as_objects(self._columns[position])


class Asked:
    """A function that gives the rows of one pass in chunks, by whatever it returns."""

    def __init__(self, ask: Callable[[], Any], how: Reading = ALL) -> None:
        self._ask = ask
        self._how = how
        self._reading: Generator[Any, None, None] | None = None

    def __call__(self) -> Iterable[Any]:
        """Ask for the chunks of a pass."""
        self.close()
        made = self._ask()
        if any(is_instance(made, *names) for names in FRAMES) or _is_array(made):
            return [made]
        if _is_rows(made):
            names = _names_of(made[0])
            return [made if names is None else AnswerTable(names, made)]
        self._reading = _opened(made, self._how)
        if self._reading is None:
            self._reading = _read(made, self._ask, self._how.chunk_rows or ROWS_AT_A_TIME)
        if self._reading is not None:
            return self._reading
        if made is None:
            raise DataError(
                "the function of the rows returned None; where execute() of a cursor returns "
                "nothing, return the cursor after it"
            )
        if _is_known_itself(made):
            shown = f"the {type(made).__name__} {str(made)[:SHOWN]!r}"
            raise DataError(
                f"the function of the rows returned {shown}; give it itself, not a function of it"
            )
        if hasattr(made, "__iter__"):
            refuse_stranger(made)
        chunks: Iterable[Any] = made
        return chunks

    def close(self) -> None:
        """Give up an answer that is not read to its end: a connection may have but one."""
        if self._reading is not None:
            self._reading.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the answer, which cannot travel to another process."""
        return self.__dict__ | {"_reading": None}


def _is_known_itself(made: Any) -> bool:
    """Whether an answer is read anew for every pass as it is: files, lazy frames, stored arrays."""
    first = made[0] if isinstance(made, list | tuple) and made else made
    if isinstance(first, str | os.PathLike | Source):
        return True
    return any(is_instance(first, *names) for names in ITSELF)


def _is_array(made: Any) -> bool:
    """Whether an answer is one array or tensor of rows."""
    return (isinstance(made, np.ndarray) or hasattr(made, "detach")) and np.ndim(made) == 2


def _is_rows(made: Any) -> bool:
    """Whether an answer is a list of rows, as cursor.fetchall() gives it, and not of chunks."""
    first = made[0] if isinstance(made, list | tuple) and made else None
    if not isinstance(first, Sequence) or isinstance(first, str | bytes):
        return False
    return bool(first) and all(np.ndim(cell) == 0 for cell in first)


def _names_of(row: Any) -> list[str] | None:
    """Return the names of columns that a row knows: SQLite's and SQLAlchemy's, named tuples."""
    if hasattr(row, "_fields"):
        return list(row._fields)
    return list(row.keys()) if hasattr(row, "keys") else None


def _opened(made: Any, how: Reading) -> Generator[Any, None, None] | None:
    """Walk a Dataset or a Parquet file in the columns that are asked for; None for what is none."""
    for library, names, reader in OPENED:
        if is_instance(made, library, *names):
            return (batch for _, batch in reader(made, how).batches())
    return None


def _read(made: Any, ask: Callable[[], Any], n_rows: int) -> Generator[Any, None, None] | None:
    """Walk an answer of a database; None for what is none."""
    if hasattr(made, "__arrow_c_stream__") and not hasattr(made, "read_next_batch"):
        return _batches(require("pyarrow", "io").RecordBatchReader.from_stream(made))
    if hasattr(made, "to_arrow_reader"):
        return _batches(made.to_arrow_reader())
    if is_instance(made, "pyarrow.dataset", "Scanner"):
        return _batches(made.to_reader())
    if hasattr(made, "fetch_record_batch"):
        if made in _left:
            # ADBC's SQLite goes on where the last answer was left, and only then begins anew
            deque(made.fetch_record_batch(), maxlen=0)
            made = ask()
        return _batches(made.fetch_record_batch(), made)
    return _fetched(made, n_rows) if hasattr(made, "fetchmany") else None


def _batches(reader: Any, cursor: Any = None) -> Generator[Any, None, None]:
    """Walk Arrow's batches."""
    if cursor is not None:
        _left.add(cursor)
    with reader:
        _refuse_no_columns(reader.schema.names)
        yield reader.schema.empty_table()  # names the columns where there are no rows
        yield from reader
    if cursor is not None:
        _left.discard(cursor)


def _fetched(cursor: Any, n_rows: int) -> Generator[AnswerTable, None, None]:
    """Walk the tuples of a cursor, or of a result of SQLAlchemy's."""
    described = getattr(cursor, "description", None) or ()
    names = list(cursor.keys()) if hasattr(cursor, "keys") else [each[0] for each in described]
    _refuse_no_columns(names)
    yield AnswerTable(names, ())
    while rows := cursor.fetchmany(n_rows):
        yield AnswerTable(names, rows)


def _refuse_no_columns(names: Sequence[Hashable]) -> None:
    if not names:
        raise DataError("the query gave no columns; give one that selects rows")
