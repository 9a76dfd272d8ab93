import numpy as np
import pytest
from sources.rows import some_rows, walk

from fastgmm.errors import DataError
from fastgmm.sources import Chunk, Source, open_source


class Counting(Source):
    """The least that a reader must write."""

    def chunks(self):
        for start in range(0, 10, 3):
            numbers = np.arange(start, min(start + 3, 10))
            yield Chunk(np.stack([numbers, -numbers], axis=1), None)


def test_a_reader_needs_a_constructor_call_and_chunks():
    source = Counting("numbers", ["a", "b"], np.float64)
    assert source.feature_names == ("a", "b")
    assert source.n_features == 2
    assert source.n_rows is None
    rows, _ = walk_uncounted(source)
    np.testing.assert_array_equal(rows[:, 0], np.arange(10))
    assert source.n_rows == 10


def walk_uncounted(source):
    source.fold(lambda block: 0, lambda a, b: 0, 4)
    return walk(source)


def test_fold_combines_from_the_left_in_the_order_of_the_blocks():
    rows = np.arange(10.0)[:, None]
    found = open_source(rows).fold(
        lambda block: str([int(x) for x in block.rows[:, 0]]), lambda a, b: f"({a}+{b})", 4
    )
    assert found == "(([0, 1, 2, 3]+[4, 5, 6, 7])+[8, 9])"


def test_fold_of_no_rows_is_refused_and_blocks_of_none_are_none():
    empty = open_source(np.empty((0, 2)))
    with pytest.raises(DataError, match="holds no rows"):
        empty.fold(len, max, 4)
    with pytest.raises(DataError, match="the chunks holds no rows"):
        open_source([np.empty((0, 2))] * 3).fold(len, max, 4)


def test_labels_that_are_not_all_text_are_no_feature_names():
    pandas = pytest.importorskip("pandas")
    rows = some_rows(4)
    assert open_source(rows).feature_names is None
    assert open_source(pandas.DataFrame(rows)).feature_names is None
    assert open_source(pandas.DataFrame(rows, columns=["a", "b", 3])).feature_names is None
