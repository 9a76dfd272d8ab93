"""Lazy frames and Arrow datasets: the same rows in every pass, and never all at once."""

import itertools

import h5py
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zarr
from numpy.testing import assert_array_equal
from sources.rows import kept, some_rows

from fastgmm import GaussianMixture
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source, queries

ROWS = some_rows(300)
COLUMNS = {name: ROWS[:, j] for j, name in enumerate("abc")}


def fold(source):
    return source.fold(lambda block: len(block.rows), int.__add__, 64)


@pytest.mark.parametrize("chunk_rows", [None, 17])
@pytest.mark.parametrize("streams", [True, False])
def test_a_lazy_frame_is_computed_anew_in_every_pass(chunk_rows, streams, monkeypatch):
    if not streams:
        monkeypatch.delattr(pl.LazyFrame, "collect_batches", raising=False)
    lazy = pl.LazyFrame(COLUMNS).with_columns(w=pl.col("a").abs()).filter(pl.col("b") > 0)
    source = open_source(lazy, ["c", "a"], "w", chunk_rows)
    assert (source.feature_names, source.n_rows) == (("c", "a"), None)
    chosen = ROWS[ROWS[:, 1] > 0]
    for _ in range(2):
        found = [row for block in kept(source, 32) for row in block.rows]
        assert_array_equal(found, chosen[:, [2, 0]])
    model = GaussianMixture(2, random_state=0).fit(lazy.select("a", "b"))
    assert list(model.feature_names_in_) == ["a", "b"]


def test_a_lazy_frame_of_other_rows_is_noticed():
    drawn = itertools.count()  # Polars before 1.37 calls once more, for the schema
    lazy = pl.LazyFrame(COLUMNS).map_batches(lambda frame: frame + float(next(drawn)))
    source = open_source(lazy)
    fold(source)
    with pytest.raises(SourceChangedError, match="the LazyFrame gave other numbers"):
        fold(source)


def test_text_and_nulls_of_a_lazy_frame_are_named():
    with pytest.raises(DataError, match="column 't' of the LazyFrame holds"):
        open_source(pl.LazyFrame({"t": ["x"]}))
    nulls = open_source(pl.LazyFrame({"a": [1.0] * 70 + [None]}), chunk_rows=10)
    with pytest.raises(DataError, match="row 70 of the LazyFrame holds no value"):
        fold(nulls)


@pytest.fixture(params=["parquet", "feather", "csv", "memory"])
def dataset(request, tmp_path):
    table = pa.table(COLUMNS)
    if request.param == "memory":
        return ds.InMemoryDataset(table)
    ds.write_dataset(
        table, tmp_path, format=request.param, max_rows_per_file=128, max_rows_per_group=64
    )
    return ds.dataset(tmp_path, format=request.param)


@pytest.mark.parametrize("chunk_rows", [None, 17])
def test_a_dataset_of_any_format_gives_its_rows_in_order(dataset, chunk_rows):
    assert_array_equal(rows_of_unknown(dataset, chunk_rows), ROWS)
    assert open_source(dataset, ["b"]).feature_names == ("b",)


def rows_of_unknown(data, chunk_rows):
    source = open_source(data, chunk_rows=chunk_rows)
    assert fold(source) == source.n_rows == 300
    return [row for block in kept(source, 64) for row in block.rows]


def test_a_filtered_dataset_is_pushed_down(tmp_path):
    pq.write_table(pa.table(COLUMNS), tmp_path / "x.parquet")
    positive = ds.dataset(tmp_path).filter(ds.field("a") > 0)
    assert fold(open_source(positive)) == (ROWS[:, 0] > 0).sum()


@pytest.mark.parametrize("suffix", ["arrow", "arrows"])
def test_a_stream_in_a_file_is_read_as_a_file_is(tmp_path, suffix):
    path, table = tmp_path / f"x.{suffix}", pa.table(COLUMNS)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=70)
    source = open_source(path, ["c", "a"])
    fold(source)
    assert_array_equal([row for b in kept(source, 64) for row in b.rows], ROWS[:, [2, 0]])
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(SourceChangedError, match="changed since it was opened"):
        fold(source)
    with pytest.raises(DataError, match="cannot read x"):
        fold(open_source(path))


OPENED = {
    "Dataset": ds.dataset,
    "ParquetFile": pq.ParquetFile,
    "ParquetDataset": pq.ParquetDataset,
    "Scanner": lambda path: ds.dataset(path).scanner(),
}


@pytest.fixture
def stored(tmp_path):
    """A Parquet file with a column of text and one of weights."""
    table = pa.table(COLUMNS | {"t": ["x"] * len(ROWS), "w": np.arange(len(ROWS)) % 3 + 1.0})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=70)
    return tmp_path / "x.parquet"


@pytest.mark.parametrize("kind", OPENED)
@pytest.mark.parametrize("chunk_rows", [None, 17])
def test_what_a_function_opens_is_opened_anew_in_every_pass(kind, chunk_rows, stored):
    opened = []

    def ask():
        opened.append(OPENED[kind](stored))
        return opened[-1]

    source = open_source(ask, ["c", "a"], "w", chunk_rows)
    for n_passes in (1, 2, 3):
        found = [(block.rows, block.weights) for block in kept(source, 64)]
        assert_array_equal(np.concatenate([rows for rows, _ in found]), ROWS[:, [2, 0]])
        weights = np.concatenate([weights for _, weights in found])
        assert_array_equal(weights, np.arange(len(ROWS)) % 3 + 1.0)
        assert len(opened) == n_passes
    expected = GaussianMixture(2, random_state=0).fit(open_source(stored, ["a", "b"], "w"))
    model = GaussianMixture(2, random_state=0).fit(open_source(ask, ["a", "b"], "w"))
    assert_array_equal(model.means_, expected.means_)
    with pytest.raises(DataError, match="column 't'"):
        open_source(ask)
    with pytest.raises(DataError, match="no column 'z'"):
        open_source(ask, ["z"])


@pytest.mark.parametrize("kind", ["Dataset", "ParquetFile"])
def test_only_the_columns_that_are_asked_for_are_read_of_what_a_function_opens(
    kind, stored, monkeypatch
):
    read = []

    def noted(made, how):
        batches = opened(made, how)
        for batch in batches or ():
            read.append(batch.schema.names)
            yield batch

    opened = queries._opened
    monkeypatch.setattr(queries, "_opened", noted)
    fold(open_source(lambda: OPENED[kind](stored), ["c"], "w"))
    assert read
    assert all(sorted(names) == ["c", "w"] for names in read)


def test_a_file_that_a_function_opens_may_not_change(stored):
    source = open_source(lambda: ds.dataset(stored), ["a"])
    fold(source)
    pq.write_table(pa.table({"a": ROWS[:, 1]}), stored)
    with pytest.raises(SourceChangedError, match="gave other numbers"):
        fold(source)


def test_what_needs_no_function_is_refused_as_its_answer(stored, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=ROWS)
        answers = [stored, str(stored), [stored], open_source(stored, ["a"]), dataset]
        for answer in [*answers, zarr.array(ROWS), pl.scan_parquet(stored)]:
            with pytest.raises(DataError, match="give it itself, not a function of it"):
                open_source(lambda answer=answer: answer)


@pytest.mark.parametrize("chunk_rows", [None, 17])
def test_fragments_of_a_dataset_are_read(stored, tmp_path, chunk_rows):
    (fragment,) = ds.dataset(stored).get_fragments()
    source = open_source(fragment, ["c", "a"], "w", chunk_rows)
    for _ in range(2):
        found = [(block.rows, block.weights) for block in kept(source, 64)]
        assert_array_equal(np.concatenate([rows for rows, _ in found]), ROWS[:, [2, 0]])
        weights = np.concatenate([weights for _, weights in found])
        assert_array_equal(weights, np.arange(len(ROWS)) % 3 + 1.0)
    groups = fragment.split_by_row_group()
    read = np.concatenate([block.rows for block in kept(open_source(groups[1:], ["a"]), 64)])
    assert_array_equal(read, ROWS[70:, :1])
    with pytest.raises(DataError, match="column 't' of the Fragment holds string"):
        open_source(fragment)
    (arrow,) = ds.dataset(_as_ipc(tmp_path), format="ipc").get_fragments()
    assert_array_equal(np.concatenate([b.rows for b in kept(open_source(arrow), 64)]), ROWS)


def _as_ipc(folder):
    table = pa.table(COLUMNS)
    with pa.ipc.new_file(folder / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    return folder / "x.arrow"
