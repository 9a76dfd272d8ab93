"""Formats of files. A new one is a file here, with a source in it, and a line of READERS."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from fastgmm.errors import DataError
from fastgmm.sources.columns import Reading, Text
from fastgmm.sources.formats import remote
from fastgmm.sources.formats.csv import CsvSource
from fastgmm.sources.formats.feather import FeatherSource
from fastgmm.sources.formats.file import QUERY, File, find, is_folder, no_file
from fastgmm.sources.formats.hdf5 import Hdf5Source
from fastgmm.sources.formats.hive import open_keyed
from fastgmm.sources.formats.npy import NpySource
from fastgmm.sources.formats.parquet import ParquetSource
from fastgmm.sources.formats.several import open_several
from fastgmm.sources.formats.text import RAW_NUMBERS, WAY_OUT
from fastgmm.sources.formats.zarr import ZarrSource, is_zarr
from fastgmm.sources.source import Source

TEXTS = ("", ".csv", ".tsv", ".tab", ".psv", ".txt", ".dat", ".data", ".asc", ".log")
READERS: dict[str, Callable[[File, Reading], Source]] = {
    ".npy": NpySource,
    **dict.fromkeys(TEXTS, CsvSource),
    ".arrow": FeatherSource,
    ".arrows": FeatherSource,
    ".feather": FeatherSource,
    ".ipc": FeatherSource,
    ".h5": Hdf5Source,
    ".hdf5": Hdf5Source,
    ".hdf": Hdf5Source,
    ".pq": ParquetSource,
    ".parq": ParquetSource,
    ".parquet": ParquetSource,
}
Given = str | os.PathLike[str]
ARRAYS = (NpySource, Hdf5Source)  # their columns have numbers, not names
KNOWN: dict[Callable[[File, Reading], Source], Sequence[str]] = {
    Hdf5Source: ["dataset"],
    CsvSource: Text._fields,
}  # options of a format
# what reads tables that are not read here, by suffix
READ_BY_OTHERS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), "pandas.read_excel(path)"),
    ".json": "pandas.read_json(path)",
    **dict.fromkeys((".jsonl", ".ndjson"), "pandas.read_json(path, lines=True)"),
    ".orc": "pandas.read_orc(path)",
    ".sas7bdat": "pandas.read_sas(path)",
    ".sav": "pandas.read_spss(path)",
    **dict.fromkeys((".pkl", ".pickle"), "pandas.read_pickle(path)"),
    ".mat": "scipy.io.loadmat(path)[name]",
}
ANYTHING = ("", ".txt", ".dat")  # a README, too: of a folder, read where there are no others
DATABASES = (".db", ".duckdb", ".sqlite", ".sqlite3")
# a text, whatever its bytes say
COMPRESSED = (".gz", ".bz2", ".zst", ".zstd", ".xz", ".lz4", ".lzma", ".br", ".zip")
# read of a folder where there is nothing else: these came late, and a run's notes.log beside its
# points.txt is none of its rows
LATE = {".tab", ".psv", ".data", ".asc", ".log", ".zstd", ".lz4", ".lzma", ".br", ".zip"}


def open_files(given: Given | Sequence[Given], reading: Reading) -> Source:
    """Open a file by its suffix, or all files of a folder, a pattern or a list of these."""
    several = [given] if isinstance(given, str | os.PathLike) else given
    if len(several) == 1 and is_zarr(where := _where(several[0])):
        reading.refuse_options(PurePath(where).name, ["dataset"])
        return ZarrSource(where, reading)
    files, name = _found(several)
    readers = {_reader(file, reading): file for file in files}
    if len(readers) > 1:
        shown = " and ".join(file.name for file in readers.values())
        suffix = _suffix(files[0].path)
        raise DataError(
            f"{shown} are of different formats; give files of one, as with a pattern: "
            f"'data/*{suffix}'"
        )
    (reader,) = readers
    reading.refuse_options(name, KNOWN.get(reader, ()))
    return open_several(
        files, name, reading, lambda file, reading: open_keyed(file, reading, reader)
    )


def has_numbered_columns(several: Sequence[Given]) -> bool:
    """Whether the columns of files are numbered from 0, since they have no names."""
    return all(map(_has_numbered_columns, several))


def _has_numbered_columns(given: Given) -> bool:
    where = _where(given)
    if is_zarr(where):
        return True
    paths = [file.path for file in _tables(find(where))] if is_folder(where) else [Path(where)]
    return {READERS.get(_suffix(path)) for path in paths}.issubset(ARRAYS)


def _where(given: Given) -> Path | str:
    """Return a path, or the URL of what is not on disk."""
    if isinstance(given, str) and remote.is_url(given):
        return remote.local(given) or given
    path = Path(os.path.expanduser(given))
    try:
        path.stat()
    except FileNotFoundError as error:
        if QUERY.match(str(given)):  # often with a *, which is no pattern here
            raise FileNotFoundError(no_file(str(given))) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(no_file(str(given))) from error  # nor can there be one
    return path


def _found(several: Sequence[Given]) -> tuple[list[File], str]:
    """Find all files, and what messages call them."""
    files: list[File] = []
    for each in several:
        where = _where(each)
        files += _tables(find(where)) if is_folder(where) else find(where)
    first = _where(several[0])
    name = first.name if isinstance(first, Path) else first.rstrip("/").rpartition("/")[2]
    if len(several) > 1:
        name = f"{files[0].name} and the other files"
    names = Counter(file.name for file in files)
    whole = [file._replace(name=str(file.elsewhere or file.path)) for file in files]
    named = [
        file if names[file.name] == 1 else full for file, full in zip(files, whole, strict=True)
    ]
    return named, name


def _tables(files: list[File]) -> list[File]:
    """Return the files of a folder that are tables: the Parquet files, if there are any."""
    known = [file for file in files if _suffix(file.path) in READERS]
    early = [
        file for file in known if LATE.isdisjoint([file.path.suffix.lower(), _suffix(file.path)])
    ]
    sure = [file for file in early if _suffix(file.path) not in ANYTHING]
    first = [file for file in sure if READERS[_suffix(file.path)] is ParquetSource]
    if not (found := first or sure or early or known):
        raise DataError(
            f"{files[0].path.parent} holds no file that is read, only such as {files[0].name}; "
            f"{_known()} are"
        )
    return found


def _reader(file: File, reading: Reading) -> Callable[[File, Reading], Source]:
    suffix = _suffix(file.path)
    if suffix in READERS:
        return READERS[suffix]
    if reading.text is not None:  # who says how a text is written says that it is one
        return CsvSource
    if file.path.suffix.lower() == ".zip":
        raise DataError(f"{file.name} is a zip archive of no text; {WAY_OUT}")
    if suffix in DATABASES:
        raise DataError(f"{file.name} is the file of a database; {remote.ASKING}")
    if suffix == ".npz":
        raise DataError(
            f"{file.name} is an archive of arrays (a model file is one, too); give one of "
            "them, numpy.load(path)[name], or save it alone as .npy"
        )
    if suffix in READ_BY_OTHERS:
        raise DataError(f"{file.name} is read by others; give {READ_BY_OTHERS[suffix]} as X")
    raise DataError(
        f"{file.name} has the unknown suffix {suffix!r}; {_known()} are read, text also with "
        f"{', '.join(COMPRESSED)} after it, or under any name with delimiter=... {RAW_NUMBERS}"
    )


def _known() -> str:
    return ", ".join(filter(None, [*READERS, ".zarr"]))


def _suffix(path: Path) -> str:
    """Return what the name ends in, for a compressed text without what that adds."""
    last = path.suffix.lower()
    if last not in COMPRESSED:
        return last
    inner = Path(path.stem).suffix.lower()
    return inner if READERS.get(inner) is CsvSource else inner + last
