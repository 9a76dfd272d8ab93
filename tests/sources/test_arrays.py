import numpy as np
import pytest

from fastgmm.errors import DataError
from fastgmm.sources.arrays import as_array
from fastgmm.sources.cells import Place

ARRAY = np.arange(6.0).reshape(3, 2)


def test_an_array_is_seen_without_a_copy():
    assert as_array(ARRAY, Place("x")) is ARRAY


@pytest.mark.parametrize("data", [ARRAY.tolist(), tuple(map(tuple, ARRAY)), memoryview(ARRAY)])
def test_array_likes_are_taken(data):
    np.testing.assert_array_equal(as_array(data, Place("x")), ARRAY)


@pytest.mark.parametrize("shape", [(), (6,)])
def test_too_few_dimensions_are_refused_with_the_way_out(shape):
    with pytest.raises(DataError, match=r"Reshape your data with X.reshape\(-1, 1\)"):
        as_array(np.zeros(shape), Place("x"))


def test_too_many_dimensions_are_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"shape \(1, 2, 3\).*X.reshape\(len\(X\), -1\)"):
        as_array(np.zeros((1, 2, 3)), Place("x"))


def test_no_columns_are_refused():
    with pytest.raises(DataError, match=r"0 feature\(s\) \(shape=\(5, 0\)\) while a minimum of 1"):
        as_array(np.zeros((5, 0)), Place("x"))


def test_sparse_matrices_are_refused_with_the_way_out():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DataError, match=r"is sparse.*X.toarray\(\)"):
        as_array(sparse.csr_array(ARRAY), Place("x"))


def test_masked_cells_are_refused_and_masks_that_hide_nothing_are_not():
    hidden = np.ma.array(ARRAY, mask=[[0, 0], [0, 1], [1, 1]])
    with pytest.raises(DataError, match="row 1 of x is masked in column 1"):
        as_array(hidden, Place("x"))
    assert type(as_array(np.ma.array(ARRAY), Place("x"))) is np.ndarray


def test_text_in_a_list_is_named_where_it_stands():
    with pytest.raises(DataError, match="row 1 of x holds the text 'b' in column 0"):
        as_array([[1, 2], ["b", 3]], Place("x"))
    with pytest.raises(DataError, match=r"row 0 of x holds the text '1.5' in column 0"):
        as_array(np.array([["1.5"]]), Place("x"))


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(DataError, match="x is not a table of numbers"):
        as_array([[1, 2], [3]], Place("x"))
