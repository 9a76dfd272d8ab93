"""Numbers as people write them: decimal commas, separated thousands, True and False."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any, NoReturn

from fastgmm.errors import DataError, require
from fastgmm.sources.cells import Place, refuse_cell

# but nan is a number to be named as such
NO_VALUE = ["", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "null", "NULL", "None"]
THOUSANDS = ",. '\N{RIGHT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
MOST = 0.9  # of the cells of a column of numbers
BOOLEANS = ("true", "false")
WORDS = {"yes", "no", "y", "n", "t", "f", "on", "off"}  # of which pandas and pyarrow make texts


def is_number(cell: str, decimal: str) -> bool:
    """Whether a cell is a number, however it is written, or holds no value."""
    return is_plain(cell, decimal) or is_spelt(cell, decimal)


def is_plain(cell: str, decimal: str) -> bool:
    """Whether a cell is a number to pyarrow's CSV reader, or no value."""
    cell = cell.strip()
    return _plain(decimal).fullmatch(cell) is not None or cell in NO_VALUE


def is_spelt(cell: str, decimal: str) -> bool:
    """Whether a cell is a number that pyarrow's CSV reader does not know as one."""
    cell = cell.strip()
    return cell.lower() in BOOLEANS or bool(re.fullmatch(_grouped(decimal), cell))


def refuse(cell: str, place: str, label: Hashable) -> NoReturn:
    """Raise the error of a cell that is no number; what is a yes or a no is not guessed."""
    if cell.strip().lower() in WORDS:
        raise DataError(
            f"{place} holds the text {cell!r} in column {label!r}, which might be 1 or 0; of words "
            "only True and False are read so, as by pandas and pyarrow: write these, or give the "
            "frame of pandas.read_csv(path, true_values=[...], false_values=[...]), or "
            "leave the column out"
        )
    refuse_cell(cell, place, label)


def decimal_of(rows: Sequence[Sequence[str]], delimiter: str | None) -> str:
    """Find the decimal point: the one by which more cells are numbers, and not by the other.

    Columns of words do not count, if there are others. Cells like 1,234 are numbers by both. They
    hold decimals between semicolons, thousands between commas; else thousands, if numbers without a
    comma stand below or above them. The points of 1.234.567 are no decimal points.
    """
    cells = [cell for row in rows for cell in row]
    if not (by_comma := _by_comma(cells, delimiter)):
        return "."
    cells = _of_numbers(rows) or cells
    looked_at = list(filter(by_comma.__contains__, cells))
    n_comma = sum(not is_number(cell, ".") for cell in looked_at)
    n_point = sum(is_number(cell, ".") and not is_number(cell, ",") for cell in cells)
    if n_comma != n_point:
        return "," if n_comma > n_point else "."
    if delimiter in (",", ";"):
        return "," if delimiter == ";" else "."
    for column in zip(*rows[1:], strict=False):
        numbers = [cell for cell in column if cell.strip() and is_number(cell, ",")]
        if 0 < sum(cell in by_comma for cell in numbers) < len(numbers):
            return "."
    return ","


def _by_comma(cells: Sequence[str], delimiter: str | None) -> set[str]:
    """Return the cells that are numbers with a decimal comma, and might be none with a point."""
    looked_at = (c for c in cells if "," in c or (delimiter != "," and c.count(".") > 1))
    return {cell for cell in looked_at if is_number(cell, ",")}


def _of_numbers(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the cells of columns most of whose cells are numbers, by either decimal point."""
    found = []
    for first, *column in zip(*rows, strict=False):
        n_numbers = sum(is_number(cell, ".") or is_number(cell, ",") for cell in column)
        if n_numbers >= MOST * len(column):
            found += [first, *column]
    return found


def numbers(column: Any, decimal: str, label: Hashable, place: Place) -> Any:
    """Return the float64 of an Arrow column of text; a cell that is none is an error."""
    pyarrow, compute = require("pyarrow", "io"), require("pyarrow.compute", "io")
    text = compute.utf8_trim_whitespace(column)
    if decimal != ".":  # 1.5 is no number here, and must not become one
        text = compute.if_else(
            compute.match_substring_regex(text, rf"^(?:[^.]*|{_grouped(decimal)})$"),
            text,
            "no number",
        )
    joined = compute.replace_substring_regex(text, f"[{THOUSANDS.replace(decimal, '')}]", "")
    is_grouped = compute.match_substring_regex(text, f"^{_grouped(decimal)}$")
    text = compute.if_else(is_grouped, joined, text)
    text = compute.replace_substring(text, decimal, ".")
    for number, word in enumerate(reversed(BOOLEANS)):
        is_word = compute.equal(compute.utf8_lower(text), word)
        text = compute.if_else(is_word, str(number), text)
    is_missing = compute.is_in(text, pyarrow.array(NO_VALUE[1:]))  # with blanks around it
    text = compute.if_else(is_missing, pyarrow.scalar(None, pyarrow.string()), text)
    try:
        return text.cast(pyarrow.float64())
    except pyarrow.ArrowInvalid:
        row = _first_wrong(text)
        refuse(column[row].as_py(), place.row(row), label)


def _first_wrong(text: Any) -> int:
    """Find the first of cells, not all of which are numbers, by halving: pyarrow does not say."""
    pyarrow = require("pyarrow", "io")
    if len(text) == 1:
        return 0
    half = len(text) // 2
    try:
        text[:half].cast(pyarrow.float64())
    except pyarrow.ArrowInvalid:
        return _first_wrong(text[:half])
    return half + _first_wrong(text[half:])


@cache
def _plain(decimal: str) -> re.Pattern[str]:
    point = re.escape(decimal)
    digits = rf"(?:[0-9]+{point}?[0-9]*|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    return re.compile(rf"[+-]?(?:{digits}|nan|inf|infinity)", re.IGNORECASE)


@cache
def _grouped(decimal: str) -> str:
    """A pattern, for Python as for pyarrow: digits in threes, with one separator between them."""
    groups = "|".join(
        rf"(?:{re.escape(separator)}[0-9]{{3}})+" for separator in THOUSANDS.replace(decimal, "")
    )
    return rf"[+-]?[1-9][0-9]{{0,2}}(?:{groups})(?:{re.escape(decimal)}[0-9]*)?"
