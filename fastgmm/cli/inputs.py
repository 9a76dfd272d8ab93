"""Opens the models and the rows of files that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastgmm.cli.options import Reading, WeightedReading, listed
from fastgmm.errors import DataError
from fastgmm.estimators.base import Mixture
from fastgmm.estimators.model_file import load
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Posterior
from fastgmm.sources import Source, open_source
from fastgmm.sources.formats import has_numbered_columns
from fastgmm.sources.formats.dialect import PLAIN


def rows(data: Sequence[str], reading: WeightedReading, missing: str) -> Source:
    """Open the rows of a file for a fit that takes missing values or not."""
    is_array = has_numbered_columns(data)
    columns = _columns_of(reading.columns, is_array)
    given = reading.weight, getattr(reading, "label", None)
    found = [None if each is None else _column_of(each, is_array) for each in given]
    return _opened(data, columns, reading, missing, *found)


def _opened(
    data: Sequence[str],
    columns: Sequence[str | int] | None,
    reading: Reading,
    missing: str,
    weight: str | int | None = None,
    label: str | int | None = None,
) -> Source:
    """Open the rows of a file; say how a text is written that is not as most are."""
    source = open_source(
        data,
        columns,
        weight,
        label=label,
        dataset=reading.dataset,
        missing=missing == "em",
        **reading.text,
    )
    if source.read_as not in (None, PLAIN):
        print(f" {source.name}: {source.read_as}")
    return source


def _columns_of(texts: Sequence[str] | None, is_array: bool) -> Sequence[str | int] | None:
    """Return the columns that --columns names; none where it was not given."""
    if not texts:
        return None
    return [_column_of(name, is_array) for name in listed("--columns", texts)]


def _column_of(name: str, is_array: bool) -> str | int:
    """Return a column's name, or its number for an array, whose columns have no names."""
    return int(name) if is_array and name.isdecimal() else name


def to_score(model_path: Path, data: Sequence[str], reading: Reading) -> tuple[Source, Parameters]:
    """Open the rows for a model; return them and the model's parameters."""
    refuse_swapped(data)
    model = load(model_path)
    return rows_for(model, model_path, data, reading), parameters(model)


def posterior(found: Parameters, model_path: Path) -> Posterior:
    """Return what --predictive scores with; refuse a mixture that has none."""
    if not isinstance(found, Posterior):
        raise DataError(
            f"--predictive is of Bayesian mixtures, and {str(model_path)!r} is none; leave it out"
        )
    return found


def refuse_swapped(data: Sequence[str]) -> None:
    """Refuse a model file in place of rows: the two arguments were swapped."""
    for path in data:
        if path.lower().endswith(".npz"):
            raise DataError(f"{path!r} is no file of rows; the order is MODEL, then DATA")


def rows_for(model: Mixture, model_path: Path, data: Sequence[str], reading: Reading) -> Source:
    """Open the columns that a model was fitted on; other columns are ignored."""
    is_array = has_numbered_columns(data)
    names = getattr(model, "feature_names_in_", None)
    chosen = _columns_of(reading.columns, is_array)
    if chosen is None and names is not None and not is_array:
        chosen = [str(name) for name in names]
    source = _opened(data, chosen, reading, model.missing)
    expected = model.means_.shape[1]
    if source.n_features != expected:
        raise DataError(
            f"{source.name!r} has {source.n_features} columns and {str(model_path)!r} was fitted "
            f"on {expected}; choose them with --columns"
        )
    return source


def parameters(model: Mixture) -> Parameters:
    """Return the parameters that the model itself scores rows with, or their posterior."""
    return model._parameters()
