"""Which columns are the features, and which the weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from operator import index
from typing import Any, NamedTuple

from fastgmm.errors import DataError, suggestion

SHOWN = 12  # names of columns that fit in a message
# of formats, and which they are for
OPTIONS = {
    "dataset": "HDF5 files and Zarr stores",
    "delimiter": "text files",
    "decimal": "text files",
    "header": "text files",
    "encoding": "text files",
}


class Text(NamedTuple):
    """How a text file is written, as far as `open_source` is told; None is found in the file."""

    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    encoding: str | None = None


class Reading(NamedTuple):
    """What to read of some data, as `open_source` is asked to."""

    columns: Sequence[Hashable] | None = None  # the features; None: all but the weight
    weight: Hashable | None = None
    chunk_rows: int | None = None  # None: as many as suit the reader
    dataset: str | None = None  # of an HDF5 file or a Zarr store; None: the only one
    text: Text | None = None  # None: nothing is told of it
    label: Hashable | None = None  # the column of classes
    may_lack: bool | None = None  # whether values may be missing

    def refuse_options(self, name: str, known: Sequence[str] = ()) -> None:
        """Refuse options that say nothing of this data: all but the known of OPTIONS."""
        for option, formats in OPTIONS.items():
            value = getattr(self.text if option in Text._fields else self, option, None)
            if value is not None and option not in known:
                raise DataError(f"{option}={value!r} does not apply to {name}; it is for {formats}")


ALL = Reading()
# columns that hold several numbers in each row, and their positions
Groups = Mapping[Hashable, range]


class Chosen(NamedTuple):
    """Positions among the columns of a table."""

    features: tuple[int, ...]
    weight: int | None
    all: bool  # every column is a feature, in the table's order


def choose(
    labels: Sequence[Hashable], reading: Reading, name: str, groups: Groups | None = None
) -> Chosen:
    """Find the columns that were asked for, by name or, where there are none, by number."""
    columns, weight = reading.columns, reading.weight
    numbered = isinstance(labels, range)
    if not numbered:
        _refuse_repeated(labels, name)
    by_label = {} if numbered else {label: at for at, label in enumerate(labels)}
    positions = _Positions(labels, by_label, groups or {}, numbered, name)
    weight_at = None if weight is None else positions.of(weight)
    label_at = None if reading.label is None else positions.of(reading.label)
    if columns is None:
        features = tuple(at for at in range(len(labels)) if at not in (weight_at, label_at))
    else:
        features = _asked(columns, positions)
    if weight_at in features:
        raise DataError(f"column {weight!r} of {name} cannot be a feature and the weight at once")
    if label_at is not None and label_at in (*features, weight_at):
        raise DataError(
            f"column {reading.label!r} of {name} cannot hold labels and be a feature or the weight "
            "at once"
        )
    if not features:
        raise DataError(f"{name} has no column that could be a feature (0 feature(s))")
    return Chosen(features, weight_at, features == tuple(range(len(labels))))


def position_of(
    label: Hashable, labels: Sequence[Hashable], name: str, groups: Groups | None = None
) -> int:
    """Return where a column stands among the labels of all, or say which there are."""
    numbered = isinstance(labels, range)
    by_label = {} if numbered else {each: at for at, each in enumerate(labels)}
    return _Positions(labels, by_label, groups or {}, numbered, name).of(label)


def _asked(columns: Sequence[Hashable], positions: _Positions) -> tuple[int, ...]:
    if isinstance(columns, str | bytes):
        raise DataError(f"columns must be a list of columns; write columns=[{columns!r}]")
    found: dict[int, Hashable] = {}  # positions, and the column that asked for each
    for column in columns:
        for position in positions.all_of(column):
            if position in found:
                raise DataError(
                    f"columns {found[position]!r} and {column!r} are one in "
                    f"{positions.name}; choose each once"
                )
            found[position] = column
    return tuple(found)


def _refuse_repeated(labels: Sequence[Any], name: str) -> None:
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        raise DataError(
            f"column {repeated[0]!r} stands twice in {name}; give each a name of its own"
        )


class _Positions(NamedTuple):
    """Looks up the position of a column."""

    labels: Sequence[Hashable]
    by_label: Mapping[Hashable, int]
    groups: Groups
    numbered: bool
    name: str

    def all_of(self, label: Any) -> Sequence[int]:
        """Find a column, or all numbers of one that holds several in each row."""
        return self.groups[label] if label in self.groups else [self.of(label)]

    def of(self, label: Any) -> int:
        """Find a column, or say which there are."""
        if self.numbered and not isinstance(label, str):
            return self._numbered(label)
        if label in self.by_label:
            return self.by_label[label]
        if label in self.groups:
            raise DataError(
                f"column {label!r} of {self.name} holds {len(self.groups[label])} numbers in each "
                f"row; choose one of them, such as {self.labels[self.groups[label][0]]!r}"
            )
        near = "" if self.numbered else suggestion(str(label), map(str, self.labels))
        raise DataError(f"{self.name} has no column {label!r}{near}; {self._known()}")

    def _numbered(self, label: Any) -> int:
        number = index(label)
        if not -len(self.labels) <= number < len(self.labels):
            raise DataError(f"{self.name} has no column {number}; {self._known()}")
        return number % len(self.labels)

    def _known(self) -> str:
        if self.numbered:
            return f"its columns are numbered from 0 to {len(self.labels) - 1}"
        more = ", ..." if len(self.labels) > SHOWN else ""
        return "its columns are " + ", ".join(map(repr, self.labels[:SHOWN])) + more
