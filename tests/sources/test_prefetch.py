"""The reading thread: what it hands over, and how it ends."""

import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sources.rows import some_rows, walk

from fastgmm.errors import DataError
from fastgmm.sources import Chunk, Source, blocks, open_source, prefetch, with_weights
from fastgmm.sources.prefetch import TURNS, read_ahead

ROWS = some_rows(40)


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "fastgmm reads"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not readers()


class Ahead(Source):
    """Rows in chunks of three, in one buffer, that a thread may read; notes who asks, and when."""

    reads_ahead = True

    def __init__(self, fault=None, at=5):
        super().__init__("rows", range(3), np.float64)
        self.fault, self.at, self.given, self.threads = fault, at, 0, set()

    def chunks(self):
        self.given = 0
        buffer = np.empty((3, 3))
        for number, start in enumerate(range(0, 40, 3)):
            self.threads.add(threading.current_thread().name)
            if number == self.at and self.fault is not None:
                raise self.fault
            rows = buffer[: len(ROWS[start : start + 3])]
            rows[:] = ROWS[start : start + 3]
            self.given = start + len(rows)
            yield Chunk(rows, None)


def wait_for(condition):
    for _ in range(60_000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("waited for a minute")


def test_blocks_come_in_order_from_one_other_thread_that_ends():
    source = Ahead()
    with closing(blocks(source, 4)) as found:
        assert_array_equal(np.concatenate([block.rows.copy() for block in found]), ROWS)
    assert source.threads == {"fastgmm reads"}


def test_a_block_stays_as_it_is_until_the_next_is_asked_for():
    source = Ahead()
    with closing(blocks(source, 4)) as found:
        for number, block in enumerate(found):
            time.sleep(0.002)  # long enough for the thread to read all that it may
            assert_array_equal(block.rows, ROWS[4 * number : 4 * number + 4])


def test_no_more_is_read_than_there_is_memory_for():
    source = Ahead()
    with closing(blocks(source, 4)) as found:
        next(found)
        wait_for(lambda: source.given >= 4 * TURNS)
        time.sleep(0.02)
        assert source.given <= 4 * TURNS + 3


def test_what_goes_wrong_is_raised_after_the_blocks_before_it_with_its_traceback():
    with closing(blocks(Ahead(OSError("the disk is gone")), 4)) as found:
        for _ in range(3):  # chunks 0 to 4 are 15 rows
            next(found)
        with pytest.raises(OSError, match="the disk is gone") as raised:
            next(found)
    assert "raise self.fault" in "".join(traceback.format_tb(raised.tb))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_what_is_no_exception_comes_through_as_well(error):
    with pytest.raises(type(error)):
        Ahead(error).fold(len, max, 4)


def test_a_bad_number_is_found_by_the_thread_and_named():
    class Bad(Ahead):
        def chunks(self):
            for chunk in super().chunks():
                yield chunk._replace(rows=np.where(chunk.rows == ROWS[17, 2], np.nan, chunk.rows))

    with pytest.raises(DataError, match=r"row 17 of rows holds no value .NaN or null. in column 2"):
        Bad().fold(len, max, 4)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_consumer_that_fails_ends_the_thread_while_its_error_is_held(error):
    def fail(block):
        raise error

    with pytest.raises(error) as raised:
        Ahead().fold(fail, max, 4)
    assert raised.tb is not None  # it holds the frames, and they the iterator
    assert not readers()


def test_an_iterator_that_nobody_closes_ends_its_thread_when_it_is_forgotten():
    found = blocks(Ahead(), 4)
    next(found)
    assert readers()
    del found


def test_a_read_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(prefetch, "PATIENCE", 0.05)
    answer = threading.Event()

    def hanging(turn):
        turn()
        yield 1
        turn()
        answer.wait(60)
        yield 2

    found = read_ahead(hanging)
    next(found)
    started = time.perf_counter()
    found.close()
    assert time.perf_counter() - started < 1.0
    answer.set()
    for thread in readers():
        thread.join(60)


def seconds(work):
    """The fastest of three, since the machine may be busy."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


@pytest.mark.parametrize(("reading", "computing"), [(6, 6), (6, 2), (2, 6)])
def test_a_pass_takes_as_long_as_the_slower_of_reading_and_computing(reading, computing):
    class Slow(Ahead):
        """Rows from a disk that answers after some milliseconds."""

        def chunks(self):
            for start in range(0, 40):
                time.sleep(reading / 1000)
                yield Chunk(ROWS[start : start + 1], None)

    def compute(block):
        time.sleep(computing / 1000)
        return 0

    source = Slow()
    source.guarded = True

    def is_hidden():
        alone = seconds(lambda: list(source.chunks())), seconds(lambda: [compute(0) for _ in ROWS])
        together = seconds(lambda: source.fold(compute, max, 1))
        return together < 1.1 * max(alone) + min(alone) / 40  # the first block is read alone

    assert any(is_hidden() for _ in range(10))  # a busy machine wakes late, and not every time


def test_where_no_thread_is_to_be_had_the_caller_reads(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    source = Ahead()
    assert source.fold(lambda block: len(block.rows), int.__add__, 4) == 40
    assert source.threads == {"MainThread"}


def test_short_sources_and_what_python_code_yields_are_read_by_the_caller(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    threads = set()

    def chunks():
        threads.add(threading.current_thread().name)
        yield ROWS

    assert len(walk(open_source(tmp_path / "x.npy"), 40)[0]) == 40
    open_source(chunks).fold(len, max, 4)
    assert threads == {"MainThread"}


def test_a_mapped_file_is_touched_by_the_thread_without_a_copy(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = with_weights(open_source(mapped), np.ones(40))
    assert source.reads_ahead
    with closing(blocks(source, 4)) as found:
        assert all(np.shares_memory(block.rows, mapped) for block in found)


def test_a_source_that_was_read_ahead_can_be_pickled(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    source = open_source(tmp_path / "x.npy")
    assert_array_equal(walk(source)[0], walk(pickle.loads(pickle.dumps(source)))[0])


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LEFT_OPEN = """
import sys
from fastgmm.sources import blocks, open_source
found = blocks(open_source(sys.argv[1], chunk_rows=3), 4)
next(found)
print("end")
"""


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_an_interpreter_that_ends_in_the_middle_of_a_pass_ends_well(tmp_path, suffix):
    done = run(LEFT_OPEN, written(tmp_path, suffix))
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def written(folder, suffix, n_rows=40):
    rows = some_rows(n_rows)
    path = folder / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, rows)
    else:
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame(rows, columns=["a", "b", "c"]).to_parquet(path)
    return path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_in_the_middle_of_a_pass_is_told_and_can_begin_its_own():
    source = Ahead()
    with closing(blocks(source, 4)) as found:
        next(found)
        wait_for(lambda: source.given >= 4 * TURNS)  # the thread waits for its turn then
        child = os.fork()
        if not child:
            os._exit(in_the_child(source, found))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sum(len(block.rows) for block in found) == 36


def in_the_child(source, found):
    try:
        list(found)
    except RuntimeError as error:
        told = "begin a new pass" in str(error)
        n_rows = source.fold(lambda block: len(block.rows), int.__add__, 4)
        return 0 if told and n_rows == 40 else 2
    return 1


FORK_AFTER_A_FIT = """
import os, sys
import numpy as np
from fastgmm import GaussianMixture

def fit():
    model = GaussianMixture(2, tol=1e9, init_params="random_from_data", random_state=0)
    return model.fit(sys.argv[1]).means_

here = fit()
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(fit(), here) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_fit_from_a_file_works_in_a_child_forked_after_one(tmp_path, suffix):
    done = run(FORK_AFTER_A_FIT, written(tmp_path, suffix, n_rows=300_000))
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
