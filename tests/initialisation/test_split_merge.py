"""Exchanges of components: their moments, and which are tried together."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import passes
from fastgmm.covariance import family
from fastgmm.em.update_rules import Maximisation
from fastgmm.initialisation import split_merge
from fastgmm.initialisation.short_runs import ShortRuns
from fastgmm.initialisation.split_merge import Held, Split, held, merged, merges, splits, together
from fastgmm.mixture import sampling
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import Sample, draw_sample
from fastgmm.sources import open_source


def mixture(rng, structure, n_components=5, n_features=3):
    weights = rng.dirichlet(np.ones(n_components))
    means = 4.0 * rng.standard_normal((n_components, n_features))
    roots = rng.standard_normal((n_components, n_features, n_features))
    covariances = {
        "full": roots @ roots.swapaxes(1, 2) + np.eye(n_features),
        "tied": roots[0] @ roots[0].T + np.eye(n_features),
        "diagonal": rng.uniform(0.5, 2.0, (n_components, n_features)),
        "spherical": rng.uniform(0.5, 2.0, n_components),
    }[structure]
    return Parameters.from_covariances(structure, weights, means, covariances)


def trace_about_zero(parameters):
    """Total second moment of a mixture."""
    d, structure = parameters.n_features, parameters.structure
    within = {
        "full": lambda: np.einsum("kii->k", parameters.covariances),
        "diagonal": lambda: parameters.covariances.sum(axis=1),
        "spherical": lambda: d * parameters.covariances,
    }[structure]()
    return parameters.weights @ (within + (parameters.means**2).sum(axis=1))


@pytest.mark.parametrize("structure", ["full", "diagonal", "spherical"])
def test_a_merge_keeps_the_moments_of_the_whole(rng, structure):
    before = mixture(rng, structure)
    after = merged(before, [(1, 3), (0, 4)], family(naive.COVARIANCE_TYPES[structure]))
    assert_array_equal(after.weights[[3, 4]], 0.0)
    assert_allclose(after.weights.sum(), 1.0)
    assert_allclose(after.weights @ after.means, before.weights @ before.means)
    assert_allclose(trace_about_zero(after), trace_about_zero(before))
    assert_array_equal(after.means[2], before.means[2])


def test_merges_of_many_are_those_of_all_pairs_that_lose_least(rng, monkeypatch):
    found = mixture(rng, "diagonal", 40)
    everything = merges(found)
    monkeypatch.setattr(split_merge, "PARTNERS", 8)
    nearest = merges(found)
    assert len(nearest) < len(everything) / 2
    assert nearest[:10] == everything[:10]


def test_no_component_is_in_two_exchanges(rng):
    nothing = Held(np.zeros(0, int), np.zeros(0))
    best = [Split(k, 0.0, nothing, np.zeros(0, bool)) for k in (2, 7, 4)]
    pairs = [(0.1, 2, 3), (0.2, 0, 1), (0.3, 1, 5), (0.4, 5, 6), (0.5, 8, 9)]
    found = together(best, pairs)
    assert [(pair, split.component) for pair, split in found] == [
        ((0, 1), 2),
        ((5, 6), 7),
        ((8, 9), 4),
    ]
    assert together(best, pairs[:2]) == found[:1]


@pytest.mark.parametrize("structure", ["full", "tied", "diagonal", "spherical"])
def test_rows_held_piece_by_piece_are_those_of_all_responsibilities(rng, structure, monkeypatch):
    monkeypatch.setattr(
        "fastgmm.initialisation.short_runs.MOST_RESPONSIBILITIES", 500
    )  # pieces of a hundred rows
    parameters = mixture(rng, structure)
    rows, _ = sampling.sample(parameters, 1000, np.random.RandomState(0))
    sample = draw_sample(open_source(rows), rng)
    kind = {"diagonal": "diag"}.get(structure, structure)
    short = ShortRuns(sample, Maximisation(family(kind), 1e-6))
    whole = passes.responsibilities(open_source(sample.rows), parameters).T
    pairs = list(zip(short.held(parameters), held(whole), strict=True))
    assert len(pairs) == 5
    for found, expected in pairs:
        assert_array_equal(found.rows, expected.rows)
        assert_array_equal(found.shares, expected.shares)


def test_a_split_gives_a_component_the_rows_that_leave(rng):
    apart = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(100, 2)) + 12.0])
    drawn = draw_sample(open_source(apart), rng)
    sample = drawn._replace(origin=np.zeros(2))
    short = ShortRuns(sample, Maximisation(family("full"), 1e-6))
    covariance = sample.rows.T @ (sample.weights[:, None] * sample.rows)
    both = Parameters.from_covariances(
        "full", np.array([1.0, 0.0]), np.zeros((2, 2)), np.stack([covariance, np.eye(2)])
    )
    (split,) = splits(sample, short.held(both))
    found = short.divided(both, [(1, split)])
    assert_allclose(np.sort(found.weights), [0.25, 0.75])
    centres = found.means[np.argsort(found.weights)] + drawn.origin
    assert_allclose(centres, [apart[300:].mean(axis=0), apart[:300].mean(axis=0)])


def test_what_holds_two_clusters_is_cut_before_small_normal_clusters(rng):
    # two clusters that overlap in one component, between eight small ones
    centres = np.column_stack([np.arange(8.0) * 30.0, np.full(8, 50.0)])
    small = [centre + rng.normal(size=(60, 2)) for centre in centres]
    two = rng.normal(size=(1600, 2))
    two[800:, 0] += 2.5
    rows = np.concatenate([*small, two])
    labels = np.repeat(np.arange(9), [60] * 8 + [1600])
    shares = np.eye(9)[labels].T
    sample = Sample(rows, np.full(len(rows), 1.0 / len(rows)), np.zeros(2))
    found = splits(sample, held(shares), split_merge.NORMAL)
    assert found[0].component == 8
    # by itself any cut loses, and that of a small cluster loses least
    by_itself = splits(sample, held(shares))
    assert by_itself[0].gain < 0.0
    assert by_itself[-1].component == 8
