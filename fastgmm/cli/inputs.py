"""What a command is given: models, and rows to be scored by them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from fastgmm.errors import DataError
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.published import parameters_of
from fastgmm.estimators.saving import load
from fastgmm.parameters import Parameters
from fastgmm.sources import Source, open_source


def columns_of(text: str | None, data: str) -> Sequence[str | int] | None:
    """Split names at commas; one that holds a comma may be quoted, as in a CSV file.

    The columns of an array have no names: there they are numbers from 0.
    """
    if text is None:
        return None
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not names or not all(names):
        raise DataError(f"--columns {text!r} leaves a name out; write them as a,b,c")
    return [column_of(name, data) for name in names]


def column_of(name: str, data: str) -> str | int:
    """Take the name of a column for its number where the data is an array."""
    return int(name) if _is_array(data) and name.isdecimal() else name


def to_score(
    model_path: Path, data: str, columns: Sequence[str | int] | None
) -> tuple[Source, Parameters]:
    """Open the rows for a model, and return the mixture that it holds."""
    model = load(model_path)
    return rows_for(model, model_path, data, columns), parameters(model)


def rows_for(
    model: GaussianMixture, model_path: Path, data: str, columns: Sequence[str | int] | None
) -> Source:
    """Open the columns that a model was fitted on; others in the file do no harm."""
    names = getattr(model, "feature_names_in_", None)
    if columns is None and names is not None and not _is_array(data):
        columns = [str(name) for name in names]
    source = open_source(data, columns=columns)
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


def _is_array(data: str) -> bool:
    return data.lower().endswith(".npy")
