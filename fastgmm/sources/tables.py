"""Rows in memory, seen as columns: arrays, pandas and polars frames, Arrow tables and batches."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources import arrow_types
from fastgmm.sources.arrays import as_array
from fastgmm.sources.cells import REAL_KINDS, Place, float_type, real, refuse_cell, refuse_length
from fastgmm.sources.columns import Chosen, Groups
from fastgmm.sources.rows import rows_per_chunk, rows_per_piece
from fastgmm.sources.types import Chunk, Poured

FRAMES = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table", "RecordBatch"))
COLUMNS = (("pandas", "Series"), ("polars", "Series"), ("pyarrow", "Array", "ChunkedArray"))


class Table(ABC):
    """Some rows, and the labels of their columns.

    A column of arrays is a column for each of their numbers, ``embedding[0]``, ``embedding[1]``
    and so on; `groups` has the positions of all that came out of one.
    """

    def __init__(
        self, labels: Sequence[Hashable], n_rows: int, groups: Groups | None = None
    ) -> None:
        self.labels = labels
        self.n_rows = n_rows
        self.groups: Groups = groups or {}

    @abstractmethod
    def column(self, position: int, rows: slice, place: Place) -> npt.NDArray[Any]:
        """Return some rows of one column, as real numbers."""

    def chunk(self, chosen: Chosen, rows: slice, place: Place) -> Chunk:
        """Return some rows of the chosen columns; ``place`` is that of the first of them."""
        columns = [self.column(position, rows, place) for position in chosen.features]
        weights = None if chosen.weight is None else self.column(chosen.weight, rows, place)
        return Chunk(_stacked(columns), weights)

    def cells(self, position: int) -> npt.NDArray[Any]:
        """Return all cells of one column as they are, whatever they hold."""
        raise DataError(
            f"column {self.labels[position]!r} can hold no labels here; give them beside the rows"
        )

    def rows_per_chunk(self, chosen: Chosen) -> int:
        """Return the default number of rows per chunk."""
        return rows_per_chunk(len(chosen.features))

    def dtype(self, chosen: Chosen, place: Place) -> np.dtype[Any]:
        """Find float32 if every feature is float32, else float64; refuses what is not a number."""
        return float_type(self.chunk(chosen, slice(0, 0), place).rows.dtype)


class ArrayTable(Table):
    """A 2-d array, whose columns have numbers for names."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        super().__init__(range(array.shape[1]), array.shape[0])
        self.array = array

    def column(self, position: int, rows: slice, place: Place) -> npt.NDArray[Any]:
        """Return some rows of one column."""
        return self.array[rows, position]

    def chunk(self, chosen: Chosen, rows: slice, place: Place) -> Chunk:
        """Return some rows: a view, where every column is a feature."""
        found = self.array[rows]
        weights = None if chosen.weight is None else found[:, chosen.weight]
        return Chunk(found if chosen.all else found[:, list(chosen.features)], weights)

    def cells(self, position: int) -> npt.NDArray[Any]:
        """Return all cells of one column."""
        return self.array[:, position]

    def rows_per_chunk(self, chosen: Chosen) -> int:
        """Return all rows where a chunk is a view: blocks then need no copy."""
        return max(1, self.n_rows) if chosen.all else super().rows_per_chunk(chosen)


class FrameTable(Table):
    """A pandas or polars frame."""

    def __init__(self, labels: Sequence[Hashable], columns: list[Any], n_rows: int) -> None:
        parts = [_elements(label, values) for label, values in zip(labels, columns, strict=True)]
        spread = [label for found in parts for label in found]
        super().__init__(spread, n_rows, _groups(labels, parts))
        # pandas arrays or polars series: both can be sliced by position
        self._columns = list(zip(labels, columns, strict=True))
        self._parts = [
            (at, element if len(found) > 1 or found[0] != labels[at] else None)
            for at, found in enumerate(parts)
            for element in range(len(found))
        ]
        self._stacked: dict[int, npt.NDArray[Any]] = {}

    def column(self, position: int, rows: slice, place: Place) -> npt.NDArray[Any]:
        """Return some rows of one column; missing values are an error."""
        at, element = self._parts[position]
        label, values = self._columns[at]
        if element is not None:
            if at not in self._stacked:
                first = place.further(-(rows.start or 0))
                self._stacked[at] = _cells_stacked(values.to_numpy(), label, first)
            return self._stacked[at][rows, element]
        if str(values.dtype) == "category" and values.categories.dtype.kind not in REAL_KINDS:
            raise DataError(
                f"column {label!r} of {place.name} holds categories; make them numbers first, "
                "or leave the column out"
            )
        numbers = np.asarray(values[rows].to_numpy())
        return real(numbers[:, None], [label], place)[:, 0]

    def cells(self, position: int) -> npt.NDArray[Any]:
        """Return all cells of one column; what is missing is None, NaN or NA."""
        at, element = self._parts[position]
        if element is not None:
            return super().cells(position)
        return np.asarray(self._columns[at][1].to_numpy())


class ArrowTable(Table):
    """An Arrow table or record batch."""

    def __init__(self, table: Any, spread: arrow_types.Spread | None = None) -> None:
        if spread is None:
            spread = arrow_types.spread(table.schema, arrow_types.lengths(table))
        self._leaves = spread.leaves
        super().__init__([leaf.label for leaf in self._leaves], table.num_rows, spread.groups)
        self.table = table
        self._shown: dict[tuple[int, ...], npt.NDArray[Any] | None] = {}
        self._last: tuple[Any, npt.NDArray[Any]] | None = None  # rows of a column of lists

    def fields(self, chosen: Chosen) -> list[str]:
        """Return the names of the columns that the chosen ones are of, each once."""
        positions = (*chosen.features, *([] if chosen.weight is None else [chosen.weight]))
        names = self.table.schema.names
        return list(dict.fromkeys(names[self._leaves[at].path[0]] for at in positions))

    def chunk(self, chosen: Chosen, rows: slice, place: Place) -> Chunk:
        """Return some rows: as they lie in memory, where they are one column of lists."""
        first = self._leaves[chosen.features[0]]
        if first.length and self.groups[first.column] == range(*_span(chosen.features)):
            weights = None if chosen.weight is None else self.column(chosen.weight, rows, place)
            return Chunk(self._lists(chosen.features[0], rows, place), weights)
        return super().chunk(chosen, rows, place)

    def pour(self, chosen: Chosen, start: int, buffer: npt.NDArray[Any], place: Place) -> Poured:
        """Write rows of the chosen columns from ``start`` on, as many as fit in."""
        addresses = self._addresses(chosen, buffer.dtype)
        if addresses is None:  # some at a time, which stay in cache while they are turned
            buffer = buffer[: rows_per_piece(len(chosen.features))]
        out = buffer[: self.n_rows - start]
        rows = slice(start, start + len(out))
        if addresses is None:
            found = self.chunk(chosen, rows, place)
            out[:] = found.rows
            return Poured(len(out), found.weights)
        weights = None if chosen.weight is None else self.column(chosen.weight, rows, place)
        return Poured(len(out), weights, _side_by_side(addresses, start, out))

    def column(self, position: int, rows: slice, place: Place) -> npt.NDArray[Any]:
        """Return some rows of one column, a view where Arrow allows it; nulls are an error."""
        leaf = self._leaves[position]
        if leaf.length:
            return self._lists(position, rows, place)[:, leaf.element]
        shown = self._whole(position)
        return self._converted(leaf, rows, place) if shown is None else shown[rows]

    def cells(self, position: int) -> npt.NDArray[Any]:
        """Return all cells of one column; nulls are None."""
        leaf = self._leaves[position]
        if leaf.length or len(leaf.path) > 1:
            return super().cells(position)
        return as_objects(self.table.column(leaf.path[0]).to_pylist())

    def _lists(self, position: int, rows: slice, place: Place) -> npt.NDArray[Any]:
        """Return some rows of a column of lists, (n, length); asked for once for each element."""
        leaf = self._leaves[position]
        key = leaf.path, rows.start, rows.stop
        if self._last is None or self._last[0] != key:
            self._last = key, self._converted(leaf, rows, place)
        return self._last[1]

    def _whole(self, position: int) -> npt.NDArray[Any] | None:
        leaf = self._leaves[position]
        if leaf.path not in self._shown:
            plain = len(leaf.path) == 1 and not leaf.length
            self._shown[leaf.path] = _shown(self.table.column(leaf.path[0])) if plain else None
        return self._shown[leaf.path]

    def _addresses(self, chosen: Chosen, dtype: np.dtype[Any]) -> npt.NDArray[np.int64] | None:
        """Return the addresses of the chosen columns, if all hold plain numbers of this type."""
        addresses = []
        for position in chosen.features:
            column = self._whole(position)
            if column is None or column.dtype != dtype:
                return None
            if not (column.flags.c_contiguous and column.flags.aligned):
                return None
            addresses.append(column.ctypes.data)
        return np.array(addresses, np.int64)

    def _converted(self, leaf: arrow_types.Leaf, rows: slice, place: Place) -> npt.NDArray[Any]:
        return arrow_types.numbers(leaf.of(self.table, rows), leaf, place)


def _shown(column: Any) -> npt.NDArray[Any] | None:
    """Return a whole column as an array, if that needs no copy: an Arrow slice costs 5 us."""
    in_one_piece = not hasattr(column, "chunks")
    plain = arrow_types.is_plain(column.type) and not column.null_count
    return column.to_numpy() if in_one_piece and plain else None


def _side_by_side(addresses: npt.NDArray[np.int64], start: int, out: npt.NDArray[Any]) -> bool:
    """Fill rows from columns, and say whether a sum of all numbers is finite."""
    from fastgmm.kernels.interleave import interleave

    return bool(np.isfinite(interleave(addresses, start, out)))


def as_objects(cells: Sequence[Any]) -> npt.NDArray[Any]:
    """Return cells of any kind as an array of one dimension."""
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def as_table(data: object, place: Place) -> Table:
    """Wrap rows in memory as a table, whatever library they come from."""
    if isinstance(data, Table):
        return data
    if is_instance(data, "pandas", "DataFrame"):
        columns = [data.iloc[:, at].array for at in range(data.shape[1])]  # type: ignore[attr-defined]
        return FrameTable(list(data.columns), columns, len(data))  # type: ignore[attr-defined,arg-type]
    if is_instance(data, "polars", "DataFrame"):
        return _of_polars(data)
    if is_instance(data, "pyarrow", "Table", "RecordBatch"):
        return ArrowTable(data)
    return ArrayTable(as_array(data, place))


def is_column(data: object) -> bool:
    """Whether an object is one column, not rows."""
    is_array = isinstance(data, np.ndarray) and data.ndim == 1
    return is_array or any(is_instance(data, *names) for names in COLUMNS)


def column_as_table(data: Any, place: Place) -> Table | None:
    """Wrap a bare column, of which each cell is a row; None for one of another kind."""
    if is_instance(data, "polars", "Series") and data.dtype.is_nested():
        data = data.to_arrow()
    if is_instance(data, "pyarrow", "Array", "ChunkedArray"):
        table = ArrowTable(sys.modules["pyarrow"].table({"column": data}))
        return table if table.groups else None
    if is_instance(data, "pandas", "Series"):
        data = data.array.to_numpy()
    if not isinstance(data, np.ndarray) or data.dtype != object or not len(data):
        return None
    return ArrayTable(_cells_stacked(data, "column", place)) if _parts("", data[0]) else None


def _of_polars(frame: Any) -> Table:
    """Wrap a polars frame; what NumPy has no type for goes by way of Arrow."""
    polars = sys.modules["polars"]
    wide = [getattr(polars, name) for name in ("Int128", "UInt128") if hasattr(polars, name)]
    frame = frame.with_columns(
        frame[name].cast(polars.Float64) for name, kind in frame.schema.items() if kind in wide
    )
    if any(kind.is_nested() or kind.is_decimal() for kind in frame.dtypes):
        return ArrowTable(frame.to_arrow())
    return FrameTable(frame.columns, frame.get_columns(), frame.height)


def _elements(label: Hashable, values: Any) -> list[Hashable]:
    """Return the labels of a column: of one of arrays, a label for each of their numbers."""
    if str(values.dtype) != "object" and "list" not in str(values.dtype):
        return [label]
    return _parts(label, values[0] if len(values) else None) or [label]


def _parts(label: Hashable, cell: Any) -> list[Hashable]:
    """Return the labels of the numbers in a cell; none, if it does not hold several."""
    if isinstance(cell, Mapping):
        return [f"{label}.{key}" for key in cell]
    if isinstance(cell, np.ndarray | list | tuple) and np.ndim(cell) == 1:
        return [f"{label}[{element}]" for element in range(len(cell))]
    return []


def _groups(labels: Sequence[Hashable], parts: list[list[Hashable]]) -> Groups:
    """Return where the numbers of each column of arrays are."""
    groups, start = {}, 0
    for label, found in zip(labels, parts, strict=True):
        if found != [label]:
            groups[label] = range(start, start + len(found))
        start += len(found)
    return groups


def _cells_stacked(cells: Any, label: Hashable, place: Place) -> npt.NDArray[Any]:
    """Return arrays or dictionaries, one in each cell, as rows; all need the length of the first.

    Numbers of dictionaries are found by the keys of the first.
    """
    first = cells[0]
    kind = Mapping if isinstance(first, Mapping) else np.ndarray | list | tuple
    keys: set[Any] = set(first) if kind is Mapping else set()
    for row, cell in enumerate(cells):
        if not isinstance(cell, kind):
            refuse_cell(cell, place.row(row), label)
        if len(cell) != len(first):
            refuse_length(len(cell), len(first), label, place.row(row))
        if other := keys.difference(cell if keys else ()):
            refuse_cell(None, place.row(row), f"{label}.{min(other, key=str)}")
    if kind is Mapping:
        cells = [[cell.get(key) for key in first] for cell in cells]
    found = np.array(list(cells))
    if found.dtype.kind in "USO":
        found = np.array([list(cell) for cell in cells], dtype=object)
    return real(found, _parts(label, first), place)


def _span(positions: Sequence[int]) -> tuple[int, int]:
    """Return the ends of a range, if the positions are one in order."""
    start, stop = positions[0], positions[-1] + 1
    return (start, stop) if positions == tuple(range(start, stop)) else (0, 0)


def is_instance(data: object, module: str, *names: str) -> bool:
    """Look whether an object is of a library's class, without importing the library."""
    library = sys.modules.get(module)
    return library is not None and isinstance(data, tuple(getattr(library, n) for n in names))


def _stacked(columns: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Columns side by side, as rows that lie across memory: a block turns them, where it copies.

    Turning them here, column by column, took three times as long: 2.3 ms for 98 304 rows of 10.
    """
    single = all(float_type(column.dtype) == np.float32 for column in columns)
    lying = np.empty((len(columns), len(columns[0])), np.float32 if single else np.float64)
    for position, column in enumerate(columns):
        lying[position] = column
    return lying.T
