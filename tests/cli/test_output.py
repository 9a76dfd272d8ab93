"""Files of a command appear whole or not at all."""

from __future__ import annotations

import os
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cli.commands import READ, refused, written
from numpy.testing import assert_array_equal

from fastgmm.cli import output


def in_x(piece):
    """Name a piece of a table."""
    return {"x": piece}


@pytest.mark.parametrize("dtype", ["f4", "i8", "?"])
def test_groups_are_joined_in_one_array_however_long(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    rows = np.arange(2400).reshape(-1, 2).astype(dtype)
    for end in [1, 12, 1200]:  # the length is written when it is known
        pieces = (in_x(rows[start : start + 7]) for start in range(0, end, 7))
        n_rows = output.write_columns(tmp_path / "out.npy", pieces)
        found = np.load(tmp_path / "out.npy")
        assert found.dtype == rows.dtype
        assert_array_equal(found, rows[:n_rows])


@pytest.mark.parametrize("suffix", READ)
def test_a_failure_half_way_leaves_the_old_output(model, frame, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 1)
    frame = pd.concat([frame] * 200)  # more than a block
    frame.iloc[-1, 0] = np.inf
    path = written(frame[["a", "b"]], tmp_path / "bad.parquet")
    out = tmp_path / f"out{suffix}"
    out.write_text("old")
    assert "row 119999" in refused("predict", model, path, "-o", out)
    assert out.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        ["bad.parquet", "model.npz", out.name]
    )


def test_an_empty_table_leaves_no_output(model, frame, tmp_path):
    path = written(frame.iloc[:0], tmp_path / "empty.parquet")
    refused("predict", model, path, "-o", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_pieces_are_joined_to_groups_of_many_rows(tmp_path):
    pieces = (in_x(np.arange(start, start + 1000)) for start in range(0, 600_000, 1000))
    assert output.write_columns(tmp_path / "out.parquet", pieces) == 600_000
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 7  # of 99 000 rows, the last of them 6000
    assert_array_equal(file.read()["x"], np.arange(600_000))


def test_groups_of_many_columns_have_fewer_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "BYTES_PER_GROUP", 5000)
    columns = {f"p{k}": np.arange(10.0) for k in range(20)}  # 1600 bytes
    assert output.write_columns(tmp_path / "out.parquet", [columns] * 9) == 90
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [40, 40, 10]
    assert_array_equal(file.read()["p19"], np.tile(np.arange(10.0), 9))


def test_columns_say_that_no_value_is_missing(tmp_path):
    output.write_columns(tmp_path / "out.parquet", [in_x(np.arange(3))])
    assert not pq.read_schema(tmp_path / "out.parquet").field("x").nullable


def test_output_has_the_permissions_of_any_new_file(tmp_path):
    output.write_columns(tmp_path / "out.csv", [in_x(np.arange(3))])
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("n_waiting", [1, 2, 3])
def test_rows_are_written_while_the_next_are_made_and_no_more_wait(
    tmp_path, monkeypatch, n_waiting
):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    monkeypatch.setattr(output, "WAITING_BYTES", n_waiting * np.arange(10).nbytes)
    made, waiting = [], []
    real = output._writer

    def slow(path, file, schema):
        writer = real(path, file, schema)
        write = writer.write_table

        class Slow:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                writer.close()

            def write_table(self, table):
                time.sleep(0.02)
                waiting.append(len(made) - table["x"][0].as_py())
                write(table)

        return Slow()

    def pieces():
        for number in range(6):
            made.append(number)
            yield in_x(np.full(10, number))

    monkeypatch.setattr(output, "_writer", slow)
    assert output.write_columns(tmp_path / "out.parquet", pieces()) == 60
    assert max(waiting) == n_waiting + 1  # and the one that is made


def test_a_write_that_the_disk_has_lost_is_not_taken_for_done(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    told = []

    def lost(_):
        told.append(None)
        if len(told) == 1:  # the system tells of it once
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", lost)
    pieces = (in_x(np.arange(10)) for _ in range(100))
    with pytest.raises(OSError, match="Input/output"):
        output.write_columns(tmp_path / "out.npy", pieces)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [0, 3])
def test_a_disk_that_is_full_ends_the_command_and_leaves_no_file(tmp_path, monkeypatch, at):
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 10)
    monkeypatch.setattr(output, "WAITING_BYTES", 0)
    made = []
    real = output._writer

    class Full:
        def __init__(self, *arguments):
            self.writer, self.n_left = real(*arguments), at

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.writer.close()

        def write_table(self, table):
            if not self.n_left:
                raise OSError(28, "No space left on device")
            self.n_left -= 1
            self.writer.write_table(table)

    def pieces():
        for number in range(100):
            made.append(number)
            yield in_x(np.full(10, number))

    monkeypatch.setattr(output, "_writer", Full)
    with pytest.raises(OSError, match="No space left"):
        output.write_columns(tmp_path / "out.csv", pieces())
    assert len(made) <= at + 3
    assert not list(tmp_path.iterdir())
