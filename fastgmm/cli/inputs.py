"""What a command is given: models, and rows to be scored by them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastgmm.errors import DataError
from fastgmm.estimators.fitted_attributes import parameters_of
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.model_file import load
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import Source, open_source
from fastgmm.sources.formats.options import Hints
from fastgmm.sources.formats.zarr import is_zarr
from fastgmm.sources.opening import HDF5


def hints_of(dtype: str | None, n_features: int | None, dataset: str | None) -> Hints:
    """Read what the options say of a file that does not say it itself."""
    try:
        return Hints(None if dtype is None else np.dtype(dtype), n_features, dataset)
    except (TypeError, ValueError, SyntaxError) as error:
        raise DataError(
            f"--dtype {dtype!r} is no type of numbers; write float32, float64, int16 or the like"
        ) from error


def rows(data: str, columns: str | None, weight: str | None, hints: Hints) -> Source:
    """Open the rows of a file, to be fitted."""
    is_array = _is_array(data, hints)
    return open_source(
        data,
        columns=_columns_of(columns, is_array),
        weight=None if weight is None else _column_of(weight, is_array),
        **hints._asdict(),
    )


def _columns_of(text: str | None, is_array: bool) -> Sequence[str | int] | None:
    """Split names at commas; one that holds a comma may be quoted, as in a CSV file."""
    if text is None:
        return None
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not names or not all(names):
        raise DataError(f"--columns {text!r} leaves a name out; write them as a,b,c")
    return [_column_of(name, is_array) for name in names]


def _column_of(name: str, is_array: bool) -> str | int:
    """Take the name of a column for its number where the data is an array: they have no names."""
    return int(name) if is_array and name.isdecimal() else name


def to_score(
    model_path: Path, data: str, columns: str | None, hints: Hints
) -> tuple[Source, Parameters]:
    """Open the rows for a model, and return the mixture that it holds."""
    refuse_swapped(data)
    model = load(model_path)
    return rows_for(model, model_path, data, columns, hints), parameters(model)


def refuse_swapped(data: str) -> None:
    """Refuse a model where rows are wanted, before the rows are read as a model."""
    if data.lower().endswith(".npz"):
        raise DataError(f"{data!r} is no file of rows; the order is MODEL, then DATA")


def rows_for(
    model: GaussianMixture, model_path: Path, data: str, columns: str | None, hints: Hints
) -> Source:
    """Open the columns that a model was fitted on; others in the file do no harm."""
    is_array = _is_array(data, hints)
    names = getattr(model, "feature_names_in_", None)
    chosen = _columns_of(columns, is_array)
    if chosen is None and names is not None and not is_array:
        chosen = [str(name) for name in names]
    source = open_source(data, columns=chosen, **hints._asdict())
    expected = model.means_.shape[1]
    if source.n_features != expected:
        raise DataError(
            f"{data!r} has {source.n_features} columns and {str(model_path)!r} was fitted on "
            f"{expected}; choose them with --columns"
        )
    return source


def parameters(model: GaussianMixture) -> Parameters:
    """Return the mixture that the public attributes of a model stand for."""
    return parameters_of(vars(model), model.covariance_type)


def _is_array(data: str, hints: Hints) -> bool:
    """Whether the columns of a file are numbered from 0, since they have no names."""
    path = Path(data)
    suffix = path.suffix.lower()
    return suffix in (".npy", *HDF5) or is_zarr(path) or hints.are_raw(suffix)
