import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sources.rows import rows_of, some_rows, walk

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import blocks, open_source, with_weights

ROWS = some_rows()
PACKED = np.zeros(23, [("skip", "i1"), ("x", "f8", (3,))])
PACKED["x"] = ROWS


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(ROWS),
        np.repeat(np.repeat(ROWS, 2, axis=0), 2, axis=1)[::2, ::2],
        ROWS[::-1, ::-1].copy()[::-1, ::-1],
        ROWS.astype(">f8"),
        PACKED["x"],
        ROWS.astype("g"),
        ROWS.astype(object),
        ROWS.view(np.matrix),
    ],
    ids=["fortran", "strided", "negative", "big-endian", "unaligned", "long", "object", "matrix"],
)
def test_every_layout_gives_the_same_bits(array):
    assert_array_equal(rows_of(array), ROWS)


def test_a_broadcast_row_is_copied_block_by_block():
    assert_array_equal(rows_of(np.broadcast_to(ROWS[0], (9, 3))), np.tile(ROWS[0], (9, 1)))


@pytest.mark.parametrize("dtype", ["f2", "i1", "u4", "i8", "?"])
def test_other_numbers_become_float64(dtype):
    rows = (ROWS * 10).astype(dtype)
    assert open_source(rows).dtype == np.float64
    assert_array_equal(rows_of(rows), rows.astype("f8"))


def test_float32_stays_without_a_copy():
    rows = ROWS.astype("f4")
    assert all(np.shares_memory(block.rows, rows) for block in blocks(open_source(rows), 5))


@pytest.mark.parametrize("chunk_rows", [None, 1, 6])
def test_columns_of_an_array_are_chosen_by_number(chunk_rows):
    rows, weights = walk(open_source(np.abs(ROWS), [2, 0], 1, chunk_rows))
    assert_array_equal(rows, np.abs(ROWS)[:, [2, 0]])
    assert_array_equal(weights, np.abs(ROWS)[:, 1])
    assert_array_equal(rows_of(ROWS, chunk_rows=chunk_rows), ROWS)


def test_messages_name_the_column_by_its_number_in_the_array():
    rows = ROWS.copy()
    rows[4, 2] = np.nan
    with pytest.raises(
        DataError, match=r"row 4 of the array holds no value .NaN or null. in column 2"
    ):
        open_source(rows, columns=[2, 0])


def test_a_memory_map_is_checked_in_every_pass_and_never_written(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for array in (mapped, np.asarray(mapped)[2:]):
        source = open_source(array)
        assert not source.checked
        assert_array_equal(walk(source)[0], array)
    writable = np.load(tmp_path / "x.npy", mmap_mode="r+")
    source = open_source(writable)
    writable[3, 1] = np.nan
    with pytest.raises(DataError, match="row 3 "):
        walk(source)


def test_sources_of_arrays_can_be_pickled():
    source = pickle.loads(pickle.dumps(with_weights(open_source(ROWS), np.arange(23))))
    rows, weights = walk(source)
    assert_array_equal(rows, ROWS)
    assert_array_equal(weights, np.arange(23))


def test_weights_go_with_the_rows_of_any_source():
    for data in (ROWS, np.array_split(ROWS, 5), lambda: iter(np.array_split(ROWS, 5))):
        source = with_weights(open_source(data), range(23))
        for _ in range(2):
            rows, weights = walk_counted(source)
            assert_array_equal(rows, ROWS)
            assert_array_equal(weights, np.arange(23))


def walk_counted(source):
    source.fold(lambda block: len(block.rows), int.__add__, 6)
    return walk(source)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, -2.0, 1.0], "row 1 of the array has the negative weight -2"),
        ([1.0, 1.0, np.nan], "row 2 of the array has the weight NaN"),
        ([np.inf, 1.0, 1.0], "row 0 of the array has an infinite weight"),
        ([0, 0, 0], "all weights of the array are zero"),
        ([1e308] * 3, "add up to infinity"),
        ([1.0, 1.0], "2 sample weights were given for 3 rows of the array"),
        (np.ones((3, 1)), r"must be 1-d, one for each row; these have the shape \(3, 1\)"),
        (1.0, r"must be 1-d"),
        (["a", "b", "c"], "holds the text 'a'"),
        ([1j, 1, 1], "Complex data not supported"),
    ],
)
def test_each_bad_weight_has_its_own_text(weights, said):
    with pytest.raises(DataError, match=said):
        with_weights(open_source(ROWS[:3]), weights)


@pytest.mark.parametrize("n_weights", [20, 26])
def test_weights_of_another_number_than_the_rows_are_found_in_the_pass(n_weights):
    source = with_weights(open_source(lambda: iter([ROWS, ROWS[:2]])), np.ones(n_weights))
    with pytest.raises(DataError, match=f"{n_weights} sample weights were given for .*2[35] rows"):
        walk(source)


def test_weights_are_given_once():
    source = open_source(np.abs(ROWS), weight=2)
    with pytest.raises(DataError, match="from its column 2; give weights there or as an array"):
        with_weights(source, np.ones(23))


def test_weights_are_a_copy():
    weights = np.ones(23)
    source = with_weights(open_source(ROWS), weights)
    weights[:] = -1
    assert_array_equal(walk(source)[1], np.ones(23))


def test_a_map_of_a_file_that_was_cut_is_an_error_and_not_the_end(tmp_path):
    np.save(tmp_path / "x.npy", some_rows(5000))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = open_source(mapped[10:, :2])
    walk(source, 1000)
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(8192)
    with pytest.raises(SourceChangedError, match=r"maps 120128 bytes of .* has 8192 by now"):
        walk(source, 1000)
