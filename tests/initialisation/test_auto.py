import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import adjusted_rand_score

from fastgmm import GaussianMixture, passes
from fastgmm.covariance import family
from fastgmm.em.loop import State
from fastgmm.em.update_rules import Maximisation
from fastgmm.errors import DegenerateComponentWarning, DegenerateCovarianceError
from fastgmm.initialisation import short_runs
from fastgmm.initialisation.auto import auto_start, leaders, sub_sample
from fastgmm.initialisation.coordinates import whitening
from fastgmm.initialisation.methods import start_from
from fastgmm.passes.subsample import Sample, draw_sample, sample_from
from fastgmm.sources import open_source, with_weights

FULL = family("full")


def turned(rows, seed=5):
    axes, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((rows.shape[1],) * 2))
    return rows @ axes


def oblong(n_rows, n_features, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n_rows)
    rows = rng.standard_normal((n_rows, n_features))
    rows[:, 0] *= 12.0
    rows[:, -1] += 6.0 * labels
    return turned(rows), labels


def crossing(n_rows, n_features, n_components=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_components, size=n_rows)
    rows = 0.3 * rng.standard_normal((n_rows, n_features))
    angles = np.pi * labels / n_components
    rows[:, :2] += 8.0 * rng.standard_normal((n_rows, 1)) * np.c_[np.cos(angles), np.sin(angles)]
    return turned(rows), labels


def unequal(n_rows, small, n_features, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(n_rows) >= n_rows - small).astype(int)
    rows = rng.standard_normal((n_rows, n_features)) * np.where(labels, 0.5, 1.0)[:, None]
    rows[:, 0] += 8.0 * labels
    order = rng.permutation(n_rows)
    return turned(rows)[order], labels[order]


def start(rows, n_components, seed=0, weights=None, covariance="full", reg_covar=1e-6):
    source = open_source(rows)
    if weights is not None:
        source = with_weights(source, weights)
    rng = np.random.default_rng(seed)
    rule = Maximisation(family(covariance), reg_covar)
    return start_from(draw_sample(source, rng), "auto", n_components, rule, rng)


def agreement(rows, labels, n_components, **more):
    # scikit-learn's tol: starts are judged, and a climb of 200 passes may mend one of k-means
    model = GaussianMixture(n_components, random_state=0, tol=1e-3, **more)
    return adjusted_rand_score(labels, model.fit_predict(rows))


@pytest.mark.parametrize("n_features", [2, 8])
def test_parallel_oblong_clusters_are_found_where_k_means_finds_none(n_features):
    rows, labels = oblong(1500, n_features)
    assert agreement(rows, labels, 2, init_params="kmeans") < 0.1
    assert agreement(rows, labels, 2) >= 0.95


@pytest.mark.parametrize("n_features", [2, 6])
def test_crossing_clusters_are_found(n_features):
    rows, labels = crossing(1500, n_features)
    assert agreement(rows, labels, 3) >= 0.8  # rows near the crossing are anybody's


@pytest.mark.parametrize("seed", range(3))
def test_many_that_cross_in_a_plane_are_found_among_other_features(seed):
    rows, labels = crossing(2000, 12, n_components=4, seed=seed)
    assert agreement(rows, labels, 4) >= 0.8


@pytest.mark.parametrize(("n_rows", "small"), [(2000, 20), (30_000, 30)])
def test_a_small_cluster_is_not_lost(n_rows, small):
    rows, labels = unequal(n_rows, small, 3)
    assert agreement(rows, labels, 2) >= 0.95


def test_many_components_are_found_by_exchanges():
    rng = np.random.default_rng(4)
    means = 12.0 * rng.standard_normal((16, 2))
    labels = rng.integers(16, size=1600)
    rows = means[labels] + rng.standard_normal((1600, 2)) * rng.uniform(0.3, 1.5, (16, 2))[labels]
    whole = GaussianMixture(16, prior=None, random_state=0, max_iter=300).fit(rows)
    of = [rows[labels == k] for k in range(16)]
    truth = GaussianMixture(
        16,
        weights_init=np.bincount(labels) / 1600,
        means_init=[part.mean(axis=0) for part in of],
        precisions_init=[np.linalg.inv(np.cov(part.T)) for part in of],
        max_iter=300,
    ).fit(rows)
    assert whole.lower_bound_ > truth.lower_bound_ - 0.01


def test_units_of_the_features_do_not_matter():
    rows, _ = crossing(800, 3)
    units = np.array([2.0**-20, 1.0, 2.0**30])
    here, there = start(rows, 3, reg_covar=0.0), start(rows * units, 3, reg_covar=0.0)
    assert_allclose(there.weights, here.weights, rtol=1e-6)
    assert_allclose(there.means / units, here.means, rtol=1e-6, atol=1e-6)


def test_orientation_does_not_matter_to_what_is_found():
    rows, labels = oblong(1000, 4)
    for seed in (1, 2):
        assert agreement(turned(rows, seed), labels, 2) >= 0.95


def test_a_seed_gives_the_same_bits_whatever_the_threads_and_chunks():
    rows, _ = oblong(12_000, 3)
    expected = start(rows, 2)
    numba.set_num_threads(1)
    alone = start(rows, 2)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    pieces = start(open_source(rows, chunk_rows=777), 2)
    for found in (alone, pieces):
        assert_array_equal(found.means, expected.means)
        assert_array_equal(found.covariances, expected.covariances)


def test_order_and_repetition_of_rows_do_not_matter():
    rows, _ = crossing(300, 2)
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 4, size=300)
    expected = start(rows, 3, weights=counts.astype(float))
    order = rng.permutation(counts.sum())
    found = start(np.repeat(rows, counts, axis=0)[order], 3)
    assert_allclose(found.means, expected.means, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_every_covariance_type_starts_above_k_means(covariance):
    rows, _ = crossing(600, 3)
    found = [
        GaussianMixture(
            4, covariance_type=covariance, init_params=method, random_state=0, max_iter=2, tol=1e9
        )
        .fit(rows)
        .lower_bound_
        for method in ("auto", "kmeans")
    ]
    assert found[0] > found[1]


def test_the_start_stands_where_the_rows_stand():
    rows, _ = oblong(500, 2)
    far = start(rows + 1e6, 2)
    near = start(rows, 2)
    assert_allclose(far.means, near.means + 1e6, rtol=1e-9)


def test_one_component_is_the_whole_sample():
    rows, _ = oblong(200, 3)
    found = start(rows, 1, reg_covar=0.0)
    assert_allclose(found.means[0], rows.mean(axis=0), atol=1e-9)
    assert_allclose(found.covariances[0], np.cov(rows.T, bias=True), rtol=1e-9)


def test_rows_without_rank_are_started_too():
    rows, labels = oblong(600, 2)
    flat = np.column_stack([rows, rows.sum(axis=1), np.full(len(rows), 3.0)])
    with pytest.warns(DegenerateComponentWarning, match="feature 3 is constant.*0, 1, 2 are lin"):
        assert agreement(flat, labels, 2) >= 0.95


def test_equal_rows_are_started_with_what_reg_covar_leaves():
    found = start(np.full((20, 2), 7.0), 3)
    assert_allclose(found.means, 7.0)


def test_where_all_candidates_are_singular_the_error_names_a_component():
    with pytest.raises(DegenerateCovarianceError, match="ill-defined"):
        start(np.full((20, 2), 7.0), 3, reg_covar=0.0)


def test_the_sub_sample_stands_for_the_sample():
    rows, labels = unequal(50_000, 50, 3)
    sample = draw_sample(open_source(rows), np.random.default_rng(0))
    _, leverages = whitening(sample.rows, sample.weights)
    fewer = sub_sample(sample, leverages, 2000, np.random.default_rng(1))
    places = {row.tobytes(): i for i, row in enumerate(sample.rows)}
    chosen = [places[row.tobytes()] for row in fewer.rows]
    assert len(fewer.rows) <= 2000
    assert_allclose(fewer.weights.sum(), 1.0)
    assert_allclose(fewer.weights @ fewer.rows, np.zeros(3), atol=0.1)
    # two of two thousand rows by weight alone, many times that by leverage
    assert labels[chosen].sum() > 10


def test_leaders_are_sound_and_no_twins():
    rows, _ = oblong(100, 2)
    parameters = start(rows, 2)
    rule = Maximisation(FULL, 1e-6)
    states = [State(rule, parameters, trace=(value,)) for value in (-2.0, -1.0, -1.00001, -3.0)]
    broken = State(rule, parameters, trace=(0.0,), failure=DegenerateCovarianceError(0))
    assert [state.trace[-1] for state in leaders([*states, broken], 2)] == [-1.0, -2.0]


def test_the_winner_of_a_sample_is_about_its_origin():
    rows = np.array([[0.0], [1.0], [10.0], [11.0]])
    sample = Sample(rows - 5.5, np.full(4, 0.25), np.array([5.5]))
    found = auto_start(sample, 2, Maximisation(FULL, 1e-3), np.random.default_rng(0))
    assert_allclose(np.sort(found.means[:, 0]), [0.5, 10.5], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_cluster_of_one_row_in_a_thousand_survives_the_sample(seed):
    # 120 rows of 120 000, of which the sample has about 50, and the sub-sample of 2000 by
    # weight alone two
    rows, labels = unequal(120_000, 120, 3, seed)
    model = GaussianMixture(2, random_state=seed).fit(rows)
    assert adjusted_rand_score(labels, model.predict(rows)) >= 0.95
    assert abs(model.weights_.min() - 1e-3) < 3e-4  # three deviations of a count of 120


@pytest.fixture
def none_held(monkeypatch):
    """Have a few components start as hundreds do."""
    monkeypatch.setattr(short_runs, "MOST_RESPONSIBILITIES", 100)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_many_components_start_as_well_without_their_shares_held(covariance, monkeypatch):
    rng = np.random.default_rng(3)
    means = 6.0 * rng.standard_normal((30, 3))
    rows = means[rng.integers(30, size=6000)] + rng.standard_normal((6000, 3))
    held = start(rows, 30, covariance=covariance)
    monkeypatch.setattr(short_runs, "MOST_RESPONSIBILITIES", 100)
    monkeypatch.setattr(short_runs.ShortRuns, "begun", None)  # nobody asks for (K, rows)
    found = start(rows, 30, covariance=covariance)
    (anew, before) = passes.statistics(open_source(rows), [found, held])
    assert anew.mean_log_likelihood > before.mean_log_likelihood - 0.005


def test_many_components_start_with_the_same_bits_whatever_the_threads_and_chunks(none_held):
    rows, _ = crossing(20_000, 3, 8)
    found = start(rows, 8)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = start(np.asfortranarray(rows), 8)
    finally:
        numba.set_num_threads(threads)
    chunked = start(lambda: iter(np.array_split(rows, 7)), 8)
    for other in (alone, chunked):
        assert_array_equal(other.means, found.means)
        assert_array_equal(other.covariances, found.covariances)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_many_components_of_rows_without_rank_are_started_too(none_held, covariance):
    flat = np.random.default_rng(0).integers(4, size=(500, 1)) * [1.0, 2.0, 0.0]
    found = start(flat, 6, covariance=covariance)
    assert np.isfinite(found.means).all()
    assert found.weights.sum() == pytest.approx(1.0)


def test_of_far_more_rows_than_the_sample_every_start_is_as_likely():
    # on a sub-sample alone, as of fewer rows, the likeliest of eight is 0.3 nats per row above the
    # least: a component is spent on noise, and two clusters share one
    rng = np.random.default_rng(5)
    n_rows, n_features, n_components = 30_000, 6, 12
    means = rng.normal(scale=1.6, size=(n_components, n_features))
    roots = 0.35 * rng.normal(size=(n_components, n_features, n_features)) + np.eye(n_features)
    weights = rng.dirichlet(np.full(n_components, 4.0))
    labels = rng.choice(n_components, size=n_rows, p=weights)
    factors = np.linalg.cholesky(roots @ roots.swapaxes(1, 2))[labels]
    rows = means[labels] + np.einsum("nij,nj->ni", factors, rng.normal(size=(n_rows, n_features)))
    sample = sample_from(rows.copy(), np.ones(n_rows), 20 * n_rows, 20.0 * n_rows, n_rows)
    rule = Maximisation(FULL, 1e-6)
    found = [
        auto_start(sample, n_components, rule, np.random.default_rng(seed)) for seed in range(4)
    ]
    source = open_source(rows)
    values = [passes.total_log_likelihood(source, each)[0] / n_rows for each in found]
    assert max(values) - min(values) < 0.02
