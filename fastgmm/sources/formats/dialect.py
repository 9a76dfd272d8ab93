"""How a text file is written: what its head shows, where `open_source` is not told."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from fastgmm.errors import DataError
from fastgmm.sources.columns import Reading, Text
from fastgmm.sources.formats import numerals, text
from fastgmm.sources.formats.file import File

# From the likeliest to what also stands in text. A blank stands for any number of them, and tabs.
SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'", " ": "blanks"}
LOOKED_AT = 100  # rows that are split by each separator
NAMED = 4  # numbers and columns that fit in a message
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line, from Excel
UNTIDY = re.compile(r"(?m)^[ \t]|[ \t]{2}|\t|[ \t]\r?$")  # blanks that pyarrow takes for cells

NO_HEADER = "no header"
PLAIN = "separated by ',', decimal '.', names in line 1, utf-8"  # a dialect as a string

Row = list[str]


class Names(NamedTuple):
    """The names of the columns, and where they stand."""

    columns: Row  # one for every cell of a row
    n_columns: int  # how many are columns: a cell after the last separator is none
    place: str  # in words
    is_line: bool = False  # of the table, before its rows


class Dialect(NamedTuple):
    """How a text file is written, and where its rows begin."""

    encoding: str
    delimiter: str
    is_told: bool  # the delimiter: one column says nothing of it else
    decimal: str
    header: Names
    has_rows: bool
    skipped: int  # lines before the first row
    comments: int  # those of them that are comments
    tidying: text.Tidying
    begins_with_number: bool  # whether rows do, so that a line with # is none
    spelt: frozenset[str]  # columns with thousands separators, True or False

    @property
    def names(self) -> Row:
        """The names of the columns, which are numbers from 0 where the file has none."""
        return self.header.columns[: self.header.n_columns]

    @property
    def is_numbered(self) -> bool:
        """Whether the file has no names."""
        return self.header.place == NO_HEADER

    @property
    def lines_to_skip(self) -> int:
        """Lines before the first row that pyarrow sees."""
        return self.skipped - (self.comments if self.tidying.comments else 0)

    @property
    def separator(self) -> str:
        """What separates the columns, in words."""
        if len(self.header.columns) == 1 and not self.is_told:
            return "one column"
        return f"separated by {SEPARATORS.get(self.delimiter, repr(self.delimiter))}"

    def __str__(self) -> str:
        """Say it in one line, for people."""
        said = [self.separator, f"decimal {self.decimal!r}", self.header.place, self.encoding]
        if self.spelt:
            shown = [repr(name) for name in self.names if name in self.spelt]
            more = ", ..." if len(shown) > NAMED else ""
            said.append(f"True/False or thousands in {', '.join(shown[:NAMED])}{more}")
        return ", ".join(said)


class _Split(NamedTuple):
    """Lines as one separator splits it."""

    delimiter: str
    decimal: str
    first: Row
    first_lines: int  # that the first row takes, whose cells may hold some
    rows: list[Row]
    width: int  # of most rows: with the header's names, or an empty cell more or less

    fitting: list[Row]  # the first that are so wide

    @property
    def share(self) -> float:
        """The part of rows that are as wide as the header."""
        fitting = [len(row) == self.width for row in self.rows] or [True]
        return sum(fitting) / len(fitting)

    @property
    def worth(self) -> float:
        """How well the separator fits: the part of cells that are numbers, and half of the text.

        Text with another separator in it counts nothing, since that may be the right one.
        """
        cells = [cell for row in self.fitting or [self.first] for cell in row]
        known = [cell for cell in cells if cell not in numerals.NO_VALUE]
        n_numbers = sum(numerals.is_number(cell, self.decimal) for cell in known)
        others = re.compile("[" + ",;\t|".replace(self.delimiter, "") + "]")
        n_clean = sum(
            not others.search(cell) and not numerals.is_number(cell, self.decimal) for cell in known
        )
        return self.share * (n_numbers + n_clean / 2) / max(1, len(known))


def dialect_of(file: File, reading: Reading) -> Dialect:
    """Find how a file is written; what the options say is not asked of the file.

    Raises
    ------
    DataError
        If an option has no meaning, the file is empty or no text, or its first line may be names
        as well as a row.
    """
    told = _checked(reading.text or Text())
    if file.size == 0:
        raise DataError(f"{file.name} is empty; its first line must name the columns")
    head = text.head_of(file, told.encoding)
    preamble, lines = _without_preamble(_whole_lines(head))
    if not lines:
        raise DataError(f"cannot read {file.name}: it holds no line but comments and empty ones")
    told = told._replace(delimiter=told.delimiter or preamble.delimiter)
    split, has_comments = _split_rows(lines, told)
    if not split.first:
        raise DataError(f"the first line of {file.name} holds a cell too long for a name")
    numeric = _numeric(split)
    header = _header(split, numeric, preamble, reading, told.header, file.name)
    blanks = split.delimiter == " " and bool(UNTIDY.search("".join(lines)))
    return Dialect(
        head.encoding,
        split.delimiter,
        told.delimiter is not None,
        split.decimal,
        header,
        has_rows=_has_rows(lines[split.first_lines :]) or not (head.is_whole and header.is_line),
        skipped=len(preamble.lines) + (split.first_lines if header.is_line else 0),
        comments=preamble.n_comments,
        tidying=text.Tidying(has_comments, blanks),
        begins_with_number=0 in numeric,
        spelt=frozenset(
            header.columns[at]
            for at in numeric
            if not all(numerals.is_plain(row[at], split.decimal) for row in split.fitting)
        ),
    )


def _checked(told: Text) -> Text:
    """Refuse options that mean nothing."""
    delimiter = None if told.delimiter is None else str(told.delimiter).replace(r"\s+", " ")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n' or delimiter > "~"):
        raise DataError(
            f"delimiter={delimiter!r} separates nothing; it is one character of ASCII, such as "
            "';' or '\\t', or ' ' for any number of blanks"
        )
    if told.decimal not in (None, ".", ","):
        raise DataError(f"decimal={told.decimal!r} is unknown; it is '.' or ','")
    if type(told.header) not in (bool, type(None)):  # 0, which pandas takes for the first line
        raise DataError(
            f"header={told.header!r} is unknown; it is True (the first line names the columns), "
            "False (it is a row), or None (found in the file)"
        )
    encoding = told.encoding
    if encoding is not None:
        try:
            is_utf_8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
            encoding = "utf-8" if is_utf_8 else encoding
        except LookupError as error:
            raise DataError(f"encoding={encoding!r} is unknown to Python") from error
    return Text(delimiter, told.decimal and str(told.decimal), told.header, encoding)


class _Preamble(NamedTuple):
    """What stands above the table."""

    lines: list[str]
    delimiter: str | None  # as a line sep=; says

    @property
    def n_comments(self) -> int:
        return sum(map(_is_comment, self.lines))

    @property
    def names(self) -> str:
        """The text of a comment that stands right above the table."""
        last = self.lines[-1].strip() if self.lines else ""
        return last.lstrip(text.COMMENT).strip() if last.startswith(text.COMMENT) else ""


def _is_comment(line: str) -> bool:
    return line.lstrip(" \t").startswith(text.COMMENT)


def _has_rows(lines: list[str]) -> bool:
    return any(line.strip() and not _is_comment(line) for line in lines)


def _whole_lines(head: text.Head) -> list[str]:
    lines = list(io.StringIO(head.text, newline=""))
    return lines if head.is_whole or len(lines) == 1 else lines[:-1]


def _without_preamble(lines: list[str]) -> tuple[_Preamble, list[str]]:
    """Cut off a line sep=;, and comments and empty lines."""
    found = SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    start = 1 if found else 0
    while start < len(lines):
        line = lines[start].strip(" \r\n")
        if line and not line.startswith(text.COMMENT):
            break
        start += 1
    return _Preamble(lines[:start], found[1] if found else None), lines[start:]


def _split_rows(lines: list[str], told: Text) -> tuple[_Split, bool]:
    """Split the head; say whether there are comments among its rows.

    A line that begins with # is a comment where rows begin with a number or have other cells, or
    where a blank follows; else it is a row.
    """
    marked = [line for line in lines if _is_comment(line)]
    split = _split([line for line in lines if not _is_comment(line)], told.delimiter, told.decimal)
    if not marked:
        return split, False
    found = _split(marked, split.delimiter, split.decimal)
    widths = {len(row) for row in [found.first, *found.rows]}
    is_told = any(line.strip()[1:2] in ("", " ", "\t", text.COMMENT) for line in marked)
    if is_told or 0 in _numeric(split) or widths != {split.width}:
        return split, True
    return _split(lines, split.delimiter, told.decimal), False


def _split(lines: Sequence[str], delimiter: str | None, decimal: str | None) -> _Split:
    """Split lines by the separator, or by the one that suits them best."""
    delimiter = delimiter or _sniffed(lines[: LOOKED_AT + 1], decimal)
    if delimiter == " ":
        blank = text.Tidying(blanks=True)
        lines = [blank.of(line.encode()).decode() for line in lines]
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        first = next(reader, [])
    except csv.Error:
        first = []
    first_lines = reader.line_num
    rows = list(filter(None, _short(reader)))
    (width, _), *_ = Counter(map(len, rows)).most_common(1) or [(len(first), 0)]
    if not _is_near(width, first, rows):
        width = len(first)
    if width == 1 and "," in "".join(first) and not numerals.is_number(first[0], ","):
        decimal = decimal or "."  # of lines with commas, each of which is one cell as was told
    if decimal is None:
        decimal = numerals.decimal_of([first, *rows], delimiter)
    fitting = list(islice((row for row in rows if len(row) == width), LOOKED_AT))
    return _Split(delimiter, decimal, first, first_lines, rows, width, fitting)


def _short(reader: Iterator[Row]) -> Iterator[Row]:
    """Yield rows but those with a cell too long for Python's reader, which goes on after them."""
    while True:
        try:
            yield from reader
            return
        except csv.Error:
            continue


def _sniffed(lines: Sequence[str], decimal: str | None) -> str:
    """Find the separator that suits lines best.

    That is the one by which they have as many cells as the first, two at least, and most of them
    numbers; else the one that splits the first line; else, for one column, one that is not there.
    """
    known = [each for each in SEPARATORS if any(each in line for line in lines)]
    splits = [_split(lines, each, decimal) for each in known]
    tables = [each for each in splits if each.width > 1 and each.share >= 0.5]
    if tables:
        best = tables[0] if len(tables) == 1 else max(tables, key=lambda each: each.worth)
        return best.delimiter
    broken = [
        each
        for each in splits
        if len(each.first) > 1 and (each.delimiter != " " or _are_alike(each.rows))
    ]
    if broken:
        return max(broken, key=lambda each: len(each.first)).delimiter
    return next((each for each in SEPARATORS if each not in known), ",")


def _are_alike(rows: list[Row]) -> bool:
    """Whether all rows have as many cells, two at least: blanks in text do not do so."""
    widths = {len(row) for row in rows}
    return len(widths) == 1 and widths != {1}


def _is_near(width: int, first: Row, rows: list[Row]) -> bool:
    """Whether rows are as wide as the header, but for a separator at the end of either."""
    if width == len(first) - 1:
        return not first[-1].strip()
    return width == len(first) or (width == len(first) + 1 and _is_empty(-1, width, rows))


def _is_empty(column: int, width: int, rows: list[Row]) -> bool:
    return not any(row[column].strip() for row in rows if len(row) == width)


def _header(
    split: _Split,
    numeric: list[int],
    preamble: _Preamble,
    reading: Reading,
    told: bool | None,
    name: str,
) -> Names:
    """Find the names of the columns: in the first line, in the comment above it, or none."""
    width, first = split.width, split.first
    ends_empty = width > 1 and bool(split.rows) and _is_empty(-1, width, split.rows)
    comment = _split([preamble.names], split.delimiter, split.decimal).first
    n_lines = len(preamble.lines)
    if _is_header(split, numeric, reading, told, comment, name):
        columns, place = first[:width], f"names in line {n_lines + 1}"
    elif told is None and not _positions(reading) and _may_name(comment, width, ends_empty):
        columns, place = comment, f"names in the comment of line {n_lines}"
    else:
        columns, place = [str(number) for number in range(width)], NO_HEADER
        columns[-1] = first[-1] and columns[-1]
    columns = [*(cell.strip() for cell in columns), ""][:width]
    n_columns = width - (ends_empty and not columns[-1])
    columns[n_columns:] = ["\n"] * (width - n_columns)  # the name of no column
    return Names(columns, n_columns, place, is_line=place.startswith("names in line"))


def _may_name(cells: Row, width: int, ends_empty: bool) -> bool:
    """Whether a comment is the names of columns: of all, each its own, with no other separator."""
    names = {cell.strip() for cell in cells} - {""}
    is_sentence = any(separator in name for name in names for separator in ",;\t|")
    is_whole = len(names) == len(cells) and len(cells) in (width, width - ends_empty)
    return is_whole and not is_sentence


def _is_header(
    split: _Split,
    numeric: list[int],
    reading: Reading,
    told: bool | None,
    comment: Row,
    name: str,
) -> bool:
    """Whether the first line names the columns.

    It does where a column of numbers has none there. Where all have, it is names if `columns`
    says so or they count 0, 1, 2, ..., and a row if it lies among the rows below and would not do
    for names: these have few decimals, and do not go up and down. Else it could be either, and is
    refused.
    """
    if told is not None:
        return told
    first = [cell.strip() for cell in split.first]
    looked_at = [first[at] for at in numeric if at < len(first)] or first
    if not all(numerals.is_number(cell, split.decimal) for cell in looked_at):
        return True
    asked, positions = _asked(reading), _positions(reading)
    if first == list(map(str, range(len(first)))):
        return True
    if asked and set(map(number_of, asked)) <= set(map(number_of, first)):
        are_text = any(isinstance(label, str) for label in asked)
        return are_text or len(positions) < len(asked) or max(positions) >= len(first)
    if positions or _may_name(comment, split.width, False) or _is_row(split, first, numeric):
        return False
    shown = ", ".join(first[:NAMED])
    raise DataError(
        f"the first line of {name} holds numbers ({shown}), which may be a row, or names of "
        "columns: header=False says the former, header=True the latter; or add a header"
    )


def _asked(reading: Reading) -> list[Any]:
    """The columns that are asked for, features and weight."""
    columns = [] if isinstance(reading.columns, str | bytes) else list(reading.columns or [])
    return columns if reading.weight is None else [*columns, reading.weight]


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


def _numeric(split: _Split) -> list[int]:
    """Positions of the columns whose cells below the first line are numbers."""
    columns = zip(*split.fitting, strict=True)
    return [
        at
        for at, cells in enumerate(columns)
        if any(map(str.strip, cells)) and all(numerals.is_number(c, split.decimal) for c in cells)
    ]


def _is_row(split: _Split, first: Row, numeric: list[int]) -> bool:
    """Whether numbers in the first line lie among those below, and would not do for names."""
    numbers = [_value(cell, split.decimal) for cell in first]
    for at in numeric:
        below = [_value(row[at], split.decimal) for row in split.fitting]
        values = [each for each in below if each is not None]
        low, high = min(values, default=-math.inf), max(values, default=math.inf)
        number = numbers[at] if at < len(numbers) else None
        if number is not None and not 2 * low - high <= number <= 2 * high - low:
            return False
    return bool(numeric) and not _could_name([numbers[at] for at in numeric if at < len(numbers)])


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
