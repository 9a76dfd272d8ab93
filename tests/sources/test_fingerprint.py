"""Other rows in a later pass are noticed, the same in another order are not minded."""

from itertools import pairwise

import numpy as np
import pytest
from sources.rows import some_rows

from fastgmm.errors import SourceChangedError
from fastgmm.sources import Block, open_source
from fastgmm.sources.fingerprint import Fingerprint, mark

ROWS = some_rows(200)
WEIGHTS = np.random.default_rng(1).random(200)


def fingerprint(rows, weights=None, cuts=()):
    found = Fingerprint(rows.shape[1], rows.dtype)
    edges = [0, *cuts, len(rows)]
    for start, stop in pairwise(edges):
        part = None if weights is None else weights[start:stop]
        found.add(Block(np.ascontiguousarray(rows[start:stop]), part, start))
    return found.value


def changed(at, value):
    rows = ROWS.copy()
    rows[at] = value
    return rows


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_neither_blocks_nor_the_order_of_rows_show(dtype, weights):
    rows = ROWS.astype(dtype)
    order = np.random.default_rng(2).permutation(len(rows))
    shuffled = fingerprint(rows[order], None if weights is None else weights[order])
    assert fingerprint(rows, weights) == fingerprint(rows, weights, [3, 70, 71]) == shuffled


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("weights", [None, WEIGHTS, np.zeros(200)])
@pytest.mark.parametrize(
    "other",
    [
        changed((17, 2), np.float32(0.5)),
        changed((199, 0), np.nextafter(np.float32(ROWS[199, 0]), np.float32(9))),
        ROWS[:, [1, 0, 2]],
        np.where(np.arange(200)[:, None] == 9, ROWS[9, ::-1], ROWS),
        -ROWS,
        np.random.default_rng(3).normal(size=ROWS.shape),
    ],
    ids=["a number", "its last bit", "columns swapped", "one row turned", "signs", "drawn anew"],
)
def test_what_changes_shows(other, weights, dtype):
    assert fingerprint(other.astype(dtype), weights) != fingerprint(ROWS.astype(dtype), weights)


def test_weights_given_to_other_rows_show():
    assert fingerprint(ROWS, WEIGHTS) != fingerprint(ROWS, WEIGHTS[::-1].copy())
    assert fingerprint(ROWS, WEIGHTS) != fingerprint(ROWS, 2 * WEIGHTS)


@pytest.mark.parametrize("width", [1, 2, 7, 600])  # float32 in pairs and alone, rows abreast or not
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_of_any_width_are_added_in_any_order_and_looked_at(width, dtype):
    rows = some_rows(1100, width).astype(dtype)
    order = np.random.default_rng(2).permutation(len(rows))
    assert fingerprint(rows) == fingerprint(rows[order], cuts=[5, 600])
    assert fingerprint(rows) != fingerprint(-rows)
    found = Fingerprint(width, rows.dtype)
    assert found.add(Block(rows, None, 0))
    for at in [0, 511, 1099]:
        for value in [np.nan, np.inf, -np.inf]:
            bad = rows.copy()
            bad[at, width - 1] = value
            assert not found.add(Block(bad, None, 0))
    assert found.add(Block(np.full((4, width), np.finfo(dtype).max, dtype), None, 0))


def fold(source):
    return source.fold(lambda block: len(block.rows), int.__add__, 64)


def test_a_loader_that_draws_anew_is_an_error_and_one_that_shuffles_is_not():
    rng = np.random.default_rng(0)
    shuffled = open_source(lambda: np.split(rng.permutation(ROWS), 4))
    assert [fold(shuffled), fold(shuffled)] == [200, 200]
    drawn = open_source(lambda: [rng.normal(size=(200, 3))])
    fold(drawn)
    with pytest.raises(SourceChangedError, match=r"the chunks gave other numbers .* drawn at"):
        fold(drawn)


def test_a_mapped_file_that_is_written_to_between_passes_is_an_error(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    source = open_source(mapped)
    fold(source)
    mapped[3, 1] += 1.0
    with pytest.raises(SourceChangedError, match="the array gave other numbers"):
        fold(source)


def marked(rows, weights=None, cuts=()):
    edges = [0, *cuts, len(rows)]
    parts = [
        Block(np.ascontiguousarray(rows[a:b]), None if weights is None else weights[a:b].copy(), a)
        for a, b in pairwise(edges)
    ]
    return sum(map(mark, parts)) % 2**64


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_mark_is_of_the_rows_in_any_order_and_of_every_bit(dtype, weights):
    rows = ROWS.astype(dtype)
    order = np.random.default_rng(2).permutation(len(rows))
    expected = marked(rows, weights)
    assert marked(rows, weights, [3, 70, 71]) == expected
    assert marked(rows[order], None if weights is None else weights[order]) == expected
    for at in [(0, 0), (17, 2), (199, 1)]:
        other = rows.copy()
        other[at] = np.nextafter(other[at], np.float32(9))
        assert marked(other, weights) != expected
    assert marked(rows[:, [1, 0, 2]], weights) != expected
    if weights is not None:
        assert marked(rows, weights[::-1]) != expected
        assert marked(rows) != expected


def test_a_mark_shows_numbers_that_change_places_where_sums_over_columns_do_not():
    exchanged = ROWS.copy()
    exchanged[[3, 9], 1] = ROWS[[9, 3], 1]
    assert fingerprint(exchanged) == fingerprint(ROWS)
    assert marked(exchanged) != marked(ROWS)
    coded = np.tile(np.eye(2), (100, 1))  # one-hot, beside a third column
    coded = np.column_stack([coded, np.arange(200.0)])
    exchanged = coded.copy()
    exchanged[[3, 8], :2] = coded[[8, 3], :2]
    assert marked(exchanged) != marked(coded)
