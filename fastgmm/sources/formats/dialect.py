"""How a text file is written: what its head shows, where `open_source` is not told."""

from __future__ import annotations

import codecs
import io
import re
from typing import NamedTuple

from fastgmm.errors import DataError
from fastgmm.sources.columns import Reading, Text
from fastgmm.sources.formats import numerals, text
from fastgmm.sources.formats.file import File
from fastgmm.sources.formats.header import (
    NAMED,
    NO_COLUMNS,
    NO_HEADER,
    Names,
    names_of,
    refuse_decimals,
    refuse_title,
)
from fastgmm.sources.formats.separator import LOOKED_AT, SEPARATORS, Row, Split, split_by

SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line, from Excel
TITLES = 50  # lines that may stand above the names
UNTIDY = re.compile(r"(?m)^[ \t]|[ \t]{2}|\t|[ \t]\r?$")  # blanks that pyarrow takes for cells
PLAIN = "separated by ',', decimal '.', names in line 1, utf-8"  # a dialect as a string


class Dialect(NamedTuple):
    """How a text file is written, and where its rows begin."""

    encoding: str
    delimiter: str
    is_told: bool  # the delimiter: one column says nothing of it else
    decimal: str
    header: Names
    has_rows: bool
    skipped: int  # lines before the first row
    above: list[str]  # those of them that stand above the table
    tidying: text.Tidying
    begins_with_number: bool  # whether rows do, so that a line with # is none
    spelt: frozenset[str]  # columns with thousands separators, True or False

    @property
    def names(self) -> Row:
        """The names of the columns, which are numbers from 0 where the file has none."""
        return [name for name in self.header.columns if name not in NO_COLUMNS]

    @property
    def is_numbered(self) -> bool:
        """Whether the file has no names."""
        return self.header.place == NO_HEADER

    @property
    def lines_to_skip(self) -> int:
        """Lines before the first row that pyarrow sees."""
        left_out = sum(self.tidying.leaves_out(line.encode()) for line in self.above)
        return self.skipped - left_out

    @property
    def separator(self) -> str:
        """What separates the columns, in words."""
        if len(self.header.columns) == 1 and not self.is_told:
            return "one column"
        return f"separated by {SEPARATORS.get(self.delimiter, repr(self.delimiter))}"

    def with_spelt(self, *names: str) -> Dialect:
        """Note columns to be read as text: where there is no other, a line of blanks is one."""
        tidying = self.tidying
        if names and len(self.header.columns) == 1:
            tidying = tidying._replace(blank_lines=True)
        return self._replace(spelt=self.spelt.union(names), tidying=tidying)

    def __str__(self) -> str:
        """Say it in one line, for people."""
        said = [self.separator, f"decimal {self.decimal!r}", self.header.place, self.encoding]
        if self.spelt:
            shown = [repr(name) for name in self.names if name in self.spelt]
            more = ", ..." if len(shown) > NAMED else ""
            said.append(f"True/False or thousands in {', '.join(shown[:NAMED])}{more}")
        return ", ".join(said)


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
    split, tidying = _split_rows(lines, told)
    if not split.first:
        raise DataError(f"the first line of {file.name} holds a cell too long for a name")
    if split.width == 1 and told == Text(encoding=told.encoding):
        by_commas = split_by(_rows(lines, tidying), ",", ".")
        refuse_title(split, by_commas, reading, file.name)
    header = names_of(split, preamble.lines, reading, told.header, file.name)
    if split.delimiter == "," and told == Text(header=told.header, encoding=told.encoding):
        refuse_decimals(split, header, file.name)
    blanks = split.delimiter == " " and bool(UNTIDY.search("".join(lines)))
    dialect = Dialect(
        head.encoding,
        split.delimiter,
        told.delimiter is not None,
        split.decimal,
        header,
        has_rows=any(map(str.strip, _rows(lines[split.first_lines :], tidying)))
        or not (head.is_whole and header.is_line),
        skipped=len(preamble.lines) + (split.first_lines if header.is_line else 0),
        above=preamble.lines,
        tidying=tidying._replace(blanks=blanks),
        begins_with_number=0 in split.numeric,
        spelt=frozenset(),
    )
    return dialect.with_spelt(
        *(
            header.columns[at]
            for at in split.numeric
            if not all(numerals.is_plain(row[at], split.decimal) for row in split.fitting)
        )
    )


def names_below(file: File, dialect: Dialect) -> tuple[int, str] | None:
    """Find a line below the first that might name the columns: its number, and its text.

    It is asked for where one of the first rows is none: there may be a title above the table, or
    units below its names.
    """
    delimiter = dialect.delimiter if dialect.is_told else None
    preamble, lines = _without_preamble(_whole_lines(text.head_of(file, dialect.encoding)))
    for above in range(1, min(TITLES, len(lines) - 1)):
        split = split_by(lines[above : above + LOOKED_AT], delimiter, None)
        cells = [split.first[at] for at in split.numeric if at < len(split.first)]
        if any(numerals.is_number(cell, split.decimal) for cell in cells):
            return None  # a row
        if cells:
            return len(preamble.lines) + above + 1, lines[above].strip()
    return None


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


def _rows(lines: list[str], tidying: text.Tidying) -> list[str]:
    """Return the lines that are no comments."""
    if not tidying.comments:
        return lines
    marked = text.comments_in(lines, tidying.apart)
    return [line for line, is_marked in zip(lines, marked, strict=True) if not is_marked]


def _whole_lines(head: text.Head) -> list[str]:
    lines = list(io.StringIO(head.text, newline=""))
    return lines if head.is_whole or len(lines) == 1 else lines[:-1]


def _without_preamble(lines: list[str]) -> tuple[_Preamble, list[str]]:
    """Cut off a line sep=;, and comments and empty lines."""
    found = SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    start = 1 if found else 0
    while start < len(lines):
        line = lines[start].strip(" \r\n")
        if line and not text.is_comment(line.encode()):
            break
        start += 1
    return _Preamble(lines[:start], found[1] if found else None), lines[start:]


def _split_rows(lines: list[str], told: Text) -> tuple[Split, text.Tidying]:
    """Split the head; say which comments there are among its rows.

    A line that begins with # is a comment where rows begin with a number or have other cells, or
    where a blank follows; else it is a row.
    """
    all_marked, apart = text.Tidying(comments=True), text.Tidying(comments=True, apart=True)
    others = _rows(lines, all_marked)
    split = split_by(others, told.delimiter, told.decimal)
    if len(others) == len(lines):
        return split, text.AS_IT_IS
    if 0 in split.numeric:
        return split, all_marked
    rows = _rows(lines, apart)
    found = split_by(rows, split.delimiter, told.decimal)
    widths = {len(row) for row in found.rows if text.is_comment(row[0].encode())}
    if widths != {split.width}:
        return split, all_marked
    return found, text.AS_IT_IS if len(rows) == len(lines) else apart
