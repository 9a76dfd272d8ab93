"""A column of classes: no feature, and the same cells from whatever rows are read from."""

from __future__ import annotations

import sqlite3

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zarr
from numpy.testing import assert_array_equal
from pyarrow import dataset, feather, parquet

from fastgmm import BayesianGaussianMixture, DataError, GaussianMixture, open_source, select
from fastgmm.estimators.validation.labels import classes_of
from fastgmm.sources import with_weights

ROWS = np.random.default_rng(0).normal(size=(60, 2))
ROWS[:30] += 5.0
NAMES = np.array([None if i % 3 else ("near", "far")[i < 30] for i in range(60)], object)
CODES = np.array([-1 if i % 3 else int(i >= 30) for i in range(60)])  # far is the first
FRAME = pd.DataFrame({"x": ROWS[:, 0], "species": NAMES, "y": ROWS[:, 1]})
NUMBERS = np.column_stack([ROWS[:, 0], CODES, ROWS[:, 1]])


def cells_of(source):
    found = classes_of(None, source)
    return found.names.tolist(), found.labels.tolist()


def of_sqlite(path):
    connection = sqlite3.connect(path)
    FRAME.to_sql("points", connection, index=False)
    return lambda: connection.execute("select * from points order by rowid")


def made(kind, folder):
    """Return the frame in some form."""
    path = folder / f"points.{kind}"
    match kind:
        case "pandas":
            return FRAME
        case "categories":
            return FRAME.astype({"species": "category"})
        case "polars":
            return pl.from_pandas(FRAME)
        case "lazy":
            return pl.from_pandas(FRAME).lazy()
        case "arrow table":
            return pa.Table.from_pandas(FRAME)
        case "dictionary":
            table = pa.Table.from_pandas(FRAME)
            return table.set_column(1, "species", table["species"].dictionary_encode())
        case "csv":
            FRAME.to_csv(path, index=False)
        case "csv.gz":
            FRAME.to_csv(path, index=False)
        case "parquet":
            FRAME.to_parquet(path)
        case "arrow":
            feather.write_feather(FRAME, path)
        case "several":
            FRAME[:20].to_csv(folder / "a.csv", index=False)
            FRAME[20:].to_csv(folder / "b.csv", index=False)
            return [folder / "a.csv", folder / "b.csv"]
        case "dataset":
            parquet.write_table(pa.Table.from_pandas(FRAME), path)
            return dataset.dataset(path)
        case "chunks":
            return lambda: iter([FRAME[:7], FRAME[7:]])
        case "list":
            return [FRAME[:7], FRAME[7:]]
        case "sqlite":
            return of_sqlite(path)
    return path


TEXTS = ("pandas", "categories", "polars", "lazy", "arrow table", "dictionary", "csv", "csv.gz",
         "parquet", "arrow", "several", "dataset", "chunks", "list", "sqlite")  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_classes_are_read_from_a_column_of_names(kind, tmp_path):
    source = open_source(made(kind, tmp_path), label="species")
    assert list(source.labels) == ["x", "y"]
    assert cells_of(source) == (["far", "near"], CODES.tolist())
    assert_array_equal(source.first_rows(60).rows, ROWS)
    assert cells_of(source) == (["far", "near"], CODES.tolist())  # and once more


@pytest.mark.parametrize("suffix", ["npy", "h5", "zarr", "csv", "array"])
def test_classes_are_read_from_a_numbered_column(suffix, tmp_path):
    path = tmp_path / f"points.{suffix}"
    match suffix:
        case "npy":
            np.save(path, NUMBERS)
        case "h5":
            with h5py.File(path, "w") as file:
                file["points"] = NUMBERS
        case "zarr":
            zarr.save_array(path, NUMBERS)
        case "csv":
            table = "\n".join(f"{x!r},{c:.0f},{y!r}" for x, c, y in NUMBERS.tolist())
            path.write_text(table)
    source = open_source(NUMBERS if suffix == "array" else path, label=1)
    assert list(source.labels) == [0, 2]
    assert cells_of(source) == ([0, 1], CODES.tolist())
    assert_array_equal(source.first_rows(60).rows, ROWS)


@pytest.mark.parametrize("kind", ["pandas", "csv", "parquet", "chunks"])
def test_a_fit_takes_the_column_for_labels(kind, tmp_path):
    expected = GaussianMixture(2, random_state=0).fit(ROWS, labels=NAMES)
    source = open_source(made(kind, tmp_path), label="species")
    found = GaussianMixture(2, random_state=0).fit(source)
    assert_array_equal(found.means_, expected.means_)
    assert found.classes_.tolist() == ["far", "near"]
    assert found.bic(source) == expected.bic(ROWS, labels=NAMES)
    weighted = with_weights(source, np.ones(60))
    again = GaussianMixture(2, random_state=0).fit(weighted)
    assert again.classes_.tolist() == ["far", "near"]


def test_columns_and_weights_stand_beside_it(tmp_path):
    frame = FRAME.assign(w=1.0)
    for data in (frame, made("csv", tmp_path)):
        source = open_source(
            data, columns=["y"], label="species", weight="w" if data is frame else None
        )
        assert list(source.labels) == ["y"]
        assert cells_of(source)[0] == ["far", "near"]


@pytest.mark.parametrize(("settings", "said"), [
    ({"columns": ["x", "species"], "label": "species"}, "labels and be a feature"),
    ({"weight": "y", "label": "y"}, "labels and be a feature or the weight"),
    ({"label": "kind"}, "kind"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["pandas", "csv", "parquet"])
def test_a_column_that_cannot_be_it_is_refused(kind, settings, said, tmp_path):
    with pytest.raises(DataError, match=said):
        open_source(made(kind, tmp_path), **settings)


def test_labels_in_two_places_are_refused():
    source = open_source(FRAME, label="species")
    with pytest.raises(DataError, match="not both"):
        GaussianMixture(2).fit(source, labels=NAMES)


def test_who_takes_no_labels_says_so():
    source = open_source(FRAME, label="species")
    with pytest.raises(DataError, match="BayesianGaussianMixture takes no labels"):
        BayesianGaussianMixture(n_components=2).fit(source)
    with pytest.raises(DataError, match="takes no labels"):
        select(source, [1, 2])


def test_a_source_that_is_open_keeps_its_label():
    source = open_source(FRAME, label="species")
    assert open_source(source).label == "species"


def test_other_cells_than_classes_are_refused():
    with pytest.raises(DataError, match="none of these"):
        GaussianMixture(2).fit(open_source(FRAME[["x", "y"]], label="x"))
