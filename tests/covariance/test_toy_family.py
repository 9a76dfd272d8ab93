"""A family that only this file knows is right everywhere: its constraint holds in all that is made.

Two of them, one of spheres and one of matrices. Each is a structure, what its covariances have in
common, and how many parameters that leaves free; `FAMILIES` is all that has to know of it.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

import fastgmm
from fastgmm import AutoGaussianMixture, GaussianMixture, em, passes
from fastgmm.cli.app import app
from fastgmm.covariance import FAMILIES, Constraint, Family
from fastgmm.em.acceleration import Acceleration
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.initialisation.repair import repaired
from fastgmm.initialisation.split_merge import merged
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.structure import FULL, SPHERICAL
from fastgmm.passes.subsample import Sample
from fastgmm.selection.monotone import divided_gently
from fastgmm.sources import open_source


def one_variance(variances, weights):
    """All spheres are of one size: lambda = sum_k n_k lambda_k / n."""
    return np.full_like(variances, np.average(variances, weights=weights))


def one_volume(covariances, weights):
    """All determinants are equal; shapes and orientations are each component's own."""
    volumes = np.linalg.det(covariances) ** (1.0 / covariances.shape[-1])
    return covariances * (np.average(volumes, weights=weights) / volumes)[:, None, None]


EII = Family(
    "EII",
    covariance_type="tied-spherical",
    structure=SPHERICAL,
    constraint=Constraint(one_variance, n_parameters=lambda n_components, n_features: 1),
)
EVV = Family(
    "EVV",
    covariance_type="one-volume",
    structure=FULL,
    constraint=Constraint(one_volume, n_parameters=lambda k, d: 1 + k * (d * (d + 1) // 2 - 1)),
)
# fits that are stopped early, and components that are put where no rows are
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::fastgmm.DegenerateComponentWarning"
)
METHODS = ["auto", "kmeans", "k-means++", "random", "random_from_data"]


@pytest.fixture(params=[EII, EVV], ids=lambda kind: kind.name, autouse=True)
def kind(request, monkeypatch):
    """Each family, in the table while a test runs."""
    monkeypatch.setitem(FAMILIES, request.param.covariance_type, request.param)
    return request.param


@pytest.fixture
def rows(rng):
    """Clusters of unlike sizes, so that the constraint is felt."""
    deviations = np.repeat([[0.3, 0.6], [1.0, 1.0], [2.0, 1.0], [0.5, 3.0]], 150, axis=0)
    return np.repeat([[0, 0], [4, 0], [0, 6], [7, 7]], 150, axis=0) + deviations * rng.normal(
        size=(600, 2)
    )


def assert_of(kind, covariances):
    sizes = covariances if kind is EII else np.linalg.det(covariances)
    rtol = 1e-5 if covariances.dtype == np.float32 else 1e-12 if kind is EII else 1e-6
    assert len(sizes) > 1
    assert_allclose(sizes, sizes[0], rtol=rtol)


def sample_of(rows):
    return Sample(rows, np.full(len(rows), 1 / len(rows)), np.zeros(2))


def mixture(kind, n_components=4, **settings):
    return GaussianMixture(
        n_components, covariance_type=kind.covariance_type, random_state=0, **settings
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_start_and_fit_is_of_the_family(kind, rows, method, dtype):
    start = mixture(kind, init_params=method, max_iter=0).fit(rows.astype(dtype))
    fitted = mixture(kind, init_params=method, n_init=2).fit(rows.astype(dtype))
    assert_of(kind, start.covariances_)
    assert_of(kind, fitted.covariances_)
    assert np.all(np.diff(fitted.lower_bounds_) > -1e-6)
    other = GaussianMixture(4, covariance_type="spherical" if kind is EII else "full")
    n_fewer = 3  # volumes or variances of four components, but one
    assert other.fit(rows)._n_parameters() == fitted._n_parameters() + n_fewer


def test_weights_files_streams_warm_starts_and_many_components_keep_it(kind, rows, rng, tmp_path):
    weights = rng.integers(0, 3, size=len(rows)).astype(float)
    np.save(tmp_path / "rows.npy", rows)
    fitted = mixture(kind).fit(rows, sample_weight=weights)
    again = fitted.set_params(warm_start=True, max_iter=3).fit(rows[::2])
    of_file = mixture(kind).fit(tmp_path / "rows.npy")
    of_stream = mixture(kind).fit(lambda: iter(np.array_split(rows, 7)))
    many = mixture(kind, 25).fit(rows)
    for each in (fitted, again, of_file, of_stream, many):
        assert_of(kind, each.covariances_)
    in_memory = mixture(kind).fit(rows).covariances_
    assert_array_equal(of_file.covariances_, in_memory)
    assert_array_equal(of_stream.covariances_, in_memory)


def test_every_extrapolation_is_of_the_family(kind, rows):
    seen, source = [], open_source(rows)

    def data_pass(candidates):
        seen.extend(candidates)
        return passes.statistics(source, candidates)

    rule = em.Maximisation(kind, 1e-6)
    start = mixture(kind, max_iter=0).fit(rows)._parameters()
    state = em.State(rule, start, acceleration=Acceleration("squarem"))
    em.run([state], data_pass, em.Stopping(0.0, 40))
    for each in seen:
        assert_of(kind, each.covariances)
    assert_of(kind, mixture(kind, acceleration="squarem").fit(rows).covariances_)


@pytest.mark.parametrize("mean_rows", [0.0, 5.0])
def test_a_prior_keeps_it_and_the_objective_never_falls(kind, rows, mean_rows):
    source, start = open_source(rows[::40]), mixture(kind, max_iter=0).fit(rows)._parameters()
    covariance = 2.0 if kind is EII else 2.0 * np.eye(2)
    prior = Prior(0.5, np.asarray(covariance), mean_rows, np.array([1.0, 2.0]), 2.0)
    state = em.State(em.Maximisation(kind, 0.0, prior), start)
    stopping = em.Stopping(0.0, 40)
    (state,) = em.run([state], lambda each: passes.statistics(source, each), stopping)
    assert_of(kind, state.parameters.covariances)
    assert np.min(np.diff(state.trace)) > -1e-13


def test_components_without_rows_divided_and_merged_ones_keep_it(kind, rows):
    rule = em.Maximisation(kind, 1e-6)
    sample = sample_of(rows)
    shares = [
        Members(rows[:300], sample.weights[:300], np.zeros(2)),
        Members(rows[300:], sample.weights[300:], np.zeros(2)),
        Members(rows[:0], sample.weights[:0], np.full(2, 99.0)),
    ]
    start = maximise(sample, shares, rule)
    (statistics,) = passes.statistics(open_source(rows), [start])
    assert not statistics.occupied.all()
    for each in (
        start,
        rule.estimate(statistics, start),
        divided_gently(start, kind, 0.4),
        merged(start, [(0, 2)], kind),
    ):
        assert_of(kind, each.covariances)


def test_a_repair_keeps_it(kind, rows):
    rule, sample = em.Maximisation(kind, 1e-6), sample_of(rows)
    centres = np.array([[0.0, 0.0], [4, 0], [0, 6], [99, 99]])
    starved = mixture(kind, means_init=centres, max_iter=2).fit(rows)
    assert_of(kind, starved.covariances_)
    found = repaired(starved._parameters(), [3], sample, rule)
    assert found is not None
    assert_of(kind, found.covariances)


def test_a_search_over_sizes_keeps_it(kind, rows):
    for n_components in (2, 5):
        found = fastgmm.select(rows, [n_components], kind.covariance_type, random_state=0)
        assert_of(kind, found.best_estimator_.covariances_)
    model = AutoGaussianMixture(
        range(1, 7), covariance_type=[kind.covariance_type, "tied"], random_state=0
    ).fit(rows)
    table = model.selection_.table
    ours = table["log_likelihood"][table["covariance_type"] == kind.covariance_type]
    assert np.all(np.diff(ours) > -1e-6 * abs(ours[0]))
    if model.covariance_type_ == kind.covariance_type:
        assert_of(kind, model.covariances_)


def test_rows_that_arrive_little_by_little_and_files_keep_it(kind, rows, rng, tmp_path):
    model = mixture(kind, step_power=0.7)
    for batch in np.split(np.tile(rng.permutation(rows), (40, 1)), 60):
        model.partial_fit(batch)
        assert_of(kind, model.covariances_)
    model.save(tmp_path / "model.npz")
    loaded = fastgmm.load(tmp_path / "model.npz")
    assert_array_equal(loaded.covariances_, model.covariances_)
    assert_array_equal(loaded.score_samples(rows), model.score_samples(rows))


def test_parameters_of_another_family_are_refused(kind, rows):
    own = mixture(kind).fit(rows)
    numbers = own.weights_, own.means_, own.covariances_
    GaussianMixture.from_parameters(*numbers, covariance_type=kind.covariance_type)
    wider = own.covariances_ * np.array([1.0, 2.0, 3.0, 4.0]).reshape(
        -1, *[1] * (own.covariances_.ndim - 1)
    )
    with pytest.raises(ValueError, match=kind.covariance_type):
        GaussianMixture.from_parameters(*numbers[:2], wider, covariance_type=kind.covariance_type)


def test_the_command_line_knows_it(kind, rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    model = tmp_path / "model.npz"
    arguments = [str(tmp_path / "rows.npy"), "--covariance", kind.covariance_type]
    for command in (["fit", "-k", "4"], ["select", "-k", "4"]):
        done = CliRunner().invoke(app, [*command, *arguments, "-o", str(model)])
        assert done.exit_code == 0, done.output
        assert_of(kind, fastgmm.load(model).covariances_)
