"""Checks of X and sample_weight, which become a Source."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_array, validate_data

from fastgmm.errors import DataError, warn
from fastgmm.sources import Source, with_weights
from fastgmm.sources.columns import ALL, Reading
from fastgmm.sources.dask.collection import is_dask
from fastgmm.sources.opening import open_array, reader_of

Names = tuple[str, ...] | None


class Rows(NamedTuple):
    """Rows to fit to, and the names of their features, if they have any."""

    source: Source
    names: Names
    given: Mapping[str, Any] = {}  # X, y and metadata, as callbacks are handed them


def to_fit(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: npt.ArrayLike | None,
    n_components: int,
    least_rows: int = 2,
) -> Rows:
    """Return the rows of X with their weights, for a fit of at least so many components."""
    reader, names, reading = reader_of(X), None, _reading(estimator)
    if _is_pandas(X):
        # scikit-learn notes names on the estimator that it is given
        source, noted = reader(X, reading), copy.copy(estimator)
        validate_data(noted, X, skip_check_array=True)
        names = getattr(noted, "feature_names_in_", None)
        if source.n_features != X.shape[1]:  # a column of arrays is several features
            names = source.feature_names
    elif reader is open_array:
        source = _open_array(estimator, X, least_rows, reading)
    else:
        source = reader(X, reading)
        names = source.feature_names
    if source.label is not None and not hasattr(estimator, "components_per_class"):
        raise DataError(
            f"{type(estimator).__name__} takes no labels, and {source.name} has them in column "
            f"{source.label!r}; fit a GaussianMixture, or open it without label=..."
        )
    source = _as_allowed(estimator, source, reading)
    check_known_count(source, n_components)
    given = {"X": X, "y": y, "metadata": None}
    if sample_weight is not None:
        given["metadata"] = {"sample_weight": sample_weight}
    names = None if names is None else tuple(names)
    return Rows(_weighted(source, sample_weight), names, given)


def to_score(
    estimator: Any, X: Any, sample_weight: npt.ArrayLike | None, n_features: int
) -> Source:
    """Return the rows of X with their weights, for a model of so many features."""
    reader, reading = reader_of(X), _reading(estimator)
    if reader is open_array and not _is_pandas(X):
        _check_names(estimator, None)
        source = _open_array(estimator, X, 0, reading)
    else:
        source = reader(X, reading)
        is_frame = _is_pandas(X) and source.n_features == X.shape[1]
        if is_frame and hasattr(estimator, "feature_names_in_"):
            validate_data(estimator, X, reset=False, skip_check_array=True)  # for the names alone
        else:
            _check_names(estimator, source.feature_names)
    if source.n_features != n_features:
        raise ValueError(
            f"X has {source.n_features} features, but {type(estimator).__name__} is expecting "
            f"{n_features} features as input."
        )
    return _weighted(_as_allowed(estimator, source, reading), sample_weight)


def _reading(estimator: Any) -> Reading:
    """Say how to read rows for an estimator: whether they may lack values."""
    return Reading(may_lack=True) if estimator.missing == "em" else ALL


def _as_allowed(estimator: Any, source: Source, reading: Reading) -> Source:
    """Return rows that may lack values where the estimator takes these, and only there."""
    if reading.may_lack:
        return source if source.may_lack else source.lacking()
    if source.may_lack:
        raise DataError(
            f"{source.name} was opened with missing=True, and {type(estimator).__name__} takes "
            "complete rows alone; open it without, or take GaussianMixture(missing='em')"
        )
    return source


def check_known_count(source: Source, n_components: int) -> None:
    """Refuse rows that are known to be fewer than the components."""
    if source.n_rows is not None:
        check_count(source.n_rows, n_components)


def check_count(n_rows: int, n_components: int) -> None:
    """Refuse rows that are fewer than the components."""
    if n_rows < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {n_rows}"
        )


def _is_pandas(X: Any) -> bool:
    # a Series is refused as scikit-learn does; what is Dask's may have an iloc, and no ndim yet
    return hasattr(X, "iloc") and not is_dask(X) and X.ndim == 2


def _is_plain(X: Any, least_rows: int) -> bool:
    """Whether scikit-learn would return the array as it is, after 24 microseconds of checks."""
    is_array = type(X) is np.ndarray and X.dtype.kind == "f" and X.ndim == 2
    return is_array and len(X) >= least_rows and X.shape[1] > 0


def _open_array(estimator: Any, X: Any, least_rows: int, reading: Reading) -> Source:
    """Open an array-like that scikit-learn has checked, but for its numbers."""
    if _is_plain(X, least_rows):
        return open_array(X, reading)
    array = check_array(
        X,
        estimator=estimator,
        input_name="X",
        dtype=None,  # the source converts, parses nothing from text, and names row and column
        ensure_all_finite=False,
        ensure_min_samples=least_rows,
    )
    # a list with one text in it has become an array of nothing but text: which one, the list knows
    is_text = array.dtype.kind in "US" and isinstance(X, list | tuple)
    return open_array(X if is_text else array, reading)


def _weighted(source: Source, sample_weight: npt.ArrayLike | None) -> Source:
    if sample_weight is None:
        return source
    if isinstance(sample_weight, Real):
        if source.n_rows is None:
            raise DataError(
                f"sample_weight={sample_weight} is one weight for all rows, and how many rows "
                f"{source.name} has is not known; give one weight for each row (a Dask array knows "
                "its rows after compute_chunk_sizes())"
            )
        sample_weight = np.full(source.n_rows, float(sample_weight))
    return with_weights(source, sample_weight)


def _check_names(estimator: Any, names: Names) -> None:
    """Compare the features of a source with those of the fit, as scikit-learn does for tables."""
    name = type(estimator).__name__
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None and names is None:
        return
    if fitted is None:
        warn(f"X has feature names, but {name} was fitted without feature names")
    elif names is None:
        warn(f"X does not have valid feature names, but {name} was fitted with feature names")
    elif tuple(fitted) != names:
        raise ValueError(
            "The feature names should match those that were passed during fit: "
            f"{', '.join(map(str, fitted))}. Got {', '.join(names)}; choose the columns, in "
            "this order, with fastgmm.open_source(X, columns=[...])"
        )
