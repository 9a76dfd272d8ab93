"""Cells converted to real numbers; an error names the cell that is none."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError

REAL_KINDS = "biuf"  # of NumPy's types: bool, int, unsigned, float
NUMBERS = (Real, np.bool_, Decimal)
LARGEST_FLOAT = float(np.finfo(np.float64).max)
SHOWN = 60  # letters of a cell that fit in a message
KINDS = {"m": "durations", "M": "dates or times", "V": "records"}
NO_VALUE = "holds no value (NaN or null)"  # what is missing is told alike, wherever it was read
TO_SECONDS = (
    "make it seconds first ((t - t.min()).dt.total_seconds() of a frame, epoch(t) in SQL), or "
    "leave the column out"
)
TO_NUMBERS = {  # by the name of a cell's class
    "Mapping": "pandas.json_normalize makes columns of it",
    "Period": "make it a time first (.dt.to_timestamp()), and that seconds",
    "Interval": "take its middle (.array.mid), or its ends",
}


class CellError(DataError, TypeError):
    """A cell of an object array that is neither number nor text."""


class Place(NamedTuple):
    """Where a run of rows stands, for messages."""

    name: str
    first_row: int = 0

    def further(self, rows: int) -> Place:
        """Return the place this many rows further on."""
        return self._replace(first_row=self.first_row + rows)

    def row(self, index: int) -> str:
        """Name a row by its number in the whole source."""
        return f"row {self.first_row + index} of {self.name}"


def real(values: npt.NDArray[Any], labels: Sequence[Hashable], place: Place) -> npt.NDArray[Any]:
    """Return the values (n, d) as bools, ints or floats, of any width and layout.

    Objects are taken if each is a number or missing, and become float64; what is missing becomes
    NaN, which is refused or taken where all rows are. Nothing is parsed from text.
    """
    kind = values.dtype.kind
    if kind in REAL_KINDS:
        return values
    if kind == "c":
        raise DataError(f"Complex data not supported: {place.name} holds {values.dtype}")
    if kind in KINDS:
        way = "make them numbers first, or leave the column out" if kind == "V" else TO_SECONDS
        raise DataError(
            f"column {labels[0]!r} of {place.name} holds {KINDS[kind]} ({values.dtype}); {way}"
        )
    return _of_objects(values, labels, place)


def _of_objects(
    values: npt.NDArray[Any], labels: Sequence[Hashable], place: Place
) -> npt.NDArray[np.float64]:
    if all(issubclass(kind, NUMBERS) for kind in set(map(type, values.flat))):
        try:
            return values.astype(np.float64)  # a tenth of the time of a look at each
        except (OverflowError, ValueError):
            pass  # which cell it is, the loop tells
    numbers = np.empty(values.shape)
    for (row, column), cell in np.ndenumerate(values):
        if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
            numbers[row, column] = np.nan
            continue
        if not isinstance(cell, NUMBERS) or (isinstance(cell, Decimal) and cell.is_snan()):
            refuse_cell(cell, place.row(row), labels[column])
        try:
            numbers[row, column] = float(cell)
        except OverflowError as error:
            raise DataError(
                f"{place.row(row)} holds a number past the largest float, {LARGEST_FLOAT:.2g}, in "
                f"column {labels[column]!r}; scale the column"
            ) from error
    return numbers


def refuse_cell(cell: object, place: str, label: Hashable) -> NoReturn:
    """Raise the error of a cell that is not a number."""
    if isinstance(cell, str | bytes):
        text = str(cell)
        shown = repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
        raise DataError(
            f"{place} holds the text {shown} in column {label!r}; make it a number, or "
            "leave the column out"
        )
    if cell is None:  # of a column of lists
        raise DataError(f"{place} {NO_VALUE} in column {label!r}; drop or impute it")
    if isinstance(cell, date | time | timedelta):
        raise DataError(f"{place} holds {cell!r} in column {label!r}; {TO_SECONDS}")
    kind = "Mapping" if isinstance(cell, Mapping) else type(cell).__name__
    raise CellError(
        f"{place} holds {cell!r} in column {label!r}; the argument must be neither a string nor "
        f"a {type(cell).__name__}, but a real number: {TO_NUMBERS.get(kind, 'make it one')}, or "
        "leave the column out"
    )


def refuse_length(found: int, others: int, label: Hashable, place: str) -> NoReturn:
    """Raise the error of a cell that holds more or fewer numbers than the others."""
    raise DataError(
        f"{place} holds {found} number(s) in column {label!r} where the rows before hold "
        f"{others}; all need the same, for each is a feature: pad or cut it, or leave the column "
        "out"
    )


def float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 for float32 in any byte order, float64 for all else."""
    single = dtype.kind == "f" and dtype.itemsize == 4
    return np.dtype(np.float32 if single else np.float64)
