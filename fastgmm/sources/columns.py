"""Which columns are the features, and which the weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from operator import index
from typing import Any, NamedTuple

from fastgmm.errors import DataError, suggestion

SHOWN = 12  # names of columns that fit in a message


class Reading(NamedTuple):
    """What to read of some data, as `open_source` is asked to."""

    columns: Sequence[Hashable] | None = None  # the features; None: all but the weight
    weight: Hashable | None = None
    chunk_rows: int | None = None  # None: as many as suit the reader
    dataset: str | None = None  # of an HDF5 file or a Zarr store; None: the only one

    def refuse_dataset(self, name: str) -> None:
        """Refuse a dataset of what has none."""
        if self.dataset is not None:
            raise DataError(
                f"dataset={self.dataset!r} does not apply to {name}; it is for HDF5 files and Zarr "
                "stores"
            )


ALL = Reading()


class Chosen(NamedTuple):
    """Positions among the columns of a table."""

    features: tuple[int, ...]
    weight: int | None
    all: bool  # every column is a feature, in the table's order


def choose(labels: Sequence[Hashable], reading: Reading, name: str) -> Chosen:
    """Find the columns that were asked for, by name or, where there are none, by number."""
    columns, weight = reading.columns, reading.weight
    numbered = isinstance(labels, range)
    if not numbered:
        _refuse_repeated(labels, name)
    positions = _Positions(labels, numbered, name)
    weight_at = None if weight is None else positions.of(weight)
    if columns is None:
        features = tuple(at for at in range(len(labels)) if at != weight_at)
    else:
        features = _asked(columns, positions)
    if weight_at in features:
        raise DataError(f"column {weight!r} of {name} cannot be a feature and the weight at once")
    if not features:
        raise DataError(f"{name} has no column that could be a feature (0 feature(s))")
    return Chosen(features, weight_at, features == tuple(range(len(labels))))


def _asked(columns: Sequence[Hashable], positions: _Positions) -> tuple[int, ...]:
    if isinstance(columns, str | bytes):
        raise DataError(f"columns must be a list of columns; write columns=[{columns!r}]")
    features = tuple(positions.of(column) for column in columns)
    for second, position in enumerate(features):
        first = features.index(position)
        if first < second:
            raise DataError(
                f"columns {columns[first]!r} and {columns[second]!r} are one in "
                f"{positions.name}; choose each once"
            )
    return features


def _refuse_repeated(labels: Sequence[Any], name: str) -> None:
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        raise DataError(
            f"column {repeated[0]!r} stands twice in {name}; give each a name of its own"
        )


class _Positions(NamedTuple):
    """Looks up the position of a column."""

    labels: Sequence[Hashable]
    numbered: bool
    name: str

    def of(self, label: Any) -> int:
        """Find a column, or say which there are."""
        if self.numbered and not isinstance(label, str):
            return self._numbered(label)
        if label in self.labels:
            return self.labels.index(label)
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
