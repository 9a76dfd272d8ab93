"""Text files with a row in a line: comma-separated and its kin, read in megabytes."""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy.typing as npt

from fastgmm.errors import DataError, require
from fastgmm.sources.arrow import BatchSource
from fastgmm.sources.cells import SHOWN, Place
from fastgmm.sources.columns import ALL, Reading, choose
from fastgmm.sources.formats import numerals, text
from fastgmm.sources.formats.dialect import TITLES, Dialect, dialect_of, names_below
from fastgmm.sources.formats.file import File
from fastgmm.sources.formats.header import number_of

BLOCK_BYTES = 2**20  # parsed at a time: as long as a row may be, until a longer one is met
LONGEST_ROW = 2**30
# what pyarrow says of a row that is longer, and of lines above the first row
TOO_LONG = re.compile("straddling object|header is larger than block size")
BAD_ROW = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
BAD_CELL = re.compile(r"In CSV column #(\d+): Row #(\d+): .*invalid value '(.*)'", re.DOTALL)


class CsvSource(BatchSource):
    """A text file whose columns are all read as float64."""

    reads_ahead = True
    guarded = True

    def __init__(
        self,
        file: File,
        reading: Reading = ALL,
    ) -> None:
        pyarrow = require("pyarrow", "io")
        self._file = file
        self._block_bytes = BLOCK_BYTES
        self._is_label = False  # one column, of texts
        with file.reading(pyarrow.ArrowException, *text.DAMAGED):
            self._dialect = dialect_of(file, reading)
        _refuse_open_quote(file, self._dialect)
        by_text = self._by_text(reading)
        asked = [*(by_text.columns or ()), *([] if by_text.weight is None else [by_text.weight])]
        schema = pyarrow.schema([(name, pyarrow.float64()) for name in asked])
        super().__init__(file.name, schema, by_text)
        if self._dialect.is_numbered:  # as the columns of an array
            self.labels = [int(str(label)) for label in self.labels]
            self.weight = reading.weight

    @property
    def read_as(self) -> str:
        """How the file is written, as far as it was found in the file or told."""
        return str(self._dialect._replace(spelt=self._dialect.spelt.intersection(self.names)))

    def _by_text(self, reading: Reading) -> Reading:
        """Ask for all columns by the text of their names, which may be numbers."""
        names, is_numbered = self._dialect.names, self._dialect.is_numbered
        known = {} if is_numbered else {number_of(name): name for name in names}
        columns = reading.columns
        if columns is not None and not isinstance(columns, str | bytes):
            columns = [_known(column, known, is_numbered) for column in columns]
        weight = _known(reading.weight, known, is_numbered)
        self._label = _known(reading.label, known, is_numbered)
        reading = reading._replace(columns=columns, weight=weight, label=self._label)
        labels: Sequence[Hashable] = range(len(names)) if is_numbered else names
        try:
            chosen = choose(labels, reading, self._file.name)
        except DataError as error:
            raise DataError(f"{error} ({self._how}){self._advice()}") from error
        return reading._replace(
            columns=[names[at] for at in chosen.features],
            weight=None if chosen.weight is None else names[chosen.weight],
            label=None,
        )

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Walk the texts of one column, and None where there is none."""
        alone, names = copy.copy(self), self._dialect.names
        alone._is_label = True
        known = self._label if isinstance(self._label, str) else names[int(self._label)]
        return super(CsvSource, alone).label_cells(known)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the file; it is begun anew where a row shows that it is written otherwise."""
        pyarrow = require("pyarrow", "io")
        given = 0
        with self._file.reading(pyarrow.ArrowException, *text.DAMAGED):
            while self._dialect.has_rows:
                try:
                    for place, batch in self._batches(given):
                        given += batch.num_rows
                        yield place, batch
                    return
                except pyarrow.ArrowInvalid as error:
                    self._learn(error, given)
                except UnicodeError as error:
                    raise DataError(
                        f"{self.name} is not written in {self._dialect.encoding} ({error}); "
                        "encoding=... names another"
                    ) from error

    def _batches(self, given: int) -> Iterator[tuple[Place, Any]]:
        """Walk the rows that are not given yet."""
        start = 0
        with (
            text.opened(self._file, self._dialect.encoding, self._dialect.tidying) as stream,
            self._reader(stream) as reader,
        ):
            for batch in reader:
                new = batch.slice(min(batch.num_rows, max(0, given - start)))
                start += batch.num_rows
                if new.num_rows:
                    place = Place(self.name, start - new.num_rows)
                    yield place, self._as_numbers(new, place)

    def _reader(self, stream: Any) -> Any:
        pyarrow, csv = require("pyarrow", "io"), require("pyarrow.csv", "io")
        dialect = self._dialect
        types = {
            name: pyarrow.string() if self._is_label or name in dialect.spelt else pyarrow.float64()
            for name in self.names
        }
        return csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                use_threads=False,  # with threads, errors do not know their row
                block_size=self._block_bytes,
                skip_rows=dialect.lines_to_skip,
                column_names=dialect.header.columns,
            ),
            # Without newlines_in_values, a block that is cut at a line break within a cell is an
            # error, or gives a row too many and no error (pyarrow 26); looking for the quotes takes
            # 1.01 of the time.
            parse_options=csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=self.names,
                null_values=numerals.NO_VALUE,
                strings_can_be_null=True,
                decimal_point=dialect.decimal,
            ),
        )

    def _as_numbers(self, batch: Any, place: Place) -> Any:
        """Make numbers of the columns that pyarrow has read as text."""
        pyarrow = require("pyarrow", "io")
        if self._is_label or not self._dialect.spelt.intersection(self.names):
            return batch
        columns = [
            numerals.numbers(column, self._dialect.decimal, name, place)
            if pyarrow.types.is_string(column.type)
            else column
            for name, column in zip(self.names, batch.columns, strict=True)
        ]
        return pyarrow.record_batch(columns, names=self.names)

    def _learn(self, error: Exception, given: int) -> None:
        """Note what an error of pyarrow says of the file, or raise what is wrong with it."""
        said = str(error)
        if TOO_LONG.search(said):
            self._take_longer_rows(given)
        elif ragged := BAD_ROW.search(said):
            self._tidy(ragged, error)
        elif bad := BAD_CELL.search(said):
            self._read_as_text(*bad.groups())
        else:
            raise error

    def _take_longer_rows(self, given: int) -> None:
        """Parse more bytes at a time: pyarrow has yielded all rows before the long one."""
        _refuse_open_quote(self._file, self._dialect, whole=True)
        if self._block_bytes >= LONGEST_ROW:
            raise DataError(
                f"{self.place(given)} does not end within {LONGEST_ROW} bytes; close the quote "
                "that is left open in it, or leave out the long text"
            )
        self._block_bytes *= 4

    def _tidy(self, ragged: re.Match[str], error: Exception) -> None:
        """Leave out comments or blanks, if they make rows too long or too short."""
        number, expected, got = map(int, ragged.groups()[:3])
        tidying, line = self._dialect.tidying, ragged[4].encode()
        better = tidying._replace(
            comments=tidying.comments
            or (text.is_comment(line) and self._dialect.begins_with_number),
            blanks=self._dialect.delimiter == " ",
            blank_lines=tidying.blank_lines or text.is_blank(line),
        )
        if better == tidying:
            header = "there are" if self._dialect.is_numbered else "the header names"
            raise DataError(
                f"{self._row(number)} has {got} column(s) where {header} {expected}, {self._how}"
                f"{self._advice(self._index(number), is_one_short=got == expected + 1)}"
            ) from error
        self._dialect = self._dialect._replace(tidying=better)

    def _read_as_text(self, column: str, row: str, cell: str) -> None:
        """Read a column as text, if that makes a number of the cell."""
        dialect = self._dialect
        name = dialect.header.columns[int(column)]
        tidying = dialect.tidying
        if int(column) == 0 and text.is_comment(cell.encode()) and not tidying.comments:
            self._dialect = dialect._replace(tidying=tidying._replace(comments=True))
        elif len(dialect.header.columns) == 1 and not cell.strip() and not tidying.blank_lines:
            self._dialect = dialect._replace(tidying=tidying._replace(blank_lines=True))
        elif _is_number(cell, dialect.decimal) and name not in dialect.spelt:
            self._dialect = dialect.with_spelt(name)
        else:
            try:
                numerals.refuse(cell, self._row(int(row)), name)
            except DataError as error:
                advice = self._advice(self._index(int(row)))
                raise DataError(f"{error} ({self._how}){advice}") from None

    def _row(self, number: int) -> str:
        return self.place(self._index(number))

    def _index(self, number: int) -> int:
        """Return a row's number from 0; pyarrow counts from 1 and from the first line."""
        return number - 1 - self._dialect.lines_to_skip

    def _advice(self, row: int = 0, is_one_short: bool = False) -> str:
        """Say what may be wrong with the first lines, where one of the first rows is none."""
        if not self._dialect.header.is_line or row >= TITLES:
            return ""
        if (below := names_below(self._file, self._dialect)) is not None:
            line, shown = below
            return (
                f". The numbers begin below line {line}, {shown[:SHOWN]!r}: a line that neither "
                "names the columns nor is a row is left out if it begins with #, or give the frame "
                "of pandas.read_csv(path, skiprows=...)"
            )
        if is_one_short and row == 0:
            return (
                ". If rows begin with their names, as R's write.table has it, give that column a "
                "name, too (col.names=NA), or leave it out (row.names=FALSE)"
            )
        return ""

    @property
    def _how(self) -> str:
        dialect = self._dialect
        return (
            f"{dialect.separator}, decimal {dialect.decimal!r}; delimiter=... and "
            "decimal=... set others"
        )


def _known(label: Any, by_number: Mapping[Any, str], is_numbered: bool) -> Any:
    """Return the name that a number stands for, '2001' for 2001, or the number of a column."""
    if is_numbered:
        return int(label) if isinstance(label, str) and label.isdecimal() else label
    return by_number.get(label, label) if isinstance(label, Real) else label


def _is_number(cell: str, decimal: str) -> bool:
    """Whether a cell that pyarrow refuses is a number or no value; blanks alone are not."""
    return bool(cell.strip()) and numerals.is_number(cell, decimal)


def _refuse_open_quote(file: File, dialect: Dialect, whole: bool = False) -> None:
    """Refuse a last cell that is surely never closed: pyarrow takes all rows after it for text.

    What has no other reading is a last quote that follows a separator or a line break, and precedes
    neither. Looked at are the last megabytes, since a longer row leads here again; and nothing of
    what cannot be read from its end.
    """
    pyarrow = require("pyarrow", "io")
    if not whole and (text.is_compressed(file) or ",".encode(dialect.encoding) != b","):
        return
    with (
        file.reading(pyarrow.ArrowException, UnicodeError, *text.DAMAGED),
        text.opened(file, dialect.encoding if whole else None) as stream,
    ):
        start = 0 if whole else max(0, file.size - 2 * BLOCK_BYTES)
        if start:
            stream.seek(start)
        at, before, after = _last_quote(stream)
    ends = [dialect.delimiter.encode(), b"\r", b"\n"]
    if before in ends and after not in [b"", *ends]:
        raise DataError(
            f"the last quote of {file.name}, byte {start + at}, opens a cell that is never "
            "closed; close it"
        )


def _last_quote(stream: Any) -> tuple[int, bytes, bytes]:
    """Find the last quote that is no quoted quote, and the bytes before and after it."""
    found = (-1, b"", b"")
    held, start = b"\n", -1  # the byte before the piece, and quotes that may be half of one
    while piece := stream.read(BLOCK_BYTES):
        data = held + piece
        end = len(data.rstrip(b'"'))
        part = data[:end].replace(b'""', b"__")
        if (at := part.rfind(b'"')) > 0:
            found = start + at, part[at - 1 : at], part[at + 1 : at + 2]
        held = data[end - 1 :]
        start += end - 1
    part = held.replace(b'""', b"__")
    if (at := part.rfind(b'"')) > 0:
        found = start + at, part[at - 1 : at], b""
    return found
