"""Whether the first line of a text file names its columns, a comment above it does, or nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from fastgmm.errors import DataError
from fastgmm.sources.cells import SHOWN
from fastgmm.sources.columns import Reading
from fastgmm.sources.formats import numerals, text
from fastgmm.sources.formats.separator import Row, Split, is_empty, split_by

NAMED = 4  # numbers and columns that fit in a message
NO_HEADER = "no header"
_WHOLE = re.compile(r"\s*(?:0|[+-]?[1-9][0-9]*|)\s*")  # numbers, or no value
_NOT_WHOLE = re.compile(r",0[0-9]|[eE]")
_DIGITS = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")
NO_COLUMNS = ("\r", "\n")  # names of what is none: they are stripped from any other


class Names(NamedTuple):
    """The names of the columns, and where they stand."""

    columns: Row  # one for every cell of a row; NO_COLUMNS are none
    place: str  # in words
    is_line: bool = False  # of the table, before its rows


def names_of(
    split: Split, above: Sequence[str], reading: Reading, told: bool | None, name: str
) -> Names:
    """Find the names of the columns: in the first line, in the comment above it, or none.

    Parameters
    ----------
    split : Split
        The first line and rows.
    above : sequence of str
        Lines above it.
    reading : Reading
        The columns that are asked for.
    told : bool, optional
        Whether the first line names the columns, if that is told.
    name : str
        Of the file.
    """
    width, first = split.width, split.first
    ends_empty = width > 1 and bool(split.rows) and is_empty(-1, width, split.rows)
    begins_empty = width > 2 and bool(split.rows) and is_empty(0, width, split.rows)
    comment = split_by([_comment(above)], split.delimiter, split.decimal).first
    if _is_header(split, reading, told, comment, name):
        columns, place = first[:width], f"names in line {len(above) + 1}"
    elif told is None and not _positions(reading) and _may_name(comment, width, ends_empty):
        columns, place = comment, f"names in the comment of line {len(above)}"
    else:
        columns, place = [str(number) for number in range(width)], NO_HEADER
        columns[-1] = first[-1] and columns[-1]
    columns = [*(cell.strip() for cell in columns), ""][:width]
    is_line = place.startswith("names in line")
    if ends_empty and not columns[-1]:  # what comes after the last separator
        columns[-1] = NO_COLUMNS[-1]
    if begins_empty and is_line and not columns[0]:  # what comes before the first separator
        columns[0] = NO_COLUMNS[0]
    if split.has_row_names and is_line:
        columns[0], place = NO_COLUMNS[0], f"{place}, names of rows left out"
    return Names(columns, place, is_line)


def _comment(above: Sequence[str]) -> str:
    """Return the text of a comment that stands right above the table."""
    last = above[-1].strip() if above else ""
    return last.lstrip(text.COMMENT).strip() if last.startswith(text.COMMENT) else ""


def _may_name(cells: Row, width: int, ends_empty: bool) -> bool:
    """Whether a comment is the names of columns: of all, each its own, with no other separator."""
    names = {cell.strip() for cell in cells} - {""}
    is_sentence = any(separator in name for name in names for separator in ",;\t|")
    is_whole = len(names) == len(cells) and len(cells) in (width, width - ends_empty)
    return is_whole and not is_sentence


def _is_header(split: Split, reading: Reading, told: bool | None, comment: Row, name: str) -> bool:
    """Whether the first line names the columns.

    It does where a column of numbers has none there. Where all have, it is names if `columns`
    says so or they count 0, 1, 2, ..., and a row if it lies among the rows below and would not do
    for names: these have few decimals, and do not go up and down. Else it could be either, and is
    refused.
    """
    if told is not None or split.has_row_names:
        return told is not False
    first = [cell.strip() for cell in split.first]
    looked_at = [first[at] for at in split.numeric if at < len(first)] or first
    words = [cell for cell in looked_at if not numerals.is_number(cell, split.decimal)]
    if len(words) == len(looked_at) or any(map(_is_word, words)):
        return True
    asked, positions = _asked(reading), _positions(reading)
    if first == list(map(str, range(len(first)))):
        return True
    if asked and set(map(number_of, asked)) <= set(map(number_of, first)):
        are_text = any(isinstance(label, str) for label in asked)
        return are_text or len(positions) < len(asked) or max(positions) >= len(first)
    if positions or _may_name(comment, split.width, False) or _is_row(split, first):
        return False
    shown = ", ".join(first[:NAMED])
    raise DataError(
        f"the first line of {name} holds numbers ({shown}), which may be a row, or names of "
        "columns: header=False says the former, header=True the latter; or add a header"
    )


def _is_word(cell: str) -> bool:
    """Whether a cell may name a column: a sign such as ? beside numbers is a value that lacks."""
    return any(map(str.isalnum, cell))


def refuse_title(split: Split, by_commas: Split, reading: Reading, name: str) -> None:
    """Refuse words above 1,2 or 120,255,100: one column of numbers, or a title above several.

    What `columns` asks for is a name, and so is one word above what may be decimals. Numbers that
    nobody writes as whole ones side by side, 1,05 or a line without a comma, make the others
    decimals, too.
    """
    title = split.first[0].strip() if split.first else ""
    if not split.numeric or title in map(str, _asked(reading)):
        return
    rows = by_commas.rows
    width = len(rows[0]) if rows else 0
    if not re.search(r"\s", title) and _are_decimals([row[-1] for row in rows]):
        return
    if width > 1 and all(len(row) == width and all(map(_WHOLE.fullmatch, row)) for row in rows):
        raise DataError(
            f"the first line of {name}, {title[:SHOWN]!r}, may name one column of numbers such as "
            f"{','.join(rows[0])}, or be a title above {width} columns: header=True says the "
            "former, and decimal=... how they are written; for the latter begin that line with # "
            "and give header=False"
        )


def refuse_decimals(split: Split, header: Names, name: str) -> None:
    """Refuse lines such as 12,07 without a header: one number with decimals, or two whole ones."""
    if header.place != NO_HEADER or split.width != 2:
        return
    rows = [split.first, *split.rows]
    lines = [",".join(row).strip() for row in rows if any(map(str.strip, row))]
    if not all(map(_DIGITS.fullmatch, lines)):
        return
    if padded := [line for line in lines if _NOT_WHOLE.search(line)]:
        raise DataError(
            f"lines of {name} such as {padded[0]} may hold one number or two: "
            "decimal=',' says the former, delimiter=',' the latter"
        )


def _are_decimals(cells: Row) -> bool:
    """Whether what stands behind commas is written as decimals: of one length or the shortest."""
    cells = [cell.strip() for cell in cells]
    return len(set(map(len, cells))) == 1 or not any(
        cell.endswith("0") and cell != "0" for cell in cells
    )


def _asked(reading: Reading) -> list[Any]:
    """The columns that are asked for, features and weight."""
    columns = [] if isinstance(reading.columns, str | bytes) else list(reading.columns or [])
    others = (reading.weight, reading.label)
    return [*columns, *(other for other in others if other is not None)]


def number_of(label: Any) -> Any:
    """The number that a label is or stands for, or the label."""
    try:
        return float(label)
    except (TypeError, ValueError):
        return label


def _positions(reading: Reading) -> list[int]:
    """The columns that are asked for by number."""
    return [
        int(label)
        for label in _asked(reading)
        if isinstance(label, Integral) or (isinstance(label, str) and label.isdecimal())
    ]


def _is_row(split: Split, first: Row) -> bool:
    """Whether numbers in the first line lie among those below, and would not do for names."""
    numbers = [_value(cell, split.decimal) for cell in first]
    for at in split.numeric:
        below = [_value(row[at], split.decimal) for row in split.fitting]
        values = [each for each in below if each is not None]
        low, high = min(values, default=-math.inf), max(values, default=math.inf)
        number = numbers[at] if at < len(numbers) else None
        if number is not None and not 2 * low - high <= number <= 2 * high - low:
            return False
    looked_at = [numbers[at] for at in split.numeric if at < len(numbers)]
    return bool(split.numeric) and not _could_name(looked_at)


def _could_name(numbers: list[float | None]) -> bool:
    """Whether numbers would do for names, as years and wavelengths do.

    Each is there once, is not negative and has three decimals at most; they ascend, or go down by
    equal steps.
    """
    known = [number for number in numbers if number is not None]
    if len(set(known)) < len(numbers) or min(known) < 0.0:
        return False
    if any(round(number, 3) != number for number in known):
        return False
    if len(known) < 3:  # too few to go up and down
        return all(number.is_integer() for number in known)
    steps = np.diff(known)
    return bool(steps.min() > 0.0 or np.allclose(steps, steps[0]))


def _value(cell: str, decimal: str) -> float | None:
    """The number in a cell, or None where it holds a word or nothing."""
    if not numerals.is_number(cell, decimal):
        return None
    for separator in numerals.THOUSANDS.replace(decimal, ""):
        cell = cell.replace(separator, "")
    number = number_of(cell.replace(decimal, "."))
    return number if isinstance(number, float) and math.isfinite(number) else None
