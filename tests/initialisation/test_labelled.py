"""Starts with labels: components go to the classes they fit, labelled rows lead where they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.covariance import FAMILIES
from fastgmm.em import Maximisation
from fastgmm.initialisation.labelled import from_labels, given_to_classes, prior_beside_labels
from fastgmm.initialisation.methods import start_from
from fastgmm.passes.labelled import LabelledRows
from fastgmm.passes.subsample import draw_sample
from fastgmm.sources import open_source

CENTRES = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]])


@pytest.fixture(params=["full", "tied", "diag", "spherical", "VEE"])
def family(request):
    return FAMILIES[request.param]


def case_of(family, order, n_labelled=4, per_class=1):
    """Four clusters, of which some rows of those in `order` have the class of their place there."""
    rng = np.random.default_rng(1)
    true = np.repeat(np.arange(4), 60)
    rows = CENTRES[true] + rng.normal(size=(240, 2))
    labels = np.full(240, -1)
    for label, cluster in enumerate(order):
        labels[np.flatnonzero(true == cluster)[:n_labelled]] = label // per_class
    n_classes = (len(order) - 1) // per_class + 1
    labelled = LabelledRows(open_source(rows), labels, n_classes, per_class, family.structure)
    return rows, labelled


def drawn(rows, family, k=4):
    sample = draw_sample(open_source(rows), np.random.default_rng(0))
    rule = Maximisation(family, 1e-6)
    return sample, rule, start_from(sample, "auto", k, rule, np.random.default_rng(0))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 1), (2,)])
def test_components_go_to_the_classes_whose_rows_they_hold(family, order):
    rows, labelled = case_of(family, order)
    *_, start = drawn(rows, family)
    found = given_to_classes(start, labelled)
    assert_allclose(found.means[: len(order)], CENTRES[list(order)], atol=1.0)
    assert_array_equal(np.sort(found.means[:, 0]), np.sort(start.means[:, 0]))
    assert found.weights.sum() == pytest.approx(1.0)


def test_several_components_of_a_class_are_those_of_its_rows(family):
    rows, labelled = case_of(family, (3, 0, 1, 2), per_class=2)
    *_, start = drawn(rows, family)
    found = given_to_classes(start, labelled).means.round(-1)
    assert {tuple(mean) for mean in found[:2]} == {(10.0, 10.0), (0.0, 0.0)}
    own = from_labels(
        given_to_classes(start, labelled),
        labelled,
        *drawn(rows, family)[:2],
        np.random.default_rng(0),
    )
    assert {tuple(mean) for mean in own.means[:2].round(-1)} == {(10.0, 10.0), (0.0, 0.0)}


@pytest.mark.parametrize("n_labelled", [1, 2, 30])
def test_labelled_rows_lead_where_they_are(family, n_labelled):
    """Their covariances are positive definite, also those of one row."""
    rows, labelled = case_of(family, (1, 2), n_labelled)
    sample, rule, start = drawn(rows, family)
    ordered = given_to_classes(start, labelled)
    found = from_labels(ordered, labelled, sample, rule, np.random.default_rng(0))
    assert_array_equal(found.means[:2], labelled.sums.means)
    assert_array_equal(found.means[2:], ordered.means[2:])
    assert np.linalg.eigvalsh(found.matrices).min() > 0.05
    assert_array_equal(found.weights, np.full(4, 0.25))


def test_many_labelled_rows_say_their_own_covariance():
    rows, labelled = case_of(FAMILIES["full"], (0, 1, 2, 3), 60)
    sample, rule, start = drawn(rows, FAMILIES["full"])
    found = from_labels(
        given_to_classes(start, labelled), labelled, sample, rule, np.random.default_rng(0)
    )
    own = np.array([np.cov(rows[60 * k : 60 * k + 60].T, bias=True) for k in range(4)])
    assert_allclose(found.covariances, own, atol=0.15)  # 3 rows of 63 are the others'


def test_a_prior_is_looked_for_where_rows_are_few(family):
    rows, labelled = case_of(family, (0, 1, 2, 3))
    sample, rule, start = drawn(rows, family)
    ordered = given_to_classes(start, labelled)
    given = prior_beside_labels([ordered], labelled, sample, rule, (7.0,))
    assert given.rows == 7.0
    many = np.repeat(rows, 100, axis=0) + np.random.default_rng(2).normal(size=(24_000, 2))
    labels = np.repeat(labelled.labels, 100)
    long = LabelledRows(open_source(many), labels, 4, 1, family.structure)
    sample = draw_sample(open_source(many), np.random.default_rng(0))
    assert prior_beside_labels([ordered], long, sample, rule, (0.0, 1.0, 10.0)) is None
