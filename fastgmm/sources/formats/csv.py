"""Comma-separated files with a header, read a few megabytes at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

from fastgmm.errors import DataError, require
from fastgmm.sources.arrow import BatchSource, counted
from fastgmm.sources.cells import Place, refuse_cell
from fastgmm.sources.columns import ALL, Reading, choose
from fastgmm.sources.formats.file import File

NO_VALUE = ["", "NA", "N/A", "null", "NULL", "None"]  # but nan is a number to be named as such
BLOCK_BYTES = 2**20  # parsed at a time: as long as a row may be
TOO_LONG = "straddling object"  # what pyarrow calls a row that is longer
CELL_ENDS = (b"", b",", b"\r", b"\n")
BAD_ROW = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
BAD_CELL = re.compile(r"In CSV column #(\d+): Row #(\d+): .*invalid value '(.*)'", re.DOTALL)


class CsvSource(BatchSource):
    """A CSV file whose columns are all read as float64."""

    reads_ahead = True
    guarded = True

    def __init__(
        self,
        file: File,
        reading: Reading = ALL,
    ) -> None:
        pyarrow = require("pyarrow", "io")
        self._file = file
        self._header = _header(file)
        _refuse_open_quote(file)
        choose(self._header, reading, file.name)
        schema = pyarrow.schema([(name, pyarrow.float64()) for name in self._header])
        super().__init__(file.name, schema, reading)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the file."""
        pyarrow, csv = require("pyarrow", "io"), require("pyarrow.csv", "io")
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pyarrow.float64()),
            include_columns=self.names,
            null_values=NO_VALUE,
        )
        given = 0
        with self._file.reading(pyarrow.ArrowException):
            try:
                with _open(self._file, options) as reader:
                    for place, batch in counted(self.name, reader):
                        given += batch.num_rows
                        yield place, batch
            except pyarrow.ArrowInvalid as error:
                _refuse_long(error, self.place(given))
                self._name_cell(error)

    def _name_cell(self, error: Exception) -> NoReturn:
        """Name the cell that is no number; pyarrow's rows count from 1, the header's."""
        _refuse_ragged(error, self._file)
        found = BAD_CELL.search(str(error))
        if found is None:
            raise error
        column, row, cell = found.groups()
        refuse_cell(cell, self.place(int(row) - 2), self._header[int(column)])


def _refuse_ragged(error: Exception, file: File) -> None:
    """Name the row that has too few or too many columns."""
    if ragged := BAD_ROW.search(str(error)):
        number, expected, got = map(int, ragged.groups())
        raise DataError(
            f"{Place(file.name).row(number - 2)} has {got} column(s) where the header names "
            f"{expected}; mend the file"
        ) from error


def _refuse_long(error: Exception, place: str) -> None:
    """Name the row that does not end: pyarrow yields all rows before it."""
    if TOO_LONG in str(error):
        raise DataError(
            f"{place} does not end within {BLOCK_BYTES} bytes; close the quote that is left open "
            "in it, or leave out the long text"
        ) from error


def _refuse_open_quote(file: File) -> None:
    """Refuse a last cell that is surely never closed: pyarrow takes all rows after it for text.

    What has no other reading is a last quote that follows a comma or a line break, and precedes
    neither; a compressed file is not looked at.
    """
    if file.path.suffix.lower() == ".gz":
        return
    with file.reading(), open(file.path, "rb") as opened:
        start = max(0, file.size - 2 * BLOCK_BYTES)  # a longer row is refused as such
        opened.seek(start)
        tail = opened.read().replace(b'""', b"__")  # a quote in a quoted cell
    last = tail.rfind(b'"')
    if last > 0 and tail[last - 1] in b",\r\n" and tail[last + 1 : last + 2] not in CELL_ENDS:
        raise DataError(
            f"the last quote of {file.name}, byte {start + last}, opens a cell that is never "
            "closed; close it"
        )


def _open(file: File, convert: Any = None) -> Any:
    csv = require("pyarrow.csv", "io")
    return csv.open_csv(
        file.path,
        # with threads, errors do not know their row
        read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        # Without it, a block that is cut at a line break within a cell is an error, or gives a row
        # too many and no error (pyarrow 26); looking for the quotes takes 1.01 of the time.
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=convert,
    )


def _header(file: File) -> list[str]:
    """Read the names of the columns."""
    pyarrow = require("pyarrow", "io")
    if file.size == 0:
        raise DataError(f"{file.name} is empty; its first line must name the columns")
    with file.reading(pyarrow.ArrowException, UnicodeError):
        try:
            with _open(file) as reader:
                names: list[str] = reader.schema.names
        except pyarrow.ArrowInvalid as error:
            _refuse_long(error, f"row 0 of {file.name}")
            _refuse_ragged(error, file)
            raise
    if names != [str(at) for at in range(len(names))] and all(map(_is_number, names)):
        raise DataError(
            f"the first line of {file.name} holds numbers ({', '.join(names[:4])}), where the "
            "names of the columns should be; add a header"
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
