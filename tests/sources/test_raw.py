import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

from .rows import rows_of, some_rows, walk

ROWS = np.abs(some_rows())


def written(folder, name, dtype):
    ROWS.astype(dtype).tofile(folder / name)
    return folder / name


@pytest.mark.parametrize("chunk_rows", [None, 5])
@pytest.mark.parametrize("dtype", ["f8", ">f8", "f4", "f2", "i2", "?"])
def test_raw_numbers_are_rows_once_their_type_and_number_are_said(tmp_path, dtype, chunk_rows):
    path = written(tmp_path, "x.bin", dtype)
    found = rows_of(path, dtype=dtype, n_features=3, chunk_rows=chunk_rows)
    assert_array_equal(found, ROWS.astype(dtype))
    source = open_source(path, dtype=dtype, n_features=3)
    assert source.n_rows == 23
    assert source.dtype == (np.float32 if dtype == "f4" else np.float64)


@pytest.mark.parametrize(("suffix", "dtype"), [("f64", "<f8"), ("f32", "<f4"), ("F64", "<f8")])
def test_a_suffix_may_say_the_type(tmp_path, suffix, dtype):
    path = written(tmp_path, f"x.{suffix}", dtype)
    assert_array_equal(rows_of(path, n_features=3), ROWS.astype(dtype))


def test_a_file_of_any_suffix_is_raw_where_the_caller_says_so(tmp_path):
    path = written(tmp_path, "x.dat", "f8")
    rows, weights = walk(open_source(path, [2, 0], 1, dtype=float, n_features=3))
    assert_array_equal(rows, ROWS[:, [2, 0]])
    assert_array_equal(weights, ROWS[:, 1])


@pytest.mark.parametrize(
    ("name", "hints", "said"),
    [
        ("x.bin", {}, "x.bin holds numbers and does not say of what type, or how many make"),
        ("x.raw", {"n_features": 3}, "does not say"),
        ("x.f64", {}, "does not say"),
        ("x.f64", {"n_features": 0}, "n_features is 0; a row has a whole number of them, from 1"),
        ("x.f64", {"n_features": -3}, "n_features is -3; a row"),
        ("x.f64", {"n_features": 1.5}, r"n_features is 1\.5; a row"),
        ("x.f64", {"n_features": "3"}, "n_features is '3'; a row"),
        ("x.f64", {"n_features": True}, "n_features is True; a row"),
        ("x.bin", {"n_features": 3, "dtype": "floaty"}, "dtype is 'floaty', which is no type"),
        ("x.f64", {"n_features": 10**30}, "not a whole number of rows"),
        ("x.f64", {"n_features": 3, "dtype": "f4"}, "dtype is float32, but x.f64 ends in .f64"),
        ("x.bin", {"n_features": 3, "dtype": "U4"}, "raw numbers are bools, integers or floats"),
        ("x.f64", {"n_features": 5}, r"552 bytes, .* whole number of rows of 5 float64 .*40 bytes"),
        ("x.npy", {"n_features": 3}, "n_features=3 says nothing of x.npy"),
        ("x.f64", {"n_features": 3, "dataset": "a"}, "dataset='a' says nothing of x.f64"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, name, hints, said):
    with pytest.raises(DataError, match=said):
        open_source(written(tmp_path, name, "f8"), **hints)


def test_an_empty_file_of_endless_rows_is_refused(tmp_path):
    (tmp_path / "x.f64").write_bytes(b"")
    with pytest.raises(DataError, match=r"x.f64 holds no rows, and of 10000000000000 columns"):
        open_source(tmp_path / "x.f64", n_features=10**13)


def test_arrays_and_open_sources_take_no_hints():
    with pytest.raises(DataError, match="n_features=3 says nothing of the ndarray"):
        open_source(ROWS, n_features=3)
    with pytest.raises(DataError, match="dataset='a' says nothing of the array"):
        open_source(open_source(ROWS), dataset="a")


def test_a_file_that_grows_between_passes_is_an_error(tmp_path):
    path = written(tmp_path, "x.f64", "f8")
    source = open_source(path, n_features=3)
    walk(source)
    with path.open("ab") as file:
        ROWS[:1].tofile(file)
    with pytest.raises(SourceChangedError, match="had 552 bytes and has 576"):
        walk(source)


def test_bad_numbers_are_named(tmp_path):
    path = tmp_path / "x.f64"
    np.where(ROWS[9, 1] == ROWS, np.inf, ROWS).tofile(path)
    with pytest.raises(DataError, match=r"row 9 of x.f64 holds infinity in column 1"):
        walk(open_source(path, n_features=3))
