"""The same rows give the same bits, whatever threads, memory order, chunks or files there are."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_limits

from fastgmm import em, passes, select
from fastgmm.covariance import family
from fastgmm.estimators import BayesianGaussianMixture, GaussianMixture
from fastgmm.initialisation import coordinates, split_merge
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.repair import repaired
from fastgmm.mixture import sampling
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.model import model
from fastgmm.passes.subsample import Sample
from fastgmm.selection.descent import unions
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


# compiling for tied covariances and threads takes 20 s
@pytest.fixture(
    scope="module",
    params=["full", pytest.param("tied", marks=pytest.mark.slow), "diag", "spherical"],
)
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


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_threads_and_chunks_do_not_change_a_bit_of_a_posterior(rows, covariance_type):
    def work(data):
        model = BayesianGaussianMixture(
            n_components=4, covariance_type=covariance_type, max_iter=4, tol=0.0, random_state=0
        )
        with pytest.warns(UserWarning, match="did not converge"):
            model.fit(data)
        names = (*ARRAYS, "weight_concentration_", "mean_precision_", "degrees_of_freedom_")
        return [*(getattr(model, name) for name in names), np.array(model.lower_bounds_)]

    expected = as_bytes(work(rows))
    assert as_bytes(work(lambda: iter(ragged(rows)))) == expected
    before = numba.get_num_threads()
    try:
        for n_threads in range(1, min(3, numba.config.NUMBA_NUM_THREADS + 1)):
            numba.set_num_threads(n_threads)
            assert as_bytes(work(rows)) == expected
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


# BLAS, whose sums follow its number of threads from some hundred features or ten thousand rows on


def of_any_blas(work):
    """What some work returns, as bytes: the same by any number of BLAS's threads."""
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            found.append(as_bytes(work()))
    assert found[0] == found[1]
    return found[0]


def as_bytes(value):
    """Every number of a result."""
    if isinstance(value, Parameters):
        value = [value.weights, value.means, value.covariances, value.precisions_cholesky]
    if isinstance(value, list | tuple):
        return b"".join(map(as_bytes, value))
    return np.ascontiguousarray(value).tobytes()


def wide_rows(n_rows, n_features, n_components=3):
    """Rows of groups that overlap."""
    rng = np.random.default_rng(5)
    centres = rng.normal(scale=0.3, size=(n_components, n_features))
    return centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))


def wide_sample(n_rows, n_features):
    rows = wide_rows(n_rows, n_features)
    centre = rows.mean(axis=0)
    of_each, weight = np.full(n_rows, 1.0 / n_rows), float(n_rows)
    return Sample(rows - centre, of_each, centre, n_rows, weight, own_weight=weight)


def wide_parameters(structure, n_components, n_features):
    covariance = np.cov(wide_rows(2 * n_features, n_features).T)
    if structure == "full":
        covariance = np.broadcast_to(covariance, (n_components, *covariance.shape))
    means = wide_rows(n_components, n_features)
    weights = np.full(n_components, 1.0 / n_components)
    return Parameters.from_covariances(structure, weights, means, covariance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("structure", "n_components", "n_features"),
    [("tied", 10, 784), ("tied", 50, 200), ("full", 3, 200)],
)
def test_threads_of_blas_change_no_bit_of_a_pass(structure, n_components, n_features):
    parameters = wide_parameters(structure, n_components, n_features)
    source = open_source(wide_rows(400, n_features))

    def work():
        (found,) = passes.statistics(source, [parameters])
        factors = model(parameters, np.float64).factors
        shares = passes.responsibilities(source, parameters)
        sums = found.weight, found.first, found.second, found.log_likelihood
        return [*factors, *sums, shares, parameters.precisions]

    of_any_blas(work)


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_threads_of_blas_change_no_bit_of_a_fit_with_relative_regularisation(covariance_type):
    rows = wide_rows(12_000, 100)
    settings = {"reg_covar_relative": True, "reg_covar": 1e-2, "init_params": "random_from_data"}

    def work():
        model = GaussianMixture(
            2, covariance_type=covariance_type, max_iter=1, random_state=0, **settings
        )
        with pytest.warns(UserWarning, match="did not converge"):
            model.fit(rows)
        return [*(getattr(model, name) for name in ARRAYS), model.score_samples(rows[:500])]

    of_any_blas(work)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "kmeans", "k-means++", "random", "random_from_data"])
def test_threads_of_blas_change_no_bit_of_a_start(method):
    sample = wide_sample(1000, 150)
    rule = em.Maximisation(family("tied"), 1e-3)
    of_any_blas(lambda: start_from(sample, method, 3, rule, np.random.default_rng(0)))


@pytest.mark.slow
def test_threads_of_blas_change_no_bit_of_what_moves_components():
    rule = em.Maximisation(family("tied"), 1e-3)
    sample, parameters = wide_sample(1000, 150), wide_parameters("tied", 3, 150)
    shares = np.random.default_rng(0).dirichlet(np.ones(3), size=1000).T.copy()
    of_any_blas(lambda: coordinates.whiten(sample.rows, sample.weights))
    held = list(split_merge.held(shares))
    of_any_blas(lambda: [[each.gain, each.leaving] for each in split_merge.splits(sample, held)])
    of_any_blas(lambda: [each() for each in split_merge.exchanges(sample, parameters, shares)])
    assert of_any_blas(lambda: repaired(parameters, [1], sample, rule)) != as_bytes(None)
    of_any_blas(lambda: list(unions(parameters, 1, rule.family)))


@pytest.mark.slow
def test_threads_of_blas_change_no_bit_of_partial_fits_and_of_the_file(tmp_path):
    rows = wide_rows(2000, 128)

    def work():
        model = GaussianMixture(2, covariance_type="tied", reg_covar=1e-2, random_state=0)
        for batch in np.split(rows, 2):
            model.partial_fit(batch)
        model.save(tmp_path / "model.npz")
        return np.fromfile(tmp_path / "model.npz", np.uint8)

    of_any_blas(work)


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_threads_of_blas_change_no_bit_of_a_posterior(covariance_type, tmp_path):
    rows = wide_rows(2000, 128)

    def work():
        model = BayesianGaussianMixture(
            n_components=3, covariance_type=covariance_type, random_state=0, max_iter=30
        )
        model.fit(rows)
        model.partial_fit(rows[:1000])
        model.save(tmp_path / "model.npz")
        scores = model.score_samples(rows[:500], predictive=True)
        return [np.fromfile(tmp_path / "model.npz", np.uint8), scores]

    of_any_blas(work)


@pytest.mark.slow
def test_threads_of_blas_change_no_bit_of_a_selection():
    rows = wide_rows(1500, 60)

    def work():
        found = select(rows, range(1, 3), "tied", random_state=0, max_iter=5)
        return [getattr(found.best_estimator_, name) for name in ARRAYS]

    of_any_blas(work)


@pytest.mark.slow
def test_threads_of_blas_change_no_bit_of_drawn_rows():
    parameters = wide_parameters("full", 2, 150)
    of_any_blas(lambda: sampling.sample(parameters, 50, np.random.RandomState(0))[0])
