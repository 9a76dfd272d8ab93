import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sources.rows import kept, some_rows

from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows(5000)
TABLE = pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1].astype("f4"), "w": np.arange(5000)})


class Stream:
    """Speaks the Arrow stream protocol, as often as it is told to."""

    def __init__(self, *tables):
        self.tables = list(tables)

    def __arrow_c_stream__(self, requested_schema=None):
        table = self.tables.pop(0)  # IndexError when there are no more
        return table.__arrow_c_stream__(requested_schema)


def test_a_duckdb_relation_is_streamed_in_every_pass():
    with duckdb.connect() as connection:
        connection.register("points", TABLE)
        relation = connection.sql("select a, b, w from points where w < 4500")
        source = open_source(relation, ["b", "a"], "w", chunk_rows=700)
        assert source.feature_names == ("b", "a")
        assert source.dtype == np.float64
        for _ in range(2):
            found = kept(source, 1000)
            assert_array_equal(np.concatenate([b.rows[:, 1] for b in found]), ROWS[:4500, 0])
            assert_array_equal(np.concatenate([b.weights for b in found]), np.arange(4500))
        assert source.n_rows == 4500


def test_nulls_in_a_stream_are_named_by_row_and_column():
    with duckdb.connect() as connection:
        relation = connection.sql(
            "select case when range = 3000 then null else range::double end as a from range(4000)"
        )
        source = open_source(relation)
        with pytest.raises(DataError, match=r"row 3000 of .* holds no value .*'a'"):
            source.fold(len, max, 100)


def test_a_stream_that_can_be_had_only_once_is_refused():
    with pytest.raises(DataError, match=r"the Stream gives its Arrow stream only once.*callable"):
        open_source(Stream(TABLE))


def test_a_stream_that_ends_or_changes_is_an_error():
    shorter = TABLE.slice(0, 4000)
    source = open_source(Stream(TABLE, TABLE, TABLE, shorter))
    assert source.fold(lambda block: len(block.rows), int.__add__, 1000) == 5000
    with pytest.raises(SourceChangedError, match="gave 4000 rows in this pass and 5000 before"):
        source.fold(len, max, 1000)
    with pytest.raises(SourceChangedError, match="other columns in its second stream"):
        open_source(Stream(TABLE, TABLE.select(["a"])))


@pytest.mark.parametrize("data", [pa.chunked_array([[1.0]]), pl.Series([1.0]), pa.array([1.0])])
def test_a_single_column_is_refused_with_the_way_out(data):
    with pytest.raises(DataError, match="Reshape your data"):
        open_source(data)


def test_a_stream_of_no_table_is_refused():
    with pytest.raises(DataError, match=r"not a table of rows and columns.*Reshape your data"):
        open_source(Stream(*[pa.chunked_array([[1.0]])] * 2))
