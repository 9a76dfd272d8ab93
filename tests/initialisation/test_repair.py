"""Components that have failed are put elsewhere where that is likelier, and only there."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import DegenerateComponentWarning, GaussianMixture
from fastgmm.covariance import family
from fastgmm.em import diagnostics
from fastgmm.em.update_rules import Maximisation
from fastgmm.initialisation.repair import repaired
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source


def clusters(n_components=4, n_rows=600):
    """Round clusters far from one another."""
    rng = np.random.default_rng(3)
    means = 12.0 * np.arange(n_components)[:, None] * [1.0, -0.5]
    labels = rng.integers(n_components, size=n_rows)
    return means[labels] + rng.standard_normal((n_rows, 2)), means


def starved(means, structure):
    """The right mixture, but that two clusters share a component and one lies in the desert."""
    centres = np.array([means[0], (means[1] + means[2]) / 2, means[3], [1e5, 1e5]])
    covariance = {
        "spherical": np.full(4, 30.0),
        "diagonal": np.full((4, 2), 30.0),
        "tied": 30.0 * np.eye(2),
        "full": np.array([30.0 * np.eye(2)] * 4),
    }[structure]
    return Parameters.from_covariances(structure, [0.25, 0.5, 0.24, 0.01], centres, covariance)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_an_empty_component_takes_half_of_another(kind):
    rows, means = clusters()
    rule = Maximisation(family(kind), 1e-6)
    sample = draw_sample(open_source(rows), np.random.default_rng(0))
    found = repaired(starved(means, rule.family.structure), [3], sample, rule)
    assert_allclose(np.sort(found.means[:, 0]), means[:, 0], atol=0.5)


def test_rows_that_need_no_more_components_are_left_alone():
    rows = np.repeat(np.eye(2), 20, axis=0)
    rule = Maximisation(family("full"), 1e-6)
    sample = draw_sample(open_source(rows), np.random.default_rng(0))
    fitted = Parameters.from_covariances(
        "full",
        [0.5, 0.5, 0.0],
        np.array([[1.0, 0], [0, 1], [9, 9]]),
        np.array([1e-6 * np.eye(2)] * 3),
    )
    assert repaired(fitted, [2], sample, rule) is None


@pytest.fixture
def starving_start(monkeypatch):
    """Let starts of our own lose a component."""
    rows, means = clusters()
    monkeypatch.setattr(
        "fastgmm.estimators.starting_states.start_from", lambda *_: starved(means, "full")
    )
    return rows, means


def test_a_fit_puts_a_component_without_rows_elsewhere(starving_start):
    rows, means = starving_start
    model = GaussianMixture(4, random_state=0).fit(rows)  # without a warning: those are errors
    assert_allclose(np.sort(model.means_[:, 0]), means[:, 0], atol=0.5)
    assert model.n_iter_ <= model.max_iter
    assert (np.diff(model.lower_bounds_) > -1e-12).all()


def test_a_fit_puts_a_component_of_one_row_elsewhere(monkeypatch):
    rows, means = clusters()
    rows = np.append(rows, [[3.0, 3.0]], axis=0)  # likelier alone than with others, but not by much
    centres = np.array([means[0], (means[1] + means[2]) / 2, means[3], rows[-1]])
    covariances = np.array([2.0, 30.0, 2.0, 1e-6])[:, None, None] * np.eye(2)
    start = Parameters.from_covariances("full", [0.25, 0.5, 0.248, 0.002], centres, covariances)
    monkeypatch.setattr("fastgmm.estimators.starting_states.start_from", lambda *_: start)
    model = GaussianMixture(4, random_state=0).fit(rows)  # without a warning: those are errors
    assert_allclose(np.sort(model.means_[:, 0]), means[:, 0], atol=0.5)


def test_a_fit_puts_a_singular_component_elsewhere(monkeypatch):
    rows, means = clusters()
    rows = np.append(rows, [[3.0, 2.5], [3.0, 3.0], [3.0, 3.5]], axis=0)  # on a line
    centres = np.array([means[0], (means[1] + means[2]) / 2, means[3], rows[-2]])
    covariances = np.array([2.0, 30.0, 2.0, 1.0])[:, None, None] * np.eye(2)
    covariances[3] = np.diag([1e-6, 1.0 / 6.0])
    start = Parameters.from_covariances("full", [0.25, 0.5, 0.248, 0.002], centres, covariances)
    assert diagnostics.failing(start, start.weights * 4 * len(rows), 1e-6).singular == (3,)
    monkeypatch.setattr("fastgmm.estimators.starting_states.start_from", lambda *_: start)
    model = GaussianMixture(4, random_state=0).fit(rows)  # without a warning: those are errors
    assert_allclose(np.sort(model.means_[:, 0]), means[:, 0], atol=0.5)


def test_a_repair_keeps_within_max_iter(starving_start):
    rows, _ = starving_start
    model = GaussianMixture(4, prior=None, random_state=0, max_iter=2, tol=0.0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(rows)
    assert model.n_iter_ <= 2
    assert DegenerateComponentWarning in {each.category for each in said}


def test_a_start_that_the_user_gives_leads_where_it_leads():
    rows, means = clusters()
    given = starved(means, "full")
    model = GaussianMixture(
        4,
        weights_init=given.weights,
        means_init=given.means,
        precisions_init=given.precisions,
    )
    with pytest.warns(DegenerateComponentWarning, match="component 3 holds no row"):
        model.fit(rows)
    assert_array_equal(model.means_[3], given.means[3])


def test_sound_components_are_found_so_without_an_eigenvalue(monkeypatch):
    rows, _ = clusters()
    model = GaussianMixture(4, random_state=0).fit(rows)
    fitted = Parameters.from_covariances("full", model.weights_, model.means_, model.covariances_)
    monkeypatch.setattr(np.linalg, "eigh", None)
    assert diagnostics.failing(fitted, fitted.weights * len(rows), 1e-6).components == ()
