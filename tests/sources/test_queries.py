"""Rows out of databases on disk, asked for anew in every pass."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing

import adbc_driver_sqlite.dbapi
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy
from numpy.testing import assert_array_equal
from sources.rows import rows_of, walk

from fastgmm import GaussianMixture, select
from fastgmm.errors import DataError
from fastgmm.sources import open_source

N_ROWS = 12_000  # more than a cursor is asked for at a time
ROWS = np.random.default_rng(0).normal(size=(N_ROWS, 2)) + 5.0 * (np.arange(N_ROWS)[:, None] % 2)
TIMES = 1 + np.arange(N_ROWS) % 3
QUERY = "select a, b from t"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a database of SQLite and one of DuckDB."""
    folder = tmp_path_factory.mktemp("databases")
    records = [(*map(float, row), int(n), "x") for row, n in zip(ROWS, TIMES, strict=True)]
    with closing(sqlite3.connect(folder / "x.sqlite")) as connection:
        connection.execute("create table t (a real, b real, n integer, name text)")
        connection.executemany("insert into t values (?, ?, ?, ?)", records)
        connection.commit()
    table = pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1], "n": TIMES})
    with duckdb.connect(folder / "x.duckdb") as connection:
        connection.register("given", table)
        connection.execute("create table t as select * from given")
    return folder


@pytest.fixture
def sqlite(folder):
    with closing(sqlite3.connect(folder / "x.sqlite")) as connection:
        yield connection


@pytest.fixture
def duck(folder):
    with duckdb.connect(folder / "x.duckdb") as connection:
        yield connection


def by_sqlite3(folder):
    with closing(sqlite3.connect(folder / "x.sqlite")) as connection:
        yield lambda: connection.execute(QUERY)


def by_sqlalchemy(folder):
    engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'x.sqlite'}")
    with engine.connect() as connection:
        yield lambda: connection.execute(sqlalchemy.text(QUERY))
    engine.dispose()


def by_adbc(folder):
    uri = f"file:{folder / 'x.sqlite'}"
    with adbc_driver_sqlite.dbapi.connect(uri) as connection, connection.cursor() as cursor:
        yield lambda: cursor.execute(QUERY)


def by_pandas(folder):
    with closing(sqlite3.connect(folder / "x.sqlite")) as connection:
        yield lambda: pd.read_sql(QUERY, connection, chunksize=700)


def by_duckdb_relation(folder):
    with duckdb.connect(folder / "x.duckdb") as connection:
        yield connection.sql(QUERY)


def by_duckdb_execute(folder):
    with duckdb.connect(folder / "x.duckdb") as connection:
        yield lambda: connection.execute(QUERY)


def by_duckdb_sql(folder):
    with duckdb.connect(folder / "x.duckdb") as connection:
        yield lambda: connection.sql(QUERY)


def by_duckdb_polars(folder):
    with duckdb.connect(folder / "x.duckdb") as connection:
        yield lambda: connection.sql(QUERY).pl()


WAYS = [
    by_sqlite3,
    by_sqlalchemy,
    by_adbc,
    by_pandas,
    by_duckdb_relation,
    by_duckdb_execute,
    by_duckdb_sql,
    by_duckdb_polars,
]


@pytest.fixture(params=WAYS, ids=[way.__name__ for way in WAYS])
def asking(request, folder):
    yield from request.param(folder)


@pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")  # DuckDB's advice, to users
def test_a_query_is_fitted_scored_and_learned_as_its_rows(asking):
    settings = {"n_components": 2, "random_state": 0}
    expected = GaussianMixture(**settings).fit(ROWS)
    model = GaussianMixture(**settings).fit(asking)
    assert list(model.feature_names_in_) == ["a", "b"]
    assert_array_equal(model.means_, expected.means_)
    assert model.score(asking) == expected.score(ROWS)
    assert_array_equal(model.predict(asking), expected.predict(ROWS))
    learned = GaussianMixture(**settings).partial_fit(asking)
    assert_array_equal(learned.means_, GaussianMixture(**settings).partial_fit(ROWS).means_)


def test_a_query_is_searched_as_its_rows(sqlite):
    found = select(lambda: sqlite.execute(QUERY), [1, 2], "full", random_state=0)
    assert found.best_estimator_.n_components == 2
    assert_array_equal(
        found.table["bic"], select(ROWS, [1, 2], "full", random_state=0).table["bic"]
    )


def test_columns_and_weights_of_a_query_are_chosen_by_name(sqlite, duck):
    for data in (lambda: sqlite.execute("select * from t"), duck.table("t")):
        rows, weights = walk(open_source(data, ["b"], "n"), 5_000)
        assert_array_equal(rows[:, 0], ROWS[:, 1])
        assert_array_equal(weights, TIMES)
    with pytest.raises(DataError, match=r"no column 'c'; its columns are 'a', 'b', 'n', 'name'"):
        open_source(lambda: sqlite.execute("select * from t"), ["c"])


def test_rows_of_a_cursor_are_taken_as_many_at_a_time_as_asked(sqlite):
    asked = []

    class Watched(sqlite3.Cursor):
        def fetchmany(self, size):
            asked.append(size)
            return super().fetchmany(size)

    rows = rows_of(lambda: sqlite.cursor(Watched).execute(QUERY), chunk_rows=700)
    assert_array_equal(rows, ROWS)
    assert set(asked) == {700}


def test_integers_and_numbers_without_a_type_are_numbers(sqlite):
    query = "select n, 1 one, n > 1 more, case when n > 2 then 0.5 else n end mixed from t"
    expected = np.c_[TIMES, np.ones(N_ROWS), TIMES > 1, np.where(TIMES > 2, 0.5, TIMES)]
    assert_array_equal(rows_of(lambda: sqlite.execute(query)), expected)


def test_rows_may_be_dictionaries(sqlite, folder):
    def as_dictionary(cursor, row):
        return dict(zip([each[0] for each in cursor.description], row, strict=True))

    sqlite.row_factory = as_dictionary
    assert_array_equal(rows_of(lambda: sqlite.execute(QUERY)), ROWS)
    engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'x.sqlite'}")
    with engine.connect() as connection:
        query = sqlalchemy.text(QUERY)
        assert_array_equal(rows_of(lambda: connection.execute(query).mappings()), ROWS)
    engine.dispose()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select a, name from t", "row 0 .* holds the text 'x' in column 'name'"),
        ("select a, nullif(n, 3) n from t", "row 2 .* holds no value .* in column 'n'"),
        ("select a, a from t", "column 'a' stands twice"),
        ("create table if not exists u (a)", "the query gave no columns"),
        ("select a from t where a > 1000", "the chunks has no rows|holds no rows"),
    ],
)
def test_an_answer_that_is_no_rows_of_numbers_is_named(sqlite, query, said):
    with pytest.raises(DataError, match=said):
        GaussianMixture(2).fit(lambda: sqlite.execute(query))


def test_a_row_is_named_by_its_number_in_the_whole_answer(sqlite):
    query = f"select a, case when rowid = {N_ROWS - 5} then null else b end b from t"
    with pytest.raises(DataError, match=rf"row {N_ROWS - 6} of the chunks .*no value .* 'b'"):
        GaussianMixture(2).fit(lambda: sqlite.execute(query))


@pytest.mark.parametrize("name", ["x.sqlite", "x.duckdb"])
def test_the_file_of_a_database_is_refused_with_what_asks_it(folder, name):
    with pytest.raises(DataError, match=f"{name} is the file of a database; give what asks it"):
        open_source(folder / name)


def test_what_answers_only_once_is_refused_with_what_asks_anew(folder, sqlite, duck):
    engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'x.sqlite'}")
    with engine.connect() as connection:
        result = connection.execute(sqlalchemy.text(QUERY))
        for data in (sqlite, sqlite.execute(QUERY), engine, connection, result):
            with pytest.raises(DataError, match=r"give what asks anew, lambda: connection.execute"):
                GaussianMixture(2).fit(data)
    engine.dispose()
    with pytest.raises(DataError, match=r"give what asks anew, connection.sql\(query\), a rel"):
        GaussianMixture(2).fit(duck)
    with pytest.raises(DataError, match="returned None; where execute"):
        GaussianMixture(2).fit(lambda: None)
    with pytest.raises(DataError, match=r"URL of a database; give what asks it: a DuckDB relation"):
        GaussianMixture(2).fit(f"duckdb:///{folder / 'x.duckdb'}?query={QUERY}")


def test_a_function_may_return_all_rows_at_once(sqlite, folder, duck):
    for data in (
        lambda: sqlite.execute(QUERY).fetchall(),
        lambda: duck.execute(QUERY).fetchall(),
        lambda: ROWS.tolist(),
        lambda: ROWS,
    ):
        source = open_source(data, chunk_rows=700)
        assert source.feature_names is None
        assert_array_equal(walk(source, 5_000)[0], ROWS)
    sqlite.row_factory = sqlite3.Row
    engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'x.sqlite'}")
    with engine.connect() as connection:
        for data in (
            lambda: sqlite.execute(QUERY).fetchall(),
            lambda: connection.execute(sqlalchemy.text(QUERY)).fetchall(),
            lambda: list(pd.DataFrame(ROWS, columns=["a", "b"]).itertuples(index=False)),
        ):
            source = open_source(data)
            assert source.feature_names == ("a", "b")  # as rows of these kinds know
            assert_array_equal(walk(source, 5_000)[0], ROWS)
    engine.dispose()


def test_a_cell_of_rows_at_once_is_named_and_so_is_a_row_that_is_short():
    with pytest.raises(DataError, match=r"row 1 of the chunks .*no value"):
        GaussianMixture(2).fit(lambda: [(1.0, 2.0), (None, 1.0)])
    with pytest.raises(DataError, match="not a table of numbers"):
        GaussianMixture(2).fit(lambda: [(1.0, 2.0), (1.0,)])


def test_other_answers_are_refused_with_the_way_out(sqlite, duck, tmp_path):
    sqlite.row_factory = lambda cursor, row: {"a": row[0], "b": row[1]}
    for data, said in (
        (lambda: duck.execute(QUERY).fetchnumpy(), r"a dict \(of 'a', 'b'\) .*pandas.DataFrame"),
        (lambda: sqlite.execute(QUERY).fetchall(), r"of dictionaries .*: pandas.DataFrame\(data\)"),
        (lambda: [duck.execute(QUERY).fetchnumpy()], r"\[pandas.DataFrame\(each\) for each in"),
        (lambda: "x.csv", "returned the str 'x.csv'; give it itself"),
        (lambda: pl.LazyFrame({"a": [1.0]}), r"returned the LazyFrame .*; give it itself"),
        (lambda: io.BytesIO(), "a BytesIO is an open file"),
    ):
        with pytest.raises(DataError, match=said):
            GaussianMixture(2).fit(data)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.Table.from_pydict])
def test_a_function_may_return_one_table(make):
    table = make({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    assert_array_equal(rows_of(lambda: table), ROWS)
