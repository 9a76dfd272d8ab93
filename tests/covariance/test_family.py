"""The table of families: names, degrees of freedom, and the contract of `estimate`."""

from __future__ import annotations

import pickle
from dataclasses import replace

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.mixture import GaussianMixture

from fastgmm.covariance import FAMILIES, family
from fastgmm.mixture.statistics import SufficientStatistics

FAMILY_OF = {family.structure: family for family in FAMILIES.values()}


@pytest.mark.parametrize(
    ("letters", "covariance_type", "structure"),
    [
        ("VII", "spherical", "spherical"),
        ("VVI", "diag", "diagonal"),
        ("EEE", "tied", "tied"),
        ("VVV", "full", "full"),
    ],
)
def test_a_family_is_found_by_both_of_its_names(letters, covariance_type, structure):
    found = family(letters)
    assert found is family(covariance_type)
    assert (found.name, found.covariance_type) == (letters, covariance_type)
    assert found.structure == structure
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("wrong", "suggested"),
    [("diagonal", "diag"), ("Full", "full"), ("vvv", "VVV"), ("sphere", "spherical")],
)
def test_an_unknown_name_is_refused_with_a_suggestion(wrong, suggested):
    with pytest.raises(
        ValueError, match=rf"'{wrong}' \(did you mean '{suggested}'\?\); choose one of"
    ):
        family(wrong)


@pytest.mark.parametrize("wrong", ["?", ""])
def test_a_name_like_no_other_is_refused_with_the_list_alone(wrong):
    with pytest.raises(
        ValueError, match=f"no covariance family is named {wrong!r}; choose".replace("?", r"\?")
    ):
        family(wrong)


@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (3, 2), (3, 4), (5, 10)])
def test_degrees_of_freedom_are_scikit_learn_s(structure, n_components, n_features):
    theirs = GaussianMixture(n_components, covariance_type=naive.COVARIANCE_TYPES[structure])
    theirs.means_ = np.zeros((n_components, n_features))
    assert FAMILY_OF[structure].n_parameters(n_components, n_features) == theirs._n_parameters()


@pytest.mark.parametrize(
    ("name", "counts"),
    [("VII", (3, 3, 5)), ("VVI", (6, 12, 50)), ("EEE", (3, 10, 55)), ("VVV", (9, 30, 275))],
)
def test_covariance_parameters_are_those_of_the_table(name, counts):
    """The rows of d=2, G=3; d=4, G=3; d=10, G=5 in Celeux and Govaert's table."""
    found = family(name)
    assert counts == tuple(
        found.n_covariance_parameters(k, d) for k, d in [(3, 2), (3, 4), (5, 10)]
    )


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 0.5])
def test_estimates_agree_with_the_naive_twin(make_case, structure, reg_covar, offset):
    rows, row_weights, parameters = make_case(structure, 300, 4, 3, offset=offset)
    statistics = naive.statistics(rows, row_weights, parameters)
    weighted = naive.responsibilities(rows, parameters) * row_weights[:, None]
    expected = naive.m_step(rows, weighted, structure, reg_covar)
    found = FAMILY_OF[structure].estimate(statistics, statistics.means, reg_covar)
    # at 1e8 the means are stored to 1.5e-8, whose square is what a variance may be off by
    assert_allclose(found, expected.covariances, rtol=1e-13, atol=1e-14)
    assert_allclose(statistics.means, expected.means, rtol=2e-16, atol=1e-13)


def test_scatter_may_be_asked_about_any_means(make_case, structure, rng):
    rows, row_weights, parameters = make_case(structure, 200, 3, 2)
    statistics = naive.statistics(rows, row_weights, parameters)
    means = rng.normal(size=(2, 3))
    weighted = naive.responsibilities(rows, parameters) * row_weights[:, None]
    weight = weighted.sum(axis=0)
    centred = naive.exact(rows)[:, None, :] - means
    moments = np.einsum("nk,nki,nkj->kij", weighted, centred, centred)
    divisor = {
        "spherical": 3 * weight,
        "diagonal": weight[:, None],
        "tied": weight.sum(),
        "full": weight[:, None, None],
    }[structure]
    found = FAMILY_OF[structure].estimate(statistics, means, 0.0)
    assert_allclose(found, naive.in_shape_of(structure, moments) / divisor, rtol=1e-12)


def test_matrices_are_symmetric_to_the_last_bit(make_case):
    for structure in ("tied", "full"):
        statistics = naive.statistics(*make_case(structure, 200, 5, 3))
        second = statistics.second
        statistics = replace(statistics, second=0.5 * (second + second.swapaxes(-1, -2)))
        found = FAMILY_OF[structure].estimate(statistics, statistics.means, 1e-6)
        assert_array_equal(found, found.swapaxes(-1, -2))


def test_rounding_never_leaves_a_negative_variance(structure):
    """Equal rows far from the origin: the scatter is a difference of equal numbers, or so."""
    n_rows, row = 3, np.array([0.1, 0.7])
    zeros = SufficientStatistics.zeros(structure, np.zeros((1, 2)))
    products = (1.0 - 1e-15) * n_rows * np.outer(row, row)[None]
    statistics = replace(
        zeros,
        weight=[float(n_rows)],
        first=n_rows * row[None],
        second=naive.in_shape_of(structure, products),
    )
    chosen = FAMILY_OF[structure]
    scatter = statistics.rebased(statistics.means).second
    assert np.min(scatter) < 0.0
    for reg_covar in (0.0, 1e-6):
        found = chosen.estimate(statistics, statistics.means, reg_covar)
        variances = found if structure in ("spherical", "diagonal") else found[..., [0, 1], [0, 1]]
        assert_allclose(variances, reg_covar, rtol=1e-15)


@pytest.mark.parametrize("weight", [0.0, 5e-324])
def test_a_component_without_weight_has_reg_covar_alone(weight):
    for structure in ("spherical", "diagonal", "full"):
        zeros = SufficientStatistics.zeros(structure, np.zeros((2, 2)))
        second = np.array(zeros.second)
        second[0] = naive.in_shape_of(structure, 8.0 * np.eye(2)[None])[0]
        statistics = replace(zeros, weight=[4.0, weight], second=second)
        found = FAMILY_OF[structure].estimate(statistics, statistics.means, 0.25)
        expected = np.array([2.25 * np.eye(2), 0.25 * np.eye(2)])
        divisor = 2 if structure == "spherical" else 1
        assert_allclose(found, naive.in_shape_of(structure, expected) / divisor, rtol=1e-15)


def test_a_component_without_weight_does_not_change_the_shared_covariance():
    zeros = SufficientStatistics.zeros("tied", np.zeros((2, 2)))
    statistics = replace(zeros, weight=[4.0, 0.0], second=8.0 * np.eye(2))
    assert_array_equal(family("tied").estimate(statistics, statistics.means, 0.0), 2.0 * np.eye(2))
