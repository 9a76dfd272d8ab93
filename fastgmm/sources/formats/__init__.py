"""Formats of files. A new one is a file here, with a source in it, and a line of READERS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fastgmm.errors import DataError
from fastgmm.sources.columns import Reading, Text
from fastgmm.sources.formats.csv import CsvSource
from fastgmm.sources.formats.feather import FeatherSource
from fastgmm.sources.formats.file import File, find
from fastgmm.sources.formats.hdf5 import Hdf5Source
from fastgmm.sources.formats.npy import NpySource
from fastgmm.sources.formats.parquet import ParquetSource
from fastgmm.sources.formats.text import RAW_NUMBERS
from fastgmm.sources.formats.zarr import ZarrSource, is_zarr
from fastgmm.sources.source import Source

READERS: dict[str, Callable[[File, Reading], Source]] = {
    ".npy": NpySource,
    **dict.fromkeys(["", ".csv", ".tsv", ".txt", ".dat"], CsvSource),
    ".arrow": FeatherSource,
    ".arrows": FeatherSource,
    ".feather": FeatherSource,
    ".h5": Hdf5Source,
    ".hdf5": Hdf5Source,
    ".hdf": Hdf5Source,
}
ARRAYS = (NpySource, Hdf5Source)  # their columns have numbers, not names
KNOWN: dict[Callable[[File, Reading], Source], Sequence[str]] = {
    Hdf5Source: ["dataset"],
    CsvSource: Text._fields,
}  # options of a format
COMPRESSED = (".gz", ".bz2", ".zst", ".xz")  # a text by its name, whatever its bytes say


def open_files(path: Path, reading: Reading) -> Source:
    """Open a file by its suffix, or the Parquet files of a folder or a pattern."""
    if is_zarr(path):
        reading.refuse_options(path.name, ["dataset"])
        return ZarrSource(path, reading)
    files = find(path)
    if {file.path.suffix.lower() for file in files} == {".parquet"}:
        reading.refuse_options(path.name)
        return ParquetSource(files, path.name, reading)
    if len(files) > 1:
        raise DataError(f"{path} matches files that are not Parquet; only those are read together")
    (file,) = files
    reader = _reader(file, reading)
    reading.refuse_options(file.name, KNOWN.get(reader, ()))
    return reader(file, reading)


def has_numbered_columns(path: Path) -> bool:
    """Whether the columns of a file are numbered from 0, since they have no names."""
    return is_zarr(path) or READERS.get(_suffix(path)) in ARRAYS


def _reader(file: File, reading: Reading) -> Callable[[File, Reading], Source]:
    suffix = _suffix(file.path)
    if suffix in READERS:
        return READERS[suffix]
    if reading.text is not None:  # who says how a text is written says that it is one
        return CsvSource
    if suffix == ".npz":
        raise DataError(
            f"{file.name} is an archive of arrays (a model file is one, too); give one of "
            "them, numpy.load(path)[name], or save it alone as .npy"
        )
    known = ", ".join(filter(None, [*READERS, ".parquet", ".zarr"]))
    raise DataError(
        f"{file.name} has the unknown suffix {suffix!r}; {known} are read, text also with "
        f"{', '.join(COMPRESSED)} after it, or under any name with delimiter=... {RAW_NUMBERS}"
    )


def _suffix(path: Path) -> str:
    """Return what the name ends in, for a compressed text without what that adds."""
    last = path.suffix.lower()
    if last not in COMPRESSED:
        return last
    inner = Path(path.stem).suffix.lower()
    return inner if READERS.get(inner) is CsvSource else inner + last
