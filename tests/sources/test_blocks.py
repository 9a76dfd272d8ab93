import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sources.rows import some_rows, walk

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import blocks, open_source, with_weights

ROWS = some_rows(60)


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, 60), max_size=12), block_rows=st.integers(1, 70))
def test_any_chunking_gives_the_same_blocks_bit_for_bit(cuts, block_rows):
    chunks = np.split(ROWS, sorted(cuts))
    source = with_weights(open_source(chunks), np.arange(60))
    found, expected = blocks(source, block_rows), blocks(open_source(ROWS), block_rows)
    for block, whole in zip(found, expected, strict=True):
        assert_array_equal(block.rows, whole.rows)
        assert block.start == whole.start
        assert_array_equal(block.weights, np.arange(60)[block.start : block.start + block_rows])


def test_blocks_of_an_array_are_views_of_it():
    assert all(np.shares_memory(block.rows, ROWS) for block in blocks(open_source(ROWS), 7))


def test_blocks_cannot_be_written_to_and_leave_the_array_writable():
    rows = ROWS.copy()
    block = next(blocks(open_source(rows), 60))
    assert not block.rows.flags.writeable
    assert rows.flags.writeable


def test_a_chunk_may_be_written_over_by_the_next_one():
    def reusing_one_buffer():
        buffer = np.empty((5, 3))
        for start in range(0, 60, 5):
            buffer[:] = ROWS[start : start + 5]
            yield buffer

    source = open_source(reusing_one_buffer)
    for _ in range(2):
        found = [(block.start, block.rows.copy()) for block in blocks(source, 7)]
        assert_array_equal(np.concatenate([rows for _, rows in found]), ROWS)


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "no value .NaN or"), (np.inf, "inf"), (-np.inf, "inf")]
)
@pytest.mark.parametrize("row", [0, 31, 59])
def test_a_number_that_is_not_finite_is_named(value, said, row):
    rows = ROWS.copy()
    rows[row, 1] = value
    with pytest.raises(DataError, match=rf"row {row} of .* holds {said}.* in column 1; drop"):
        open_source(rows)
    source = open_source(np.array_split(rows, 7))
    for _ in range(2):
        with pytest.raises(
            DataError, match=f"row {row} of the chunks .* holds {said}.* in column 1"
        ):
            walk(source)


def test_float32_whose_sum_overflows_is_still_finite():
    rows = np.full((100, 2), 3e38, np.float32)
    assert_array_equal(walk(open_source(rows))[0], rows)


def test_a_bad_number_in_a_row_of_weight_zero_is_refused():
    rows = ROWS.copy()
    rows[5, 0] = np.nan
    with pytest.raises(DataError, match="row 5 "):
        open_source(rows, weight=2)


@pytest.mark.parametrize(
    ("weight", "said"),
    [(-1.0, "negative weight -1"), (np.nan, "weight NaN"), (np.inf, "infinite weight")],
)
def test_a_bad_weight_in_a_later_chunk_is_named(weight, said):
    rows = np.abs(ROWS)
    rows[41, 0] = weight
    source = open_source(list(np.split(rows, 6)), weight=0)
    with pytest.raises(DataError, match=f"row 41 of the chunks .* has .*{said}"):
        walk(source)


def test_weights_that_are_all_zero_or_sum_to_infinity_are_refused():
    rows = ROWS.copy()
    rows[:, 0] = 0
    with pytest.raises(DataError, match="all weights of the array are zero"):
        open_source(rows, weight=0)
    rows[:, 0] = 1e308
    with pytest.raises(DataError, match="add up to infinity"):
        open_source(rows, weight=0)


def test_another_number_of_rows_in_a_later_pass_is_an_error_with_both_numbers():
    lengths = iter([60, 60, 48])
    source = open_source(lambda: [ROWS[: next(lengths)]])
    walk(source)
    walk(source)
    with pytest.raises(SourceChangedError, match=r"gave 48 rows in this pass and 60 before"):
        walk(source)
