"""Labels of rows: the classes among them, and the number of each row's class."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.passes.known import Labels
from fastgmm.sources import Source
from fastgmm.sources.dask.collection import DaskSource, is_dask
from fastgmm.storage.fit_identity import digest

UNKNOWN = -1
ABSENT = ("NAType", "NaTType")  # pandas' values that are not there
NUMERAL = re.compile(r"\s*[+-]?\d+\s*")
SHOWN = 8  # classes in a message


class Classes(NamedTuple):
    """The labels of some rows."""

    labels: Labels  # (n,) the place of each row's class among the names, or -1
    names: npt.NDArray[Any]  # (C,) sorted


def classes_of(labels: Any, source: Source) -> Classes | None:
    """Return what labels say of the rows of a source; None where they say nothing.

    Raises
    ------
    DataError
        If they are not one for each row, or are no classes.
    """
    if labels is None and source.label is None:
        return None
    if labels is not None and source.label is not None:
        raise DataError(
            f"{source.name} takes labels from its column {source.label!r}; give labels there or "
            "beside it, not both"
        )
    is_column = labels is None
    if isinstance(source, DaskSource):
        source.count_rows()  # so that a partition knows which labels are its own
    chunks = source.label_cells(source.label) if source.label is not None else [_cells(labels)]
    coder = _Coder()
    codes = [coder.coded(chunk) for chunk in chunks]
    if is_column and source.read_as is not None:
        coder.read_numerals()
    found = coder.sorted(np.concatenate(codes) if codes else np.empty(0, np.int64))
    if source.n_rows is not None and len(found.labels) != source.n_rows:
        raise DataError(
            f"{len(found.labels)} labels were given for {source.n_rows} rows of {source.name}; "
            "give one for each row"
        )
    if not len(found.names):
        return None
    return found


def numbered(labels: Any, names: npt.NDArray[Any], source: Source) -> Classes | None:
    """Return labels by the numbers that a fit has given to the classes.

    Raises
    ------
    DataError
        If there is another class among them.
    """
    found = classes_of(labels, source)
    if found is None:
        return None
    place = {name: number for number, name in enumerate(names.tolist())}
    strange = [name for name in found.names.tolist() if name not in place]
    if strange:
        raise DataError(f"labels hold {_listed(strange)}, and the fit knew {_listed([*place])}")
    numbers = np.array([place[name] for name in found.names.tolist()])
    labels = np.where(found.labels < 0, UNKNOWN, numbers[found.labels])
    return Classes(labels.astype(np.min_scalar_type(-len(names))), names)


def demand_components(classes: Classes, per_class: int, n_components: int) -> None:
    """Refuse more classes than components."""
    n_classes = len(classes.names)
    if n_classes * per_class > n_components:
        each = "a component" if per_class == 1 else f"{per_class} components"
        raise DataError(
            f"{n_classes} classes ({_listed(classes.names.tolist())}) of {each} each need "
            f"{n_classes * per_class} components, and n_components is {n_components}; give more"
        )


def classes_said(classes: Classes | None) -> str:
    """Return labels as a checkpoint compares them."""
    if classes is None:
        return "none"
    return f"of {_listed(classes.names.tolist())} ({digest(classes.labels)})"


def _listed(names: Iterable[Any]) -> str:
    names = list(names)
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def _cells(labels: Any) -> Any:
    """Return labels as an array of one dimension, with nulls in it."""
    if is_dask(labels):
        labels = labels.compute()
    if isinstance(labels, np.ma.MaskedArray):
        mask, labels = np.ma.getmaskarray(labels), labels.data.astype(object)
        labels[mask] = None
    if hasattr(labels, "to_pylist"):
        labels = labels.to_pylist()
    elif hasattr(labels, "to_numpy"):
        labels = labels.to_numpy()
    is_array = isinstance(labels, np.ndarray)
    array = labels if is_array else _as_array(list(labels))
    if array.ndim != 1:
        raise DataError(f"labels must be 1-d, one for each row; these have the shape {array.shape}")
    return array


def _as_array(labels: list[Any]) -> npt.NDArray[Any]:
    """Return a list as an array of its own type: numbers beside text become no text."""
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and kinds <= {int, bool, str, float}:
        return np.array(labels)
    found = np.empty(len(labels), object)
    found[:] = labels
    return found


class _Coder:
    """Numbers classes in the order of their first rows."""

    def __init__(self) -> None:
        self.known: dict[Hashable, int] = {}

    def coded(self, cells: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the number of each cell's class, -1 where it has none."""
        if cells.dtype.kind in "OU":
            return np.fromiter(map(self._code, cells.tolist()), np.int64, len(cells))
        if cells.dtype.kind not in "biuf":
            raise DataError(f"labels are integers, texts or booleans; these are {cells.dtype}")
        values, places = np.unique(cells, return_inverse=True)
        return np.array([self._code(value) for value in values.tolist()], np.int64)[places]

    def _code(self, cell: Any) -> int:
        if cell is None or type(cell).__name__ in ABSENT or cell != cell:
            return UNKNOWN
        if isinstance(cell, np.generic):
            cell = cell.item()
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        if not isinstance(cell, int | str):
            raise DataError(f"labels are integers, texts or booleans; {cell!r} is none of these")
        if cell == UNKNOWN and not isinstance(cell, bool):
            return UNKNOWN
        return self.known.setdefault(cell, len(self.known))

    def read_numerals(self) -> None:
        """Take the texts of a file for integers, if all are."""
        if self.known and all(map(NUMERAL.fullmatch, map(str, self.known))):
            self.known = {int(str(name)): code for name, code in self.known.items()}

    def sorted(self, codes: npt.NDArray[np.int64]) -> Classes:
        """Return the classes in order, and all labels by it."""
        kinds = {type(name) for name in self.known}
        if len(kinds) > 1:
            raise DataError(
                f"labels are {' and '.join(sorted(kind.__name__ for kind in kinds))}, which have "
                f"no order: {_listed(self.known)}; make them all one type"
            )
        names = sorted(set(self.known) - {UNKNOWN})  # type: ignore[type-var]
        place = np.full(len(self.known) + 1, UNKNOWN)  # the last is that of -1
        place[[self.known[name] for name in names]] = np.arange(len(names))
        kind = np.min_scalar_type(-max(len(names), 1))
        return Classes(place[codes].astype(kind), np.array(names))
