"""Chunks and files that are not what they seem: refused, or fitted with the same bits."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from fastgmm import GaussianMixture, open_source
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources.formats import binary


@pytest.fixture
def rows(rng):
    """Two groups."""
    return np.concatenate([rng.normal(size=(400, 3)), rng.normal(6.0, 1.0, size=(400, 3))])


def model(**settings):
    return GaussianMixture(2, random_state=0, init_params="random_from_data", **settings)


def bits(fitted):
    return fitted.means_.tobytes() + fitted.covariances_.tobytes()


class Passes:
    """Chunks that are other ones from some pass on; opening a source begins the first."""

    def __init__(self, *passes):
        self.passes, self.begun = passes, 0

    def __call__(self):
        chunks = self.passes[min(self.begun, len(self.passes) - 1)]
        self.begun += 1
        return iter(chunks)


def refused(source, error, *words):
    """Fit a new model and an old one: both are as they were, and the message has the words."""
    fresh = model(tol=0.0, max_iter=5)
    with pytest.raises(error) as caught:
        fresh.fit(source())
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(NotFittedError):
        fresh.predict([[0.0, 0.0, 0.0]])
    old = model(tol=1e-3).fit(np.random.default_rng(1).normal(size=(50, 3)))
    before = dict(vars(old))
    with pytest.raises(error):
        old.fit(source())
    assert vars(old) == before


def test_nan_of_a_later_pass_is_named(rows):
    bad = rows.copy()
    bad[700, 2] = np.nan
    chunks = [rows[:500], rows[500:]], [rows[:500], bad[500:]]
    refused(lambda: Passes(*chunks), DataError, "row 700", "NaN", "column 2")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_chunks_without_rows_change_nothing(rows, at):
    chunks = [rows[:300], rows[300:]]
    chunks.insert(at, rows[:0])
    assert bits(model().fit(chunks)) == bits(model().fit(rows))
    assert bits(model().fit(lambda: iter(chunks))) == bits(model().fit(rows))


@pytest.mark.parametrize("n_chunks", [0, 1, 3])
def test_chunks_that_are_all_empty_are_refused(n_chunks):
    refused(lambda: lambda: iter([np.empty((0, 3))] * n_chunks), ValueError)


@pytest.mark.parametrize("lengths", [[1] * 800, [1, 799], [799, 1], [0, 333, 1, 0, 466]])
def test_the_sizes_of_chunks_change_no_bit(rows, lengths):
    chunks = np.split(rows, np.cumsum(lengths)[:-1])
    assert bits(model().fit(lambda: iter(chunks))) == bits(model().fit(rows))


def test_a_chunk_of_another_width_is_named(rows):
    chunks = [rows[:300], rows[300:, :2]]
    refused(lambda: lambda: iter(chunks), DataError, "chunk 1", "2 columns", "3")


def test_a_chunk_of_a_wider_dtype_is_refused_and_a_narrower_one_converted(rows):
    single, whole = rows.astype(np.float32), np.round(rows).astype(np.int16)
    refused(lambda: lambda: iter([single, rows]), DataError, "chunk 1", "float64", "float32")
    mixed = [rows[:300], single[300:500], whole[500:]]
    joined = np.concatenate(mixed)
    assert bits(model().fit(lambda: iter(mixed))) == bits(model().fit(joined))


def test_a_generator_is_refused_before_anything_is_taken_from_it(rows):
    generator = (chunk for chunk in np.split(rows, 4))
    refused(lambda: generator, DataError, "only once", "callable")
    assert len(list(generator)) == 4


def test_a_callable_that_gives_one_iterator_again_is_refused(rows):
    def source():
        iterator = iter(np.split(rows, 4))
        return lambda: iterator

    refused(source, SourceChangedError, "fresh")


@pytest.mark.parametrize("later", [0, 799, 801])
def test_another_number_of_rows_in_a_later_pass_is_named(rows, later):
    more = np.concatenate([rows, rows])[:later]
    refused(lambda: Passes([rows], [more]), SourceChangedError, "800", str(later))


def test_other_rows_in_a_later_pass_are_noticed(rows):
    refused(lambda: Passes([rows], [rows], [rows + 0.5]), SourceChangedError)


def test_the_same_rows_in_another_order_are_no_other_rows(rows, rng):
    shuffled = [[rng.permutation(rows)] for _ in range(50)]
    fitted = model(tol=0.0, max_iter=5, means_init=rows[[0, -1]])
    with pytest.warns(UserWarning, match="converge"):
        fitted.fit(Passes([rows], *shuffled))
    assert fitted.n_rows_ == 800


def test_an_error_while_rows_are_read_comes_through(rows):
    def source():
        def chunks():
            yield rows[:300]
            raise OSError(5, "Input/output error")

        return chunks

    refused(source, OSError, "Input/output error")


def test_one_buffer_yielded_again_and_again_is_no_trap(rows):
    def chunks():
        buffer = np.empty((100, 3))
        for start in range(0, 800, 100):
            buffer[:] = rows[start : start + 100]
            yield buffer
            buffer[:] = np.nan

    assert bits(model().fit(chunks)) == bits(model().fit(rows))
    assert_array_equal(model().fit(rows).predict(chunks), model().fit(rows).predict(rows))


def test_an_iterator_that_fits_its_estimator_is_refused(rows):
    outer = model()

    def chunks():
        model().fit(rows[:200])  # another estimator may be fitted
        outer.fit(rows[:200])
        yield rows

    with pytest.raises(RuntimeError, match="being fitted"):
        outer.fit(chunks)
    assert bits(outer.fit(rows)) == bits(model().fit(rows))


def npy(rows, folder):
    path = folder / "rows.npy"
    np.save(path, rows)
    return path


def at_pass(source, n, change):
    """Change a file just before the n-th pass over its source, whichever way that is walked."""
    walk, fill, begun = source.chunks, source.pour, []

    def begin():
        begun.append(1)
        if len(begun) == n:
            change()

    def chunks():
        begin()
        return walk()

    def pour(room):
        poured = fill(room)  # nothing is opened before its first step
        if poured is not None:
            begin()
        return poured

    source.chunks, source.pour = chunks, pour
    return source


def shrink(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("change", [shrink, os.unlink])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_file_that_shrinks_or_goes_is_an_error_not_the_end(rows, tmp_path, change, n):
    def source():
        path = npy(rows, tmp_path)
        return at_pass(open_source(path), n, lambda: change(path))

    refused(source, (SourceChangedError, FileNotFoundError), "rows.npy")


def test_reads_that_come_back_short_are_read_on(rows, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, rows)

    class Slow:
        """A file that gives seven bytes at a time."""

        def __init__(self, file):
            self.file = file

        def seek(self, offset):
            self.file.seek(offset)

        def readinto(self, room):
            return self.file.readinto(room[:7])

    room = np.empty((800, 3))
    with path.open("rb", buffering=0) as file:
        binary._fill(Slow(file), path.stat().st_size - room.nbytes, room)
    assert_array_equal(room, rows)


@pytest.mark.parametrize("n", [2, 3])
def test_a_file_replaced_by_another_of_its_size_is_noticed(rows, tmp_path, n):
    def source():
        path = npy(rows, tmp_path)
        other = tmp_path / "other.npy"
        np.save(other, rows[::-1])
        return at_pass(open_source(path), n, lambda: os.replace(other, path))

    refused(source, SourceChangedError, "rows.npy")


def test_a_source_that_is_slow_ends_a_fit_in_time(rows):
    done = threading.Event()

    def chunks():
        yield rows[:400]
        assert not done.wait(0.02)
        yield rows[400:]

    assert bits(model().fit(chunks)) == bits(model().fit(rows))
