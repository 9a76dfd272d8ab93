"""What a user gives as X and as sample weights, checked and made a Source."""

from __future__ import annotations

import copy
import os
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import validate_data

from fastgmm.errors import DataError, warn
from fastgmm.sources import Source, is_dask, is_elsewhere, is_stored, open_source, with_weights

Names = tuple[str, ...] | None


class Rows(NamedTuple):
    """Rows to fit to, and the names of their features, if they have any."""

    source: Source
    names: Names


def to_fit(estimator: Any, X: Any, sample_weight: npt.ArrayLike | None) -> Rows:
    """Return the rows of X with their weights, for a fit; the estimator is left as it is."""
    # scikit-learn notes what it learns of X on the estimator that it is given
    scribbled_on = copy.copy(estimator)
    source = _opened(scribbled_on, X, reset=True, least_rows=2)
    names = source.feature_names
    if is_array_like(X):
        names = getattr(scribbled_on, "feature_names_in_", None)
    if source.n_rows is not None:
        check_count(source.n_rows, estimator.n_components)
    return Rows(_weighted(source, sample_weight), None if names is None else tuple(names))


def to_score(
    estimator: Any, X: Any, sample_weight: npt.ArrayLike | None, n_features: int
) -> Source:
    """Return the rows of X with their weights, for a model of so many features."""
    known = estimator
    if is_array_like(X) and not _is_pandas(X) and hasattr(estimator, "feature_names_in_"):
        _check_names(estimator, None)  # scikit-learn would warn at a line of its own
        known = copy.copy(estimator)
        del known.feature_names_in_
    source = _opened(known, X, reset=False, least_rows=0)
    if not is_array_like(X):
        _check_names(estimator, source.feature_names)
    if source.n_features != n_features:
        raise ValueError(
            f"X has {source.n_features} features, but {type(estimator).__name__} is expecting "
            f"{n_features} features as input."
        )
    return _weighted(source, sample_weight)


def check_count(n_rows: int, n_components: int) -> None:
    """Refuse rows that are fewer than the components."""
    if n_rows < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {n_rows}"
        )


def is_array_like(X: Any) -> bool:
    """Whether scikit-learn's checks are for X; all else is for `open_source` alone."""
    if isinstance(X, Source | str | os.PathLike | np.ma.MaskedArray) or callable(X) or is_stored(X):
        return False
    if is_dask(X) or is_elsewhere(X):
        return False
    if isinstance(X, list | tuple):
        return not (X and getattr(X[0], "ndim", 0) == 2)  # else chunks of rows
    if _is_pandas(X):
        return True
    return not hasattr(X, "__arrow_c_stream__") and (
        hasattr(X, "__array__") or hasattr(X, "tocsr") or np.isscalar(X)
    )


def _is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc") and X.ndim == 2  # a Series is refused as scikit-learn does


def _opened(estimator: Any, X: Any, reset: bool, least_rows: int) -> Source:
    if not is_array_like(X):
        return open_source(os.fspath(X) if isinstance(X, os.PathLike) else X)
    if _is_pandas(X):
        source = open_source(X)  # refuses columns by name, two of one name among them
        if not reset and source.feature_names and not hasattr(estimator, "feature_names_in_"):
            _check_names(estimator, source.feature_names)
        else:
            validate_data(estimator, X, reset=reset, skip_check_array=True)  # for the names alone
        return source
    array = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=None,  # the source converts, parses nothing from text, and names row and column
        ensure_all_finite=False,
        ensure_min_samples=least_rows,
    )
    # a list with one text in it has become an array of nothing but text: which one, the list knows
    return open_source(X if array.dtype.kind in "US" and isinstance(X, list | tuple) else array)


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
