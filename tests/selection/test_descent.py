"""Starts that come down from more components, two of which are merged at a time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastgmm
from fastgmm import GaussianMixture, em
from fastgmm.covariance import family
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import draw_sample
from fastgmm.selection import descent
from fastgmm.selection.descent import Descent, unions
from fastgmm.sources import open_source
from tests import naive
from tests.selection.contests import contest_of

STRUCTURES = ("full", "tied", "diagonal", "spherical")


def in_pairs(structure):
    """Six components, in pairs: 0 and 1 are nearest, then 2 and 3, then 4 and 5."""
    means = np.array([[0, 0], [0.5, 0], [9, 0], [10, 0], [0, 9], [0, 11.0]])
    one = {"full": np.eye(2), "tied": np.eye(2), "diagonal": np.ones(2), "spherical": 1.0}
    covariances = one[structure] if structure == "tied" else np.stack([one[structure]] * 6)
    weights = np.array([0.1, 0.2, 0.1, 0.2, 0.1, 0.3])
    return Parameters.from_covariances(structure, weights, means, covariances)


def families(structure):
    return family(naive.COVARIANCE_TYPES[structure])


def mean_and_second_moment(mixture):
    outer = np.einsum("ki,kj->kij", mixture.means, mixture.means)
    return mixture.weights @ mixture.means, np.einsum(
        "k,kij->ij", mixture.weights, mixture.matrices + outer
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("n_merged", [1, 2, 3])
def test_the_nearest_pairs_are_merged(structure, n_merged):
    before = in_pairs(structure)
    found = list(unions(before, n_merged, families(structure)))
    assert len(found) == (descent.TRIED_PAIRS if n_merged == 1 else 1)
    first = found[0]
    assert first.n_components == 6 - n_merged
    merged = [0.3, 0.3, 0.4][:n_merged]
    left = [*before.weights[2 * n_merged :]]
    assert_allclose(sorted(first.weights), sorted([*merged, *left]))
    assert first.means[0, 0] == pytest.approx(0.5 * 0.2 / 0.3)
    if structure == "full":
        for ours, theirs in zip(*map(mean_and_second_moment, (first, before)), strict=True):
            assert_allclose(ours, theirs, atol=1e-13)


def test_components_that_have_collapsed_are_merged_first():
    for each in unions(in_pairs("full"), 1, families("full"), [5]):
        assert 0.3 not in each.weights  # that of component 5
    both = next(unions(in_pairs("full"), 2, families("full"), [5, 3]))
    assert both.n_components == 4
    assert not np.isin([10, 11], both.means).any()


def descent_of(rows, counts, kind="full", **arguments):
    rng = np.random.default_rng(0)
    sample = draw_sample(open_source(rows), rng)
    contest = contest_of(len(rows), rows.shape[1], counts=counts, families=[family(kind)])
    return Descent(sample, em.Maximisation(family(kind), 1e-6), contest, rng, **arguments)


def test_gaps_are_crossed_by_halves(rng, monkeypatch):
    rows = rng.normal(size=(400, 2))
    seen = []

    def told(parameters, n_merged, *arguments):
        seen.append((parameters.n_components, n_merged))
        return unions(parameters, n_merged, *arguments)

    monkeypatch.setattr(descent, "unions", told)
    found = descent_of(rows, [1, 12])
    found.descend([1, 12])
    assert seen == [(12, 6), (6, 3), (3, 1), (2, 1)]
    assert sorted(found.found) == [1, 12]


def test_what_has_collapsed_is_begun_anew_from_fewer(monkeypatch):
    """Five different rows, repeated: no component may have one of them alone."""
    rows = np.repeat(np.random.default_rng(1).normal(size=(5, 2)), 10, axis=0)
    begun = []
    start = Descent._start
    monkeypatch.setattr(
        Descent, "_start", lambda self, count: begun.append(count) or start(self, count)
    )
    found = descent_of(rows, [1, 2, 3, 4])
    found.descend([1, 2, 3, 4])
    assert begun[0] == 4
    assert begun == sorted(begun, reverse=True)
    assert {count for count in (2, 3, 4) if not found.values[count] < np.inf} <= set(begun)


def overlapping(n_rows, seed):
    """Draw six clusters of four features, so near that growing loses its way."""
    rng = np.random.default_rng([seed, 4, 6])
    weights = rng.uniform(1.0, 4.0, 6)
    means = rng.normal(scale=1.4, size=(6, 4))
    axes, _ = np.linalg.qr(rng.normal(size=(6, 4, 4)))
    factors = axes * np.sqrt(np.exp(rng.uniform(np.log(0.1), np.log(2.0), (6, 1, 4))))
    labels = rng.choice(6, size=n_rows, p=weights / weights.sum())
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_rows, 4)))


@pytest.mark.parametrize("seed", range(3))
def test_overlapping_clusters_are_counted(seed):
    """As by a loop of fits: mixtures that grew were up to 370 of BIC above it."""
    rows = overlapping(8_000, seed)
    found = fastgmm.select(rows, range(1, 13), "full", random_state=seed).best_estimator_
    loop = [GaussianMixture(count, n_init=2, random_state=0).fit(rows) for count in (5, 6, 7)]
    lowest = min(loop, key=lambda each: each.bic(rows))
    assert found.n_components == lowest.n_components == 6
    assert found.bic(rows) < lowest.bic(rows) + 2.0


def test_the_same_generator_leads_to_the_same_bits(rng):
    rows = rng.normal(size=(500, 2)) + 4.0 * rng.integers(2, size=(500, 1))
    first, second = (descent_of(rows, [1, 2, 3], strengths=(0.0, 1.0)) for _ in range(2))
    for each in (first, second):
        each.descend([1, 2, 3])
        each.refine([1, 2, 3])
    assert first.values == second.values
    for count in (1, 2, 3):
        assert_array_equal(
            first.found[count].parameters.means, second.found[count].parameters.means
        )


def test_a_start_that_fails_is_told(monkeypatch):
    rows = np.zeros((20, 2))
    found = descent_of(rows, [1, 2])
    found.rule = em.Maximisation(family("full"), 0.0)
    found.descend([1, 2])
    found.refine([1, 2])
    assert all(isinstance(each, fastgmm.DegenerateCovarianceError) for each in found.found.values())
    assert sorted(found.found) == [1, 2]
