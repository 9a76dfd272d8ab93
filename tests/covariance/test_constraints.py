"""A family's constraint holds in all that is made, wherever it is made.

What covariances have in common, a family's letters say. One more family, which only this file
knows, shows that the table of families is all that has to know of one.
"""

from __future__ import annotations

import numpy as np
import pytest
from covariance.letters import assert_of
from numpy.testing import assert_allclose, assert_array_equal
from stops import disturbed
from typer.testing import CliRunner

import fastgmm
from fastgmm import AutoGaussianMixture, GaussianMixture, em, passes
from fastgmm.cli.app import app
from fastgmm.covariance import ALL, FAMILIES, Constraint, Family
from fastgmm.em.acceleration import Acceleration
from fastgmm.estimators import climb, partial_fit
from fastgmm.estimators.fitted_attributes import attributes_of
from fastgmm.initialisation.kmeans import Members, maximise
from fastgmm.initialisation.repair import repaired
from fastgmm.initialisation.split_merge import merged
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.structure import FULL, SPHERICAL
from fastgmm.passes.subsample import Sample
from fastgmm.selection.monotone import divided_gently
from fastgmm.sources import open_source


def one_volume(covariances, weights):
    """All determinants are equal; shapes and orientations are each component's own."""
    volumes = np.linalg.det(covariances) ** (1.0 / covariances.shape[-1])
    return covariances * (np.average(volumes, weights=weights) / volumes)[:, None, None]


OURS = Family(
    "EVV",
    covariance_type="one-volume",
    structure=FULL,
    constraint=Constraint(one_volume, n_parameters=lambda k, d: 1 + k * (d * (d + 1) // 2 - 1)),
)
CONSTRAINED = [OURS, *(each for each in ALL if each.constraint is not None)]
# fits that are stopped early, and components that are put where no rows are
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::fastgmm.DegenerateComponentWarning"
)
METHODS = ["auto", "kmeans", "k-means++", "random", "random_from_data"]


@pytest.fixture(autouse=True)
def one_more(monkeypatch):
    """Ours is in the table while a test runs."""
    monkeypatch.setitem(FAMILIES, OURS.covariance_type, OURS)


@pytest.fixture(params=CONSTRAINED, ids=lambda kind: kind.covariance_type)
def kind(request):
    """Each family."""
    return request.param


@pytest.fixture
def rows(rng):
    """Clusters of unlike sizes, shapes and orientations, so that each constraint is felt."""
    deviations = np.repeat([[0.3, 0.6], [1.0, 1.0], [2.0, 1.0], [0.5, 3.0]], 150, axis=0)
    found = deviations * rng.normal(size=(600, 2))
    found[450:] = found[450:] @ [[0.8, -0.6], [0.6, 0.8]]
    return np.repeat([[0, 0], [4, 0], [0, 6], [7, 7]], 150, axis=0) + found


def sample_of(rows):
    return Sample(rows, np.full(len(rows), 1 / len(rows)), np.zeros(2))


def mixture(kind, n_components=4, **settings):
    return GaussianMixture(
        n_components, covariance_type=kind.covariance_type, random_state=0, **settings
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_start_and_a_fit_are_of_the_family(kind, rows, dtype):
    start = mixture(kind, max_iter=0).fit(rows.astype(dtype))
    fitted = mixture(kind).fit(rows.astype(dtype))
    assert_of(kind, start.covariances_)
    assert_of(kind, fitted.covariances_)
    assert np.all(np.diff(fitted.lower_bounds_) > -1e-6)
    words = {"spherical": "spherical", "diagonal": "diag", "full": "full"}
    wider = GaussianMixture(4, covariance_type=words[kind.structure]).fit(rows)
    shared = kind.structure.n_parameters(4, 2) - kind.n_covariance_parameters(4, 2)
    assert wider._n_parameters() == fitted._n_parameters() + shared


@pytest.mark.parametrize("method", METHODS)
def test_every_start_is_of_the_family(kind, rows, method):
    assert_of(kind, mixture(kind, init_params=method, max_iter=0).fit(rows).covariances_)
    assert_of(kind, mixture(kind, init_params=method, n_init=2).fit(rows).covariances_)


def test_precisions_that_are_given_start_the_nearest_of_the_family(kind, rows, rng):
    wanted = kind.structure.shape(4, 2)
    precisions = np.exp(rng.normal(size=wanted))
    if kind.structure == FULL:
        factors = rng.normal(size=(4, 2, 2))
        precisions = factors @ factors.swapaxes(1, 2) + np.eye(2)
    model = mixture(kind, precisions_init=precisions, max_iter=0).fit(rows)
    assert_of(kind, model.covariances_)
    again = mixture(kind, precisions_init=model.precisions_, max_iter=0).fit(rows)
    assert_allclose(again.covariances_, model.covariances_, rtol=1e-9)


def test_weights_files_streams_and_warm_starts_keep_it(kind, rows, rng, tmp_path):
    weights = rng.integers(0, 3, size=len(rows)).astype(float)
    np.save(tmp_path / "rows.npy", rows)
    fitted = mixture(kind, init_params="kmeans").fit(rows, sample_weight=weights)
    repeated = mixture(kind, init_params="kmeans").fit(np.repeat(rows, weights.astype(int), axis=0))
    assert_of(kind, repeated.covariances_)
    again = fitted.set_params(warm_start=True, max_iter=3).fit(rows[::2])
    of_file = mixture(kind).fit(tmp_path / "rows.npy")
    of_stream = mixture(kind).fit(lambda: iter(np.array_split(rows, 7)))
    for each in (fitted, again, of_file, of_stream):
        assert_of(kind, each.covariances_)
    in_memory = mixture(kind).fit(rows).covariances_
    assert_array_equal(of_file.covariances_, in_memory)
    assert_array_equal(of_stream.covariances_, in_memory)


def test_dask_collections_keep_it(kind, rows):
    array = pytest.importorskip("dask.array")
    of_chunks = array.from_array(rows, chunks=(150, 2))
    found = mixture(kind, init_params="kmeans").fit(of_chunks)
    assert_of(kind, found.covariances_)
    assert_allclose(
        found.covariances_, mixture(kind, init_params="kmeans").fit(rows).covariances_, rtol=1e-6
    )


def test_many_components_keep_it(kind, rows):
    assert_of(kind, mixture(kind, 25).fit(rows).covariances_)


def test_every_extrapolation_is_of_the_family(kind, rows):
    seen, source = [], open_source(rows)

    def data_pass(candidates):
        seen.extend(candidates)
        return passes.statistics(source, candidates)

    rule = em.Maximisation(kind, 1e-6)
    start = mixture(kind, init_params="kmeans", max_iter=0).fit(rows)._parameters()
    state = em.State(rule, start, acceleration=Acceleration("squarem"))
    em.run([state], data_pass, em.Stopping(0.0, 40))
    for each in seen:
        assert_of(kind, each.covariances)


@pytest.mark.parametrize("mean_rows", [None, 0.0, 5.0])
def test_the_objective_never_falls_with_a_prior_or_without(kind, rows, mean_rows):
    few = rows[::40] if mean_rows is not None else rows[::4]
    start = mixture(kind, init_params="kmeans", max_iter=0).fit(rows)._parameters()
    prior = None
    if mean_rows is not None:
        covariance = kind.structure.narrowed(2.0 * np.eye(2))
        prior = Prior(0.5, np.asarray(covariance), mean_rows, np.array([1.0, 2.0]), 2.0)
    source, state = open_source(few), em.State(em.Maximisation(kind, 0.0, prior), start)
    stopping = em.Stopping(0.0, 60)
    (state,) = em.run([state], lambda each: passes.statistics(source, each), stopping)
    assert state.failure is None
    assert_of(kind, state.parameters.covariances)
    assert np.min(np.diff(state.trace)) > -2e-13


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
    settings = {"means_init": centres, "max_iter": 2, "init_params": "kmeans"}
    starved = mixture(kind, **settings).fit(rows)
    assert_of(kind, starved.covariances_)
    found = repaired(starved._parameters(), [3], sample, rule)
    assert found is not None
    assert_of(kind, found.covariances)


def test_a_search_over_sizes_keeps_it(kind, rows):
    for n_components in (2, 5):
        found = fastgmm.select(rows, [n_components], kind.covariance_type, random_state=0)
        assert_of(kind, found.best_estimator_.covariances_)
    model = AutoGaussianMixture(
        range(1, 6), covariance_type=[kind.covariance_type, "tied"], random_state=0
    ).fit(rows)
    table = model.selection_.table
    ours = table["log_likelihood"][table["covariance_type"] == kind.covariance_type]
    assert np.all(np.diff(ours) > -1e-6 * abs(ours[0]))
    if model.covariance_type_ == kind.covariance_type:
        assert_of(kind, model.covariances_)


def test_rows_that_arrive_little_by_little_and_files_keep_it(kind, rows, rng, tmp_path):
    model = mixture(kind, step_power=0.7, init_params="kmeans")
    for batch in np.split(np.tile(rng.permutation(rows), (10, 1)), 30):
        model.partial_fit(batch)
        assert_of(kind, model.covariances_)
    model.save(tmp_path / "model.npz")
    loaded = fastgmm.load(tmp_path / "model.npz")
    assert loaded.covariance_type == kind.covariance_type
    assert_array_equal(loaded.covariances_, model.covariances_)
    assert_array_equal(loaded.score_samples(rows), model.score_samples(rows))


def test_a_checkpoint_goes_on_with_the_same_bits(kind, rows, tmp_path, monkeypatch):
    settings = {"init_params": "random", "tol": 0.0, "acceleration": "squarem", "max_iter": 12}
    whole = mixture(kind, **settings).fit(rows)
    path = tmp_path / "fit.npz"
    assert disturbed(lambda: mixture(kind, **settings).fit(rows, checkpoint=path), 7, monkeypatch)
    assert_array_equal(
        mixture(kind, **settings).fit(rows, checkpoint=path).covariances_, whole.covariances_
    )


def starved(kind, rows, path):
    """A fit whose start has a component without rows, which is repaired."""
    centres = np.array([[0.0, 0.0], [4, 0], [0, 6], [99, 99]])
    return mixture(kind, n_init=2, init_params="kmeans", means_init=centres, max_iter=20).fit(rows)


def little_by_little(kind, rows, path):
    """Rows in batches, of which the fifth finds the model in a file."""
    model = mixture(kind, step_power=0.7, init_params="kmeans")
    for i, batch in enumerate(np.split(np.tile(rows[np.argsort(rows[:, 0] % 0.1)], (5, 1)), 15)):
        if i == 5:
            model.save(path / "half.npz")
            model = fastgmm.load(path / "half.npz")
        model.partial_fit(batch)
    return model


WAYS = {
    "fit": lambda kind, rows, path: mixture(kind).fit(rows),
    "acceleration": lambda kind, rows, path: mixture(
        kind, acceleration="squarem", tol=1e-10, init_params="random"
    ).fit(rows),
    "repair": starved,
    "partial_fit": little_by_little,
    "prior": lambda kind, rows, path: mixture(kind, prior="auto").fit(rows[::10]),
    "warm start": lambda kind, rows, path: (
        mixture(kind, max_iter=3).fit(rows).set_params(warm_start=True).fit(rows[::2])
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_found_is_of_the_family_and_what_is_published_is_that_rounded_once(
    kind, rows, way, dtype, tmp_path, monkeypatch
):
    """Float32 holds equal volumes to its rounding only; what is rounded has them to 1e-12."""
    found = []

    def recorded(parameters, *arguments):
        found.append(parameters)
        return attributes_of(parameters, *arguments)

    for module in (climb, partial_fit):
        monkeypatch.setattr(module, "attributes_of", recorded)
    model = WAYS[way](kind, rows.astype(dtype), tmp_path)
    for each in found:
        published = each.covariances.astype(dtype)
        if dtype == np.float32 and np.array_equal(published, each.covariances):
            assert way == "partial_fit"  # of the attributes of a first fit, read back
            assert_of(kind, published)
        else:
            assert_of(kind, each.covariances)
    assert model.covariances_.dtype == dtype
    assert_array_equal(model.covariances_, found[-1].covariances.astype(dtype))
    assert_of(kind, model.covariances_)
    model.save(tmp_path / "model.npz")
    loaded = fastgmm.load(tmp_path / "model.npz")
    assert loaded.covariances_.dtype == dtype
    assert_array_equal(loaded.covariances_, model.covariances_)
    assert_array_equal(loaded.score_samples(rows), model.score_samples(rows))


def test_parameters_of_another_family_are_refused(kind, rows):
    own = mixture(kind, init_params="kmeans").fit(rows)
    numbers = own.weights_, own.means_, own.covariances_
    GaussianMixture.from_parameters(*numbers, covariance_type=kind.covariance_type)
    wider = own.covariances_.copy()
    if kind.structure == SPHERICAL:
        wider[0] *= 2.0
    elif kind.structure == FULL:
        wider[0] = wider[0] @ [[2.0, 0.4], [0.0, 1.0]] @ wider[0].T
        wider[0] += wider[0].T
    else:
        wider[0] *= [2.0, 1.0]
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
