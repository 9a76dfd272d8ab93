"""Text files as bytes of UTF-8: decompressed, decoded, and without what no table holds."""

from __future__ import annotations

import codecs
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from fastgmm.errors import DataError, require
from fastgmm.sources.formats.file import File

# what compressed files begin with, whatever their names
COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"]\x00\x00": "xz",  # the older .lzma, which Python's reader of .xz knows, too
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
}
BY_NAME = {".br": "brotli", ".lzma": "xz"}  # begin with anything; of .lzma, few do
WAY_OUT = "unpack it, or compress it by gzip, bz2, zst, xz or lz4"
# what other files begin with that were given a name of text, or none
STRANGERS = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"\x93NUMPY": "a NumPy array; name it .npy",
    b"ARROW1": "an Arrow file; name it .arrow",
    b"\x89HDF": "an HDF5 file; name it .h5",
}
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CONTROLS = bytes([*range(9), *range(14, 26)])  # that stand in no text
RAW_NUMBERS = (
    "Of raw numbers, pass np.memmap(path, dtype, mode='r').reshape(-1, n_features) as X, or save "
    "that as .npy"
)
# what reading a compressed file ends with besides pyarrow's
DAMAGED = (EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
PIECE = 2**20
HEAD = 2**16  # bytes to begin with; more, if there are fewer than three lines in them
LONGEST_HEAD = 2**26
COMMENT = "#"
LEFT_OUT = b"# \t"  # what lines begin with that are left out
# what lines begin with that are none, but cells such as #N/A and #DIV/0!, which spreadsheets write
_COMMENT = re.compile(rb"[ \t]*#(?!(?:N/A|NA|NV|[A-Z]+(?:/0)?[!?])(?:[,;|\t\r\n]|$))")
_APART = re.compile(rb"[ \t]*#(?:[ \t#\r\n]|$)")
_CELL = re.compile(rb'(?:^|[,;|\t ])"')  # where one between quotes begins
SHOWN = 4  # files of an archive that fit in a message


class Head(NamedTuple):
    """The first lines of a file, and how they were decoded."""

    text: str
    encoding: str
    is_whole: bool


class Tidying(NamedTuple):
    """What is taken out of lines before pyarrow sees them; it knows neither."""

    comments: bool = False  # lines that begin with #
    apart: bool = False  # only those where a blank or another # follows it
    blanks: bool = False  # at both ends of lines, and all but one between cells
    blank_lines: bool = False  # lines of blanks alone

    def of(self, lines: bytes) -> bytes:
        """Return whole lines without needless blanks."""
        if not self.blanks:
            return lines
        # each of these is a search for bytes: regular expressions take ten times as long
        lines = lines.replace(b"\t", b" ")
        while b"  " in lines:
            lines = lines.replace(b"    ", b" ").replace(b"  ", b" ")
        for end in (b"\n", b"\r"):
            lines = lines.replace(b" " + end, end).replace(end + b" ", end)
        return lines.strip(b" ")

    def leaves_out(self, line: bytes) -> bool:
        """Whether a line that begins in no cell is none."""
        is_marked = self.comments and is_comment(line, self.apart)
        return is_marked or (self.blank_lines and is_blank(line))


def is_comment(line: bytes, apart: bool = False) -> bool:
    """Whether a line is one, or one of which the mark stands apart."""
    return (_APART if apart else _COMMENT).match(line) is not None


def opens_cell(line: bytes, is_open: bool) -> bool:
    """Whether the line after this one begins in a cell between quotes."""
    if line.count(b'"') % 2 == 0:
        return is_open
    return not is_open and _CELL.search(line) is not None


def comments_in(lines: Sequence[str], apart: bool = False) -> list[bool]:
    """Find which lines are comments; those in a cell between quotes are none."""
    if not any(COMMENT in line for line in lines):
        return [False] * len(lines)
    found, is_open = [], False
    for line in map(str.encode, lines):
        found.append(not is_open and is_comment(line, apart))
        is_open = not found[-1] and opens_cell(line, is_open)
    return found


def is_blank(line: bytes) -> bool:
    """Whether a line holds blanks and nothing else; pyarrow itself leaves out empty ones."""
    return line[:1] == b" " and not line.strip(b" \r\n")


AS_IT_IS = Tidying()


@contextmanager
def opened(file: File, encoding: str | None = None, tidying: Tidying = AS_IT_IS) -> Iterator[Any]:
    """Open a file as a stream of UTF-8, or of its own bytes where no encoding is given."""
    pyarrow = require("pyarrow", "io")
    with ExitStack() as stack:
        stream = stack.enter_context(_decompressed(file, stack))
        if encoding not in (None, "utf-8"):
            stream = pyarrow.transcoding_input_stream(stream, encoding, "utf-8")
        if any(tidying):
            stream = pyarrow.PythonFile(Tidied(stream, tidying), mode="r")
        yield stream


def _decompressed(file: File, stack: ExitStack) -> Any:
    pyarrow = require("pyarrow", "io")
    kind = _compression(file)
    if kind == "xz":
        packed = file.path if file.elsewhere is None else file.open()
        return pyarrow.PythonFile(lzma.open(packed), mode="r")
    if kind == "zip":
        return pyarrow.PythonFile(_unzipped(file, stack), mode="r")
    if kind is not None and not pyarrow.Codec.is_available(kind):
        raise DataError(f"{file.name} is compressed by {kind}, which pyarrow lacks here; {WAY_OUT}")
    stream = file.stream()
    return stream if kind is None else pyarrow.CompressedInputStream(stream, kind)


def _compression(file: File) -> str | None:
    """How a file is compressed: by its first bytes, or by its name where these do not say."""
    with file.open() as beginning:
        first = beginning.read(8)
    for start, what in STRANGERS.items():
        if first.startswith(start):
            raise DataError(f"{file.name} is {what}")
    found = (each for start, each in COMPRESSIONS.items() if first.startswith(start))
    return next(found, BY_NAME.get(file.path.suffix.lower()))


def _unzipped(file: File, stack: ExitStack) -> Any:
    """Open the only file of a zip archive; what is hidden in it is left out, as of folders."""
    archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(file.open())))
    members = [
        each
        for each in archive.infolist()
        if not each.is_dir() and all(p[0] not in "._" for p in PurePosixPath(each.filename).parts)
    ]
    if len(members) != 1:
        shown = ", ".join(each.filename for each in members[:SHOWN])
        more = ", ..." if len(members) > SHOWN else ""
        held = f"{len(members)} files ({shown}{more})" if members else "no file"
        raise DataError(
            f"{file.name} is a zip archive of {held}; one that holds a single text is read. Unpack "
            "it, and give the folder if its files belong together"
        )
    try:
        return stack.enter_context(archive.open(members[0]))
    except RuntimeError as error:  # a password, or a way to compress that Python does not know
        raise DataError(f"cannot read {file.name}: {error}; {WAY_OUT}") from error


def is_compressed(file: File) -> bool:
    """Whether the bytes of a file are not those of its text."""
    return _compression(file) is not None


def head_of(file: File, encoding: str | None) -> Head:
    """Read the first lines: three at least that are no comments, if there are as many."""
    n_bytes = HEAD
    while True:
        data = _first_of(file, n_bytes)
        is_whole = len(data) < n_bytes
        head = _decoded(data, encoding, is_whole, file.name)
        lines = [line for line in head.text.splitlines() if line.strip(" \t").strip(COMMENT)]
        if is_whole or len(lines) > 3 or n_bytes >= LONGEST_HEAD:
            return head
        n_bytes *= 4


def _first_of(file: File, n_bytes: int) -> bytes:
    """Read the first bytes of a text; a name that says how it is compressed may be wrong."""
    try:
        with opened(file) as stream:
            data: bytes = stream.read(n_bytes)
            return data
    except (OSError, *DAMAGED) as error:
        suffix = file.path.suffix.lower()
        if suffix not in BY_NAME or isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(
            f"cannot read {file.name}: {error}; its suffix says that it is compressed by "
            f"{BY_NAME[suffix]}. If it is plain text, take {suffix} from its name"
        ) from error


def _decoded(data: bytes, encoding: str | None, is_whole: bool, name: str) -> Head:
    found = encoding or _encoding_of(data, name)
    try:
        text = codecs.getincrementaldecoder(found)().decode(data, final=is_whole)
    except UnicodeError as error:
        raise DataError(
            f"{name} is not written in {found} ({error}); encoding=... names another"
        ) from error
    if encoding is not None and "\0" in text:
        raise DataError(
            f"{name} is not written in {encoding}: it holds zeros between letters, as UTF-16 does; "
            "encoding=... names another"
        )
    return Head(text.removeprefix("\ufeff"), found, is_whole)


def _encoding_of(data: bytes, name: str) -> str:
    """Find the encoding: by a mark, by zeros between letters, or as UTF-8, or as Latin-1."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return encoding
    if zeros := data.count(0):
        for first, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
            if data[first::2].count(0) == zeros and 4 * zeros > len(data):
                return encoding
    if len(data.translate(None, CONTROLS)) < len(data):
        raise DataError(
            f"{name} holds bytes that are no text; name the encoding with encoding=... if it is "
            f"one. {RAW_NUMBERS}"
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeError:
        return "latin-1"
    return "utf-8"


class Tidied(io.RawIOBase):
    """The lines of a stream, tidied."""

    def __init__(self, stream: Any, tidying: Tidying) -> None:
        self._stream, self._tidying = stream, tidying
        self._ready = b""
        self._is_open = False  # whether what comes next begins in a cell between quotes
        self._pieces = self._tidied()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, which is not full only at the end."""
        parts, wanted = [self._ready], len(buffer) - len(self._ready)
        while wanted > 0 and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            wanted -= len(piece)
        data = b"".join(parts)
        filled = min(len(buffer), len(data))
        buffer[:filled] = data[:filled]
        self._ready = data[filled:]
        return filled

    def _tidied(self) -> Iterator[bytes]:
        held = self._stream.read(PIECE).removeprefix(codecs.BOM_UTF8)
        while piece := self._stream.read(PIECE):
            held += piece
            end = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1
            yield self._lines(held[:end])
            held = held[end:]
        yield self._lines(held)

    def _lines(self, lines: bytes) -> bytes:
        """Tidy whole lines."""
        lines, tidying = self._tidying.of(lines), self._tidying
        marks = COMMENT.encode() in lines or b'"' in lines
        if not tidying.blank_lines and not (tidying.comments and marks):
            return lines
        all_lines = lines.splitlines(keepends=True)
        if not self._is_open and b'"' not in lines:
            return b"".join(
                line
                for line in all_lines
                if line[0] not in LEFT_OUT or not tidying.leaves_out(line)
            )
        kept = []
        for line in all_lines:
            if self._is_open or not tidying.leaves_out(line):
                self._is_open = opens_cell(line, self._is_open)
                kept.append(line)
        return b"".join(kept)
