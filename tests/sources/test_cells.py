from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from fastgmm.errors import DataError
from fastgmm.sources import open_source
from fastgmm.sources.cells import Place, float_type, real

HERE = Place("the array", 100)


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", ">f8", "g"])
def test_numbers_are_left_as_they_are(dtype):
    values = np.ones((2, 2), dtype)
    assert real(values, range(2), HERE) is values


def test_objects_that_are_numbers_become_float64():
    values = np.array([[1, 2.5], [np.float32(3), Fraction(1, 4)], [True, np.bool_(0)]], object)
    found = real(values, range(2), HERE)
    np.testing.assert_array_equal(found, [[1, 2.5], [3, 0.25], [1, 0]])
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("cell", "said"),
    [("abc", "holds the text 'abc'"), ("1.5", "holds the text '1.5'")],
)
def test_a_cell_that_is_no_number_is_named(cell, said):
    values = np.array([[1.0, 2.0], [3.0, cell]], object)
    with pytest.raises(DataError, match=rf"row 101 of the array {said}.* in column 'b'"):
        real(values, ["a", "b"], HERE)


def test_a_cell_without_a_value_is_nan_which_its_rows_are_asked_about():
    values = np.array([[1.0, pd.NA], [pd.NaT, None]], object)
    np.testing.assert_array_equal(real(values, ["a", "b"], HERE), [[1, np.nan], [np.nan, np.nan]])
    with pytest.raises(DataError, match=r"row 0 of the array holds no value .* in column 1"):
        open_source(values)


def test_a_cell_of_another_kind_is_a_type_error_too():
    with pytest.raises(TypeError, match="neither a string nor a dict, but a real number: pandas"):
        real(np.array([[{}]], object), range(1), HERE)


@pytest.mark.parametrize(
    ("cell", "way"),
    [
        (pd.Period("2020-01", "M"), r"make it a time first \(.dt.to_timestamp\(\)\)"),
        (pd.Interval(0, 1), r"take its middle \(.array.mid\)"),
        (object(), "make it one"),
    ],
)
def test_of_a_cell_of_another_kind_the_way_out_is_told(cell, way):
    with pytest.raises(DataError, match=f"in column 'b'; .*{way}.*, or leave the column out"):
        real(np.array([[cell]], object), ["b"], HERE)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones((1, 1), complex), "Complex data not supported"),
        (np.zeros((1, 1), "M8[s]"), "holds dates or times"),
        (np.zeros((1, 1), "m8[s]"), "holds durations"),
        (np.zeros((1, 1), [("x", "f8")]), "holds records"),
    ],
)
def test_types_that_are_not_numbers_are_refused(values, said):
    with pytest.raises(DataError, match=said):
        real(values, range(1), HERE)


def test_float32_stays_and_all_else_becomes_float64():
    assert float_type(np.dtype(">f4")) == np.float32
    assert {float_type(np.dtype(t)) for t in ("f2", "f8", "i4", "?", "g")} == {np.dtype("f8")}
