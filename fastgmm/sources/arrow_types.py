"""What Arrow's types mean as numbers: decimals, dictionaries, and columns of lists and structs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError, require
from fastgmm.sources.cells import TO_SECONDS, Place, refuse_cell, refuse_length
from fastgmm.sources.columns import Groups

NUMBERS = {"bool", "halffloat", "float", "double"} | {
    f"{sign}int{width}" for sign in ("", "u") for width in (8, 16, 32, 64)
}
TIMES = ("date", "time", "duration", "month_day_nano")  # types begin with these words
EXACT = 2**53  # integers up to it are floats
EXACT_POWER = 22  # so is this power of ten


class Leaf(NamedTuple):
    """One number in each row: a column, or a part of one that holds several."""

    label: str
    column: str  # it is of; with the field, where that is a struct
    path: tuple[int, ...]  # the position of the column, and of fields of structs in it
    length: int = 0  # of the lists of the column; 0 where it holds none
    element: int = 0  # of a list

    def of(self, table: Any, rows: slice) -> Any:
        """Return some rows of its column in a table or a record batch."""
        values = table.column(self.path[0])[rows]
        for field in self.path[1:]:
            values = values.flatten()[field]  # where a struct is null, its fields are
        return values


class Spread(NamedTuple):
    """Every number in a row, in order, and which of them are of one column."""

    leaves: list[Leaf]
    groups: Groups


def spread(schema: Any, lengths: Mapping[str, int]) -> Spread:
    """Return what a row of a schema holds; ``lengths`` are those that no type tells."""
    leaves: list[Leaf] = []
    groups: dict[Hashable, range] = {}

    def visit(label: str, kind: Any, path: tuple[int, ...]) -> None:
        start, kind = len(leaves), _stored(kind)
        length = getattr(kind, "list_size", lengths.get(label, 0)) if _is_list(kind) else 0
        if _is_struct(kind):
            for at in range(kind.num_fields):
                visit(f"{label}.{kind.field(at).name}", kind.field(at).type, (*path, at))
        elif length:
            leaves.extend(Leaf(f"{label}[{j}]", label, path, length, j) for j in range(length))
        else:
            leaves.append(Leaf(label, label, path))
            return
        groups[label] = range(start, len(leaves))

    for at, field in enumerate(schema):
        visit(field.name, field.type, (at,))
    return Spread(leaves, groups)


def lengths(table: Any) -> dict[str, int]:
    """Return the length of the first list of each column whose type does not tell it."""
    found: dict[str, int] = {}

    def visit(label: str, values: Any) -> None:
        kind = _stored(values.type)
        if _is_struct(kind):
            for at, field in enumerate(values.flatten()):
                visit(f"{label}.{kind.field(at).name}", field)
        elif needs_rows(kind) and (given := values.drop_null()):
            found[label] = len(given[0])

    for at, field in enumerate(table.schema):
        if needs_rows(field.type):
            visit(field.name, table.column(at))
    return found


def needs_rows(kind: Any) -> bool:
    """Whether only rows tell how many numbers a column of this type holds in each."""
    kind = _stored(kind)
    if _is_struct(kind):
        return any(needs_rows(kind.field(at).type) for at in range(kind.num_fields))
    return _is_list(kind) and not hasattr(kind, "list_size")


def is_plain(kind: Any) -> bool:
    """Whether Arrow holds the numbers of a type as NumPy does."""
    return str(kind) in NUMBERS - {"bool"}


def numbers(values: Any, leaf: Leaf, place: Place) -> npt.NDArray[Any]:
    """Return a column as numbers, (n,), or one of lists as rows, (n, length)."""
    kind, values = values.type, _decoded(values)
    if not leaf.length and not _is_number(values.type):
        _refuse_type(kind, leaf.column, place)
    if not leaf.length:
        return _scalars(values)
    _refuse_null(values, leaf.column, place)
    _refuse_ragged(values, leaf, place)
    inner = _decoded(values.flatten())
    if not _is_number(inner.type):
        _refuse_type(kind, leaf.column, place)
    return _scalars(inner).reshape(-1, leaf.length)


def _is_list(kind: Any) -> bool:
    return "list" in str(kind).partition("<")[0]


def _is_struct(kind: Any) -> bool:
    return str(kind).startswith("struct<")


def _stored(kind: Any) -> Any:
    """Return what an extension type is stored as, such as a tensor of fixed shape."""
    return getattr(kind, "storage_type", kind)


def _decoded(values: Any) -> Any:
    """Return a column in one piece, without dictionaries, runs and extensions."""
    values = values.combine_chunks() if hasattr(values, "chunks") else values
    if hasattr(values.type, "storage_type"):
        values = values.storage
    if str(values.type).startswith("dictionary<"):
        values = values.dictionary_decode()
    if str(values.type).startswith("run_end_encoded<"):
        values = require("pyarrow.compute", "io").run_end_decode(values)
    return values


def _is_number(kind: Any) -> bool:
    return str(kind) in NUMBERS or str(kind) == "null" or str(kind).startswith("decimal")


def _scalars(values: Any) -> npt.NDArray[Any]:
    """Return numbers; a null becomes NaN, which is refused or taken where all rows are."""
    if str(values.type) == "null":
        return np.full(len(values), np.nan)
    if values.null_count and str(values.type) == "bool":
        values = values.cast("uint8")  # else NumPy makes objects of them
    if str(values.type).startswith("decimal"):
        return _decimals(values)
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _decimals(values: Any) -> npt.NDArray[np.float64]:
    """Return decimals as the nearest floats; Arrow's own cast misses 3 of 10 by a rounding."""
    pyarrow = require("pyarrow", "io")
    scale = values.type.scale
    if values.type.bit_width < 128:
        values = values.cast(pyarrow.decimal128(38, scale))
    is_short = values.type.bit_width == 128 and 0 <= scale <= EXACT_POWER
    if is_short and len(values) and not values.null_count:
        words = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)
        low, high = words[values.offset : values.offset + len(values)].T
        if ((high == low >> 63) & (low >= -EXACT) & (low <= EXACT)).all():
            return np.asarray(low / 10.0**scale)  # of two floats that are exact: one rounding
    return np.asarray(values.cast(pyarrow.string()).cast(pyarrow.float64()))


def _refuse_type(kind: Any, label: str, place: Place) -> NoReturn:
    way = "cast it to a number, or choose other columns with columns=[...]"
    if str(kind).startswith(TIMES):
        way = TO_SECONDS
    elif _is_list(kind):
        way = (
            "each row needs one list of numbers, as long as that of the first row and not empty; "
            "make it so, or choose other columns with columns=[...]"
        )
    raise DataError(f"column {label!r} of {place.name} holds {kind}; {way}")


def _refuse_null(values: Any, label: str, place: Place) -> None:
    if values.null_count:
        refuse_cell(None, place.row(_first_null(values)), label)


def _first_null(values: Any) -> int:
    return int(values.is_null().to_numpy(zero_copy_only=False).argmax())


def _refuse_ragged(values: Any, leaf: Leaf, place: Place) -> None:
    """Refuse the first list of another length than the others."""
    if hasattr(values.type, "list_size"):
        return
    found = values.value_lengths().to_numpy(zero_copy_only=False)
    if (found != leaf.length).any():
        row = int((found != leaf.length).argmax())
        refuse_length(int(found[row]), leaf.length, leaf.column, place.row(row))
