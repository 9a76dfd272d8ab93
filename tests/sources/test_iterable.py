import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sources.rows import kept, rows_of, some_rows

from fastgmm import GaussianMixture, select
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import blocks, open_source

ROWS = some_rows()
PARTS = [ROWS[:5], ROWS[5:5], ROWS[5:6], ROWS[6:]]


def fold_length(source):
    return source.fold(lambda block: len(block.rows), int.__add__, 4)


class Again:
    def __iter__(self):
        return iter(PARTS)


def a_generator():
    yield from PARTS


@pytest.mark.parametrize("data", [PARTS, tuple(PARTS), Again(), a_generator, lambda: PARTS])
@pytest.mark.parametrize("chunk_rows", [None, 2])
def test_whatever_can_be_walked_again_gives_its_rows(data, chunk_rows):
    source = open_source(data, chunk_rows=chunk_rows)
    for _ in range(3):
        found = [block.rows for block in kept(source, 4)]
        assert_array_equal(np.concatenate(found), ROWS)
    assert source.n_rows == 23


def test_a_list_knows_its_rows_before_the_first_pass():
    assert open_source(PARTS).n_rows == 23
    assert open_source(a_generator).n_rows is None


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.RecordBatch.from_pydict, pa.table])
def test_chunks_can_be_tables_matched_by_name(make):
    parts = [make({"a": p[:, 0], "b": p[:, 1], "w": np.ones(len(p))}) for p in PARTS]
    parts[2] = make({"w": [2.0], "b": PARTS[2][:, 1], "a": PARTS[2][:, 0]})
    source = open_source(lambda: iter(parts), weight="w")
    assert source.feature_names == ("a", "b")
    found = [(block.rows, block.weights) for block in blocks(source, 40)]
    assert_array_equal(found[0][0], ROWS[:, :2])
    assert_array_equal(found[0][1], np.where(np.arange(23) == 5, 2.0, 1.0))


def test_a_callable_may_give_a_fresh_arrow_reader():
    table = pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    source = open_source(lambda: table.to_reader(max_chunksize=4))
    assert (fold_length(source), fold_length(source)) == (23, 23)


def test_a_number_that_turns_bad_in_a_later_pass_is_named_with_its_chunk():
    passes = iter([1.0, np.nan])
    source = open_source(lambda: [ROWS, ROWS, np.where(ROWS[4, 1] == ROWS, next(passes), ROWS)])
    assert fold_length(source) == 69
    with pytest.raises(
        DataError,
        match=r"row 50 of the chunks \(chunk 2\) holds no value .NaN or null. in column 1",
    ):
        fold_length(source)


def test_what_can_be_walked_once_is_refused_untouched():
    once = a_generator()
    with pytest.raises(DataError, match=r"walked only once.*pass a callable that returns a fresh"):
        open_source(once)
    assert len(list(once)) == 4
    reader = pa.table({"a": ROWS[:, 0]}).to_reader()
    with pytest.raises(DataError, match="walked only once"):
        open_source(reader)
    assert reader.read_all().num_rows == 23


def test_the_same_iterator_twice_is_an_error_with_both_numbers():
    once = iter(PARTS)
    source = open_source(lambda: once)
    assert fold_length(source) == 23
    with pytest.raises(SourceChangedError, match="gave 0 rows in this pass and 23 before"):
        fold_length(source)


def test_an_iterator_that_a_pass_left_half_walked_is_refused():
    once = iter(PARTS)
    source = open_source(lambda: once)
    next(blocks(source, 2))
    with pytest.raises(SourceChangedError, match="an earlier pass had begun"):
        fold_length(source)


def test_another_width_is_an_error_with_both_numbers():
    with pytest.raises(SourceChangedError, match=r"the chunks \(chunk 1\) has 2 columns .* had 3"):
        open_source([ROWS, ROWS[:, :2]])
    widths = iter([3, 4])
    source = open_source(lambda: [np.zeros((2, next(widths)))])
    assert fold_length(source) == 2
    with pytest.raises(SourceChangedError, match="has 4 columns and the first chunk had 3"):
        fold_length(source)


def test_a_wider_type_after_the_first_chunk_is_refused_unless_all_are_known():
    parts = [ROWS.astype("f4"), ROWS]
    with pytest.raises(DataError, match=r"chunk 1. holds float64 where the first held float32"):
        fold_length(open_source(lambda: parts))
    assert open_source(parts).dtype == np.float64
    assert_array_equal(rows_of(parts)[23:], ROWS)
    assert fold_length(open_source(lambda: parts[::-1])) == 46


def test_bad_cells_are_numbered_over_all_chunks():
    parts = [ROWS, ROWS.astype(object)]
    parts[1][4, 1] = "x"
    with pytest.raises(
        DataError, match=r"row 27 of the chunks \(chunk 1\) holds the text 'x' in column 1"
    ):
        fold_length(open_source(lambda: parts))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: iter([]), "no chunk was given"),
        (lambda: 3, "cannot be walked"),
        (lambda: iter(ROWS), r"the chunks \(chunk 0\) has 1 dimension"),
        ({"a": 1}, "a dict .* is no table of rows"),
    ],
)
def test_what_yields_no_chunks_is_refused(data, said):
    with pytest.raises(DataError, match=said):
        open_source(data)


def test_an_error_of_the_iterator_comes_through():
    def failing():
        yield ROWS
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fold_length(open_source(failing))


def test_a_list_of_chunks_can_be_pickled():
    source = pickle.loads(pickle.dumps(open_source(PARTS)))
    assert fold_length(source) == 23


MAKERS = {
    "record batches": lambda part: pa.RecordBatch.from_pydict(part),
    "Arrow tables": pa.table,
    "polars frames": pl.DataFrame,
    "pandas frames": pd.DataFrame,
    "arrays": lambda part: np.column_stack(list(part.values())),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("wrap", [list, tuple])
def test_lists_of_tables_are_given_to_every_method(name, wrap):
    rows = np.random.default_rng(0).normal(size=(400, 2)) + 4.0 * (np.arange(400)[:, None] % 2)
    parts = [{"a": part[:, 0], "b": part[:, 1]} for part in np.split(rows, [100, 150])]
    data = wrap(MAKERS[name](part) for part in parts)
    expected = GaussianMixture(2, random_state=0).fit(rows)
    model = GaussianMixture(2, random_state=0).fit(data)
    assert_array_equal(model.means_, expected.means_)
    assert_array_equal(model.predict(data), expected.predict(rows))
    assert_array_equal(model.fit_predict(data), expected.predict(rows))
    assert model.score(data) == expected.score(rows)
    learned = GaussianMixture(2, random_state=0).partial_fit(data).partial_fit(data)
    twice = GaussianMixture(2, random_state=0).partial_fit(rows).partial_fit(rows)
    assert_array_equal(learned.means_, twice.means_)
    found = select(data, [1, 2], "full", random_state=0).table["bic"]
    assert_array_equal(found, select(rows, [1, 2], "full", random_state=0).table["bic"])
