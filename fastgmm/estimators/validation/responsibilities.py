"""What `responsibilities_init` may be: responsibilities, or a component's number for each row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.estimators.validation.mixture_arrays import named
from fastgmm.passes.known import Labels
from fastgmm.sources import Block, Source, open_source
from fastgmm.sources.dask.collection import DaskSource
from fastgmm.storage.fit_identity import digest

NAME = "responsibilities_init"
LABELS_AT_ONCE = 2**17  # read from a file: 1 MB


def responsibilities_of(given: Any, rows: Source, n_components: int) -> Source | Labels:
    """Return what is given for the rows as a source of K columns, or as labels.

    Raises
    ------
    DataError
        If it is neither, or has columns and the rows are on a cluster.
    """
    given = _of_one_dimension(given)
    if isinstance(rows, DaskSource):
        rows.count_rows()  # so that a partition knows which labels are its own
    if isinstance(given, np.ndarray) and given.ndim == 1:
        return _labels(given, n_components)
    with named(NAME):
        found = open_source(given)
    if not isinstance(given, str | os.PathLike | Source):
        found.name = NAME  # in messages; a file has a name of its own
    if found.weight is not None:
        raise DataError(f"{NAME} has weights of its own; open it without weight=...")
    if found.n_features == 1 and n_components > 1:
        return _labels(found.tabulate(_column, (), np.float64, LABELS_AT_ONCE), n_components)
    if isinstance(rows, DaskSource):
        raise DataError(
            f"{NAME} of {found.n_features} columns is read beside the rows, and those of "
            f"{rows.name} are walked in several places; give the number of a component for each "
            "row, or weights_init, means_init and precisions_init"
        )
    if found.n_features != n_components:
        raise DataError(
            f"{NAME} has {found.n_features} columns for {n_components} components; give one for "
            "each component, or the number of a component for each row"
        )
    if found.n_rows is not None and rows.n_rows is not None and found.n_rows != rows.n_rows:
        raise DataError(f"{NAME} has {found.n_rows} lines for {rows.n_rows} rows; give one each")
    return found


def responsibilities_said(arguments: Mapping[str, Any]) -> str | None:
    """Return what the responsibilities among the arguments of a fit are, for its checkpoint."""
    given = arguments[NAME]
    if given is None or isinstance(given, str | os.PathLike):
        return None if given is None else os.fspath(given)
    if isinstance(given, Source) or callable(given):
        return f"a {type(given).__name__}"
    return f"an array ({digest(np.asarray(given, np.float64))})"


def _of_one_dimension(given: Any) -> Any:
    """Return labels as an array of one dimension, and anything else as it is."""
    if isinstance(given, str | os.PathLike):
        if os.fspath(given).endswith(".npy") and os.path.exists(given):
            array = np.load(given, mmap_mode="r", allow_pickle=False)
            return array if array.ndim == 1 else given
        return given
    is_list = isinstance(given, list | tuple) and len(given) and np.ndim(given[0]) == 0
    return np.asarray(given) if is_list or getattr(given, "ndim", 0) == 1 else given


def _column(block: Block, out: npt.NDArray[Any]) -> None:
    out[:] = block.rows[:, 0]


def _labels(given: Any, n_components: int) -> Labels:
    """Return the numbers of components, one for each row."""
    kind = given.dtype.kind
    numbers = given if kind in "iu" else np.asarray(given, np.float64 if kind in "fO" else None)
    if numbers.dtype.kind not in "iuf" or not np.all(
        (numbers >= 0) & (numbers < n_components) & (numbers == np.floor(numbers))
    ):
        raise DataError(
            f"{NAME} of one dimension holds the number of a component for each row, from 0 to "
            f"{n_components - 1}; it holds something else"
        )
    return numbers.astype(np.min_scalar_type(-n_components))
