"""X and sample weights of every kind become sources; what cannot is refused in a sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pytest
import scipy.sparse
from numpy.testing import assert_array_equal

from fastgmm.errors import DataError
from fastgmm.estimators import GaussianMixture
from fastgmm.sources import open_source

NAMES = ["red", "green"]


@pytest.fixture
def rows(rng):
    """Two groups."""
    return np.concatenate([rng.normal(size=(40, 2)), rng.normal(5.0, 1.0, size=(40, 2))])


@pytest.fixture
def fitted(rows):
    """A model of rows without names."""
    return fit(rows)


def fit(data, sample_weight=None):
    """Fit two components."""
    return GaussianMixture(2, random_state=0).fit(data, sample_weight=sample_weight)


def table(rows):
    """Rows as an Arrow table with names."""
    return pa.table(dict(zip(NAMES, rows.T, strict=True)))


def csv_file(rows, folder):
    """Rows as a CSV file with names."""
    pyarrow.csv.write_csv(table(rows), folder / "rows.csv")
    return folder / "rows.csv"


NAMED = {
    "pandas": lambda rows, folder: pandas.DataFrame(rows, columns=NAMES),
    "polars": lambda rows, folder: polars.DataFrame(rows, schema=NAMES),
    "Arrow": lambda rows, folder: table(rows),
    "CSV": csv_file,
    "path as text": lambda rows, folder: str(csv_file(rows, folder)),
    "source": lambda rows, folder: open_source(csv_file(rows, folder)),
}
UNNAMED = {
    "lists": lambda rows: rows.tolist(),
    "tuples": lambda rows: tuple(map(tuple, rows)),
    "list of arrays": list,
    "big-endian": lambda rows: rows.astype(">f8"),
    "objects": lambda rows: rows.astype(object),
    "unmasked": np.ma.masked_array,
    "chunks": lambda rows: [rows[:3], rows[3:]],
    "callable": lambda rows: lambda: [rows[:3], rows[3:]],
}


@pytest.mark.parametrize("form", NAMED)
def test_tables_and_files_give_the_same_model_and_keep_their_names(rows, fitted, form, tmp_path):
    named = NAMED[form](rows, tmp_path)
    model = fit(named)
    assert_array_equal(model.means_, fitted.means_)
    assert model.feature_names_in_.tolist() == NAMES
    assert model.feature_names_in_.dtype == object
    assert model.n_features_in_ == 2
    assert_array_equal(model.predict(named), fitted.predict(rows))


@pytest.mark.parametrize("form", UNNAMED)
def test_other_forms_give_the_same_model_without_names(rows, fitted, form):
    model = fit(UNNAMED[form](rows))
    assert_array_equal(model.means_, fitted.means_)
    assert not hasattr(model, "feature_names_in_")


# components of two features that are True or False have no variance of their own
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, bool, np.float16, np.longdouble])
def test_numbers_of_other_types_are_computed_in_double_precision(rows, dtype):
    numbers = rows.round().clip(0, 100).astype(dtype)
    model = fit(numbers)
    assert model.means_.dtype == np.float64
    assert_array_equal(model.means_, fit(numbers.astype(np.float64)).means_)


def test_single_precision_stays_single(rows):
    model = fit(rows.astype(np.float32))
    assert {model.weights_.dtype, model.means_.dtype, model.precisions_.dtype} == {
        np.dtype(np.float32)
    }
    assert model.score_samples(rows.astype(np.float32)).dtype == np.float32
    assert model.score_samples(rows).dtype == np.float64


REFUSED = {
    "masked": (lambda rows: np.ma.masked_greater(rows, 5), "masked"),
    "sparse": (scipy.sparse.csr_array, "[Ss]parse"),
    "complex": (lambda rows: rows.astype(complex), "[Cc]omplex"),
    "text": (lambda rows: rows.astype(str), "strings|text"),
    "one dimension": (lambda rows: rows[:, 0], "[Rr]eshape your data"),
    "three dimensions": (lambda rows: rows[None], "dim"),
    "no rows": (lambda rows: rows[:0], "0 sample"),
    "one row": (lambda rows: rows[:1], "1 sample"),
    "no columns": (lambda rows: rows[:, :0], "0 feature"),
    "an iterator": (iter, "only once"),
    "a generator": (lambda rows: (row for row in [rows]), "only once"),
    "a category": (
        lambda rows: pandas.DataFrame({"x": pandas.Categorical(["a", "b"])}),
        "'x'.*categor",
    ),
    "dates": (
        lambda rows: pandas.DataFrame({"x": pandas.to_datetime(["2020-01-01"] * 3)}),
        "'x'.*date",
    ),
    "a missing number": (
        lambda rows: pandas.DataFrame({"x": pandas.array([1, None, 3], dtype="Int64")}),
        "row 1 .*'x'",
    ),
    "too few rows": (lambda rows: [rows[:1]], "n_components = 2, n_samples = 1"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_table_of_numbers_is_refused(rows, form):
    make, words = REFUSED[form]
    with pytest.raises((ValueError, TypeError), match=words):
        fit(make(rows))


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
@pytest.mark.parametrize("method", ["fit", "predict", "predict_proba", "score", "score_samples"])
def test_a_bad_number_is_named_by_row_and_column(rows, fitted, method, value, word):
    rows[57, 1] = value
    with pytest.raises(ValueError, match=f"row 57 .*{word}.*column 1"):
        getattr(fitted, method)(rows)


def test_the_width_is_checked_everywhere(rows, fitted, tmp_path):
    wide = np.column_stack([rows, rows])
    for data in (wide, [wide[:3], wide[3:]], open_source(wide)):
        with pytest.raises(ValueError, match="X has 4 features, but GaussianMixture is expecting"):
            fitted.predict(data)


def test_names_in_another_order_are_refused(rows, tmp_path):
    model = fit(NAMED["pandas"](rows, tmp_path))
    swapped = pandas.DataFrame(rows, columns=NAMES[::-1])
    for data in (swapped, polars.from_pandas(swapped), open_source(swapped)):
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(data)


def test_names_on_one_side_only_are_worth_a_warning(rows, fitted, tmp_path):
    for form in ("pandas", "polars"):
        with pytest.warns(UserWarning, match="X has feature names, but GaussianMixture was fitted"):
            fitted.predict(NAMED[form](rows, tmp_path))
    named = fit(NAMED["polars"](rows, tmp_path))
    for data in (rows, [rows]):
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            named.predict(data)


def test_no_rows_have_no_scores_but_no_mean_either(rows, fitted):
    nothing = rows[:0]
    assert fitted.predict(nothing).shape == (0,)
    assert fitted.predict_proba(nothing).shape == (0, 2)
    assert fitted.score_samples(nothing).shape == (0,)
    with pytest.raises(DataError, match="no row"):
        fitted.score(nothing)


BAD_WEIGHTS = {
    "negative": (lambda w: np.where(np.arange(80) == 3, -1.0, w), "row 3 .*negative weight -1"),
    "NaN": (lambda w: np.where(np.arange(80) == 3, np.nan, w), "row 3 .*weight NaN"),
    "infinite": (lambda w: np.where(np.arange(80) == 3, np.inf, w), "row 3 .*infinite weight"),
    "all zero": (lambda w: 0 * w, "zero"),
    "too large": (lambda w: np.full(80, 1e308), "infinity"),
    "too short": (lambda w: w[1:], "79 sample weights were given for 80 rows"),
    "2-d": (lambda w: w[:, None], "1-d"),
}


@pytest.mark.parametrize("form", BAD_WEIGHTS)
@pytest.mark.parametrize("method", ["fit", "score"])
def test_weights_that_cannot_be_are_refused(rows, fitted, form, method):
    make, words = BAD_WEIGHTS[form]
    with pytest.raises(DataError, match=words):
        getattr(fitted, method)(rows, sample_weight=make(np.ones(80)))


@pytest.mark.parametrize("form", ["pandas", "polars", "CSV"])
def test_weights_go_with_rows_of_every_form(rows, rng, form, tmp_path):
    weights = rng.random(80)
    expected = fit(rows, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(NAMED[form](rows, tmp_path), weights)
    assert_array_equal(model.means_, expected.means_)
    assert model.n_rows_ == 80


def test_weights_may_be_a_column(rows, rng, tmp_path):
    weights = rng.random(80)
    heavy = table(rows).append_column("w", pa.array(weights))
    pyarrow.csv.write_csv(heavy, tmp_path / "heavy.csv")
    model = fit(open_source(tmp_path / "heavy.csv", weight="w"))
    assert_array_equal(model.means_, fit(rows, weights).means_)
    assert model.feature_names_in_.tolist() == NAMES
