"""Lines split into cells: by which separator, with which decimals."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from fastgmm.sources.formats import numerals, text

# From the likeliest to what also stands in text. A blank stands for any number of them, and tabs.
SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'", " ": "blanks"}
LOOKED_AT = 100  # rows that are split by each separator

Row = list[str]


@dataclass(frozen=True, eq=False)
class Split:
    """Lines as one separator splits it."""

    delimiter: str
    decimal: str
    first: Row
    first_lines: int  # that the first row takes, whose cells may hold some
    rows: list[Row]
    width: int  # of most rows: with the header's names, or an empty cell more or less
    fitting: list[Row]  # the first that are so wide
    has_row_names: bool = False  # which the first line does not name

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

    @cached_property
    def numeric(self) -> list[int]:
        """Positions of the columns whose cells below the first line are numbers."""
        columns = zip(*self.fitting, strict=True)
        return [
            at
            for at, cells in enumerate(columns)
            if any(map(str.strip, cells))
            and all(numerals.is_number(c, self.decimal) for c in cells)
        ]


def split_by(lines: Sequence[str], delimiter: str | None, decimal: str | None) -> Split:
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
    is_one_short = width == len(first) + 1 and not is_empty(-1, width, rows)
    has_row_names = is_one_short and _has_row_names(lines, first_lines, delimiter)
    if has_row_names:
        first = ["", *first]
    if not _is_near(width, first, rows):
        width = len(first)
    if width == 1 and "," in "".join(first) and not numerals.is_number(first[0], ","):
        decimal = decimal or "."  # of lines with commas, each of which is one cell as was told
    if decimal is None:
        decimal = numerals.decimal_of([first, *rows], delimiter if width > 1 else None)
    fitting = list(islice((row for row in rows if len(row) == width), LOOKED_AT))
    return Split(delimiter, decimal, first, first_lines, rows, width, fitting, has_row_names)


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
    is_one = decimal == "," and all(numerals.is_number(line, decimal) for line in lines)
    splits = [] if is_one else [split_by(lines, each, decimal) for each in known]
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
    return width == len(first) or (width == len(first) + 1 and is_empty(-1, width, rows))


def _has_row_names(lines: Sequence[str], first_lines: int, delimiter: str) -> bool:
    """Whether rows begin with a name, as R's write.table has it, whose header is a cell short.

    R puts these and the names of columns into quotes, but no numbers. Else it might as well be the
    last column that has no name.
    """
    name = r'"[^"]*"'
    names = re.compile(rf"{name}(?:{re.escape(delimiter)}{name})*")
    header, *others = (line.strip() for line in lines if line.strip())
    return bool(first_lines == 1 and names.fullmatch(header)) and all(
        line.startswith('"') and not names.fullmatch(line) for line in others
    )


def is_empty(column: int, width: int, rows: list[Row]) -> bool:
    """Whether a column holds nothing, in rows of a width."""
    return not any(row[column].strip() for row in rows if len(row) == width)
