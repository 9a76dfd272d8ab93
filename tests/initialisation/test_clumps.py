"""Compact clusters inside broad ones, against the truth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastgmm import GaussianMixture, em
from fastgmm.covariance import family
from fastgmm.em.update_rules import Maximisation
from fastgmm.initialisation.clumps import Scan, pairs_to_merge, with_clumps
from fastgmm.initialisation.short_runs import ShortRuns
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source

FULL = Maximisation(family("full"), 1e-6)


def field(n_rows, n_clump, ratio, offset, n_features, seed):
    """Standard normal rows, and a clump some deviations off in the first two features."""
    rng = np.random.default_rng(seed)
    centre = np.zeros(n_features)
    centre[:2] = offset / np.sqrt(2.0)
    clump = centre + rng.standard_normal((n_clump, n_features)) / ratio
    rows = np.concatenate([rng.standard_normal((n_rows, n_features)), clump])
    return rows, np.repeat([0, 1], [n_rows, n_clump])


def from_truth(rows, labels, kind="full", **more):
    of = [rows[labels == k] for k in range(labels.max() + 1)]
    covariances = np.array([np.cov(each.T) for each in of])
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    precisions = {
        "full": np.linalg.inv(covariances),
        "diag": 1.0 / variances,
        "spherical": 1.0 / variances.mean(axis=1),
    }
    return GaussianMixture(
        len(of),
        covariance_type=kind,
        weights_init=np.bincount(labels) / len(rows),
        means_init=[each.mean(axis=0) for each in of],
        precisions_init=precisions[kind],
        **more,
    ).fit(rows)


def shortfall(rows, labels, seed, kind="full", **more):
    """Nats per row by which the default fit is below the climb from the truth."""
    truth = from_truth(rows, labels, kind, prior=None)
    model = GaussianMixture(labels.max() + 1, covariance_type=kind, random_state=seed, **more)
    return truth.score(rows) - model.fit(rows).score(rows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [0.0, 1.0, 2.8])
@pytest.mark.parametrize(("ratio", "n_features"), [(100, 2), (1000, 2), (15, 4), (1000, 4), (5, 8)])
def test_a_clump_anywhere_in_a_broad_field_is_found(ratio, n_features, offset, seed):
    rows, labels = field(20_000, 200, ratio, offset, n_features, seed)
    assert shortfall(rows, labels, seed) < 0.002


@pytest.mark.parametrize("seed", range(3))
def test_a_clump_that_the_sub_sample_hardly_holds_is_found(seed):
    rows, labels = field(100_000, 300, 100, 1.4, 4, seed)
    assert shortfall(rows, labels, seed) < 0.002


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_a_clump_is_found_with_variances_alone(kind):
    rows, labels = field(10_000, 150, 50, 1.0, 4, 0)
    assert shortfall(rows, labels, 0, kind) < 0.002


@pytest.mark.parametrize("seed", range(3))
def test_several_clumps_of_different_sizes_are_found(seed):
    rng = np.random.default_rng([seed, 3])
    centres = 0.8 * rng.standard_normal((3, 4))
    parts = [rng.standard_normal((20_000, 4))]
    for centre, ratio, n_clump in zip(centres, (20, 60, 200), (100, 200, 400), strict=True):
        parts.append(centre + rng.standard_normal((n_clump, 4)) / ratio)
    labels = np.repeat(np.arange(4), [len(part) for part in parts])
    assert shortfall(np.concatenate(parts), labels, seed) < 0.002


@pytest.mark.parametrize("gap", [6.0, 100.0])
def test_a_clump_is_found_where_other_clusters_are(gap):
    rng = np.random.default_rng(5)
    rows, labels = field(10_000, 200, 50, 1.0, 3, 5)
    for k in (2, 3, 4):
        axes = rng.uniform(0.4, 2.0, 3)
        other = gap * rng.standard_normal(3) + axes * rng.standard_normal((4000, 3))
        rows, labels = np.concatenate([rows, other]), np.append(labels, np.full(4000, k))
    assert shortfall(rows, labels, 0) < 0.002


@pytest.mark.parametrize("prior", ["auto", None])
@pytest.mark.parametrize("seed", range(3))
def test_a_clump_of_few_rows_is_found_with_and_without_a_prior(prior, seed):
    rows, labels = field(300, 20, 100, 1.0, 2, seed)  # so few that a prior is looked for
    assert shortfall(rows, labels, seed, prior=prior) < 0.005


def leader(rows, means):
    """A start of round components of variance one, and what it is judged on."""
    sample = draw_sample(open_source(rows), np.random.default_rng(0))
    centred = sample._replace(origin=np.zeros(rows.shape[1]))
    means = np.asarray(means) - sample.origin
    weights, unit = np.full(len(means), 1.0 / len(means)), np.eye(rows.shape[1])
    parameters = Parameters.from_covariances(
        FULL.family.structure, weights, means, [unit] * len(means)
    )
    return em.State(FULL, parameters), centred


@pytest.mark.parametrize("n_features", [2, 6, 12])
def test_rows_without_clumps_leave_the_leader_as_it_is(n_features):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((3000, n_features))
    rows[:1000] += 6.0
    state, whole = leader(rows, [np.full(n_features, 6.0), np.zeros(n_features)])
    state = em.State(FULL, ShortRuns(whole, FULL).advance([state], 5)[0].parameters)
    short = ShortRuns(whole, FULL)
    assert with_clumps(state, short, whole, 500, rng) == (state, short)


def test_equal_rows_are_no_clump():
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.standard_normal((15_000, 2)), np.full((200, 2), 0.5)])
    found = GaussianMixture(2, random_state=0).fit(rows)
    assert np.linalg.eigvalsh(found.covariances_).min() > 0.1


def test_a_sub_sample_with_more_of_a_clump_weighs_it_as_before():
    rows, labels = field(20_000, 200, 100, 1.0, 2, 0)
    state, whole = leader(rows, [[0.0, 0.0], [0.5, 0.0]])
    rng = np.random.default_rng(3)
    look = Scan(whole, state.parameters, FULL, rng)
    (ball, *_) = look.balls(state.parameters)
    inside = ball.marks(look.white(whole.rows))
    assert labels[inside].mean() > 0.9
    assert inside.sum() > 100
    chosen = rng.choice(len(whole.rows), 2000, replace=False)
    fewer = whole._replace(rows=whole.rows[chosen], weights=np.full(2000, 1 / 2000))
    for most in (1000, 50):
        more = look.resampled(fewer, ball, most, rng)
        about, all_about = (ball.marks(look.white(each.rows), 1.5) for each in (more, whole))
        assert_allclose(more.weights.sum(), 1.0, rtol=1e-12)
        assert_allclose(more.weights[about].sum(), whole.weights[all_about].sum(), rtol=1e-12)
        assert about.sum() == min(most, all_about.sum())


def test_halves_of_a_field_are_merged_rather_than_clumps_in_it():
    halves = [np.diag([0.36, 1.0])] * 2
    clumps = [1e-6 * np.eye(2)] * 2
    parameters = Parameters.from_covariances(
        FULL.family.structure,
        np.array([0.495, 0.003, 0.495, 0.007]),
        np.array([[-0.8, 0.0], [0.1, 0.1], [0.8, 0.0], [0.3, -0.2]]),
        np.array([halves[0], clumps[0], halves[1], clumps[1]]),
    )
    assert (0, 2) in pairs_to_merge(parameters)[:2]
