"""The same rows give the same bits, whatever threads, memory order, chunks or files there are."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastgmm.estimators import GaussianMixture
from fastgmm.sources import open_source

# enough rows for several blocks, and work enough for a block to be shared among threads
N_ROWS = 150_000
COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


@pytest.fixture(scope="module")
def rows():
    """Rows of three overlapping groups."""
    rng = np.random.default_rng(11)
    centres = rng.normal(scale=2.0, size=(3, 4))
    return centres[rng.integers(3, size=N_ROWS)] + rng.normal(size=(N_ROWS, 4))


def fit(data, covariance_type="full"):
    """Fit a few passes from a seed."""
    model = GaussianMixture(
        3, covariance_type=covariance_type, max_iter=4, tol=0.0, random_state=0, verbose=0
    )
    with pytest.warns(UserWarning, match="did not converge"):
        return model.fit(data)


def bits(model):
    """Every fitted number, as bytes."""
    arrays = {name: getattr(model, name).tobytes() for name in ARRAYS}
    return arrays | {"bounds": model.lower_bounds_, "passes": model.n_iter_, "rows": model.n_rows_}


@pytest.fixture(scope="module", params=COVARIANCE_TYPES)
def reference(request, rows):
    """A covariance type, and the bits that a C-ordered array gives."""
    return request.param, bits(fit(rows, request.param))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_do_not_change_a_bit(rows, reference, n_threads):
    covariance_type, expected = reference
    if n_threads > numba.config.NUMBA_NUM_THREADS:
        n_threads = numba.config.NUMBA_NUM_THREADS
    before = numba.get_num_threads()
    numba.set_num_threads(n_threads)
    try:
        assert bits(fit(rows, covariance_type)) == expected
    finally:
        numba.set_num_threads(before)


def strided(rows):
    """Return the rows as every second row and column, backwards, of a larger array."""
    wide = np.zeros((2 * rows.shape[0], 2 * rows.shape[1]))
    view = wide[::-2, ::-2]
    view[...] = rows
    return view


def ragged(rows):
    """Cut rows into chunks of lengths that fit no block."""
    edges = np.cumsum([0, 1, 6, 4999, 30_011, 70_001])
    return np.split(rows, edges[1:])


def npy_file(rows, folder):
    """Write rows to a .npy file."""
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


def parquet_file(rows, folder):
    """Write rows to a Parquet file of small row groups."""
    table = pa.table({f"x{j}": column for j, column in enumerate(rows.T)})
    pq.write_table(table, folder / "rows.parquet", row_group_size=7001)
    return folder / "rows.parquet"


FORMS = {
    "Fortran order": lambda rows, folder: np.asfortranarray(rows),
    "strided": lambda rows, folder: strided(rows),
    "list of chunks": lambda rows, folder: ragged(rows),
    "callable": lambda rows, folder: lambda: iter(ragged(rows)),
    "source of short chunks": lambda rows, folder: open_source(rows, chunk_rows=1013),
    ".npy": npy_file,
    "memory map": lambda rows, folder: np.load(npy_file(rows, folder), mmap_mode="r"),
    "Parquet": parquet_file,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_rows_does_not_change_a_bit(rows, reference, form, tmp_path):
    covariance_type, expected = reference
    assert bits(fit(FORMS[form](rows, tmp_path), covariance_type)) == expected


def test_the_same_seed_gives_the_same_bits(rows, reference):
    covariance_type, expected = reference
    assert bits(fit(rows, covariance_type)) == expected


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples"])
def test_scores_do_not_depend_on_the_form_either(rows, method):
    model = fit(rows)
    score = getattr(model, method)
    expected = score(rows)
    np.testing.assert_array_equal(score(np.asfortranarray(rows)), expected)
    np.testing.assert_array_equal(score(ragged(rows)), expected)
    assert model.score(ragged(rows)) == model.score(rows)
