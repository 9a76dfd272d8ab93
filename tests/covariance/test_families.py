"""Every family beside the truth: a generic optimiser, nesting, invariants, degrees of freedom."""

from __future__ import annotations

import numpy as np
import pytest
from covariance.parametrised import matrices, n_numbers, objective
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.stats import ortho_group

from fastgmm import GaussianMixture
from fastgmm.covariance import ALL, FAMILIES, called, family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread

NAMES = [each.name for each in ALL]
ITERATIVE = ["VEI", "VEE", "VEV", "EVE", "VVE"]
TURNING = [name for name in NAMES if name[1] == "I" or name[2] != "I"]
# each is within the others, so its minimum is not lower
WITHIN = {
    "EII": ["VII", "EEI"],
    "VII": ["VEI"],
    "EEI": ["VEI", "EVI", "EEE"],
    "VEI": ["VVI", "VEE"],
    "EVI": ["VVI", "EVE"],
    "VVI": ["VVE"],
    "EEE": ["VEE", "EVE", "EEV"],
    "VEE": ["VVE", "VEV"],
    "EVE": ["VVE", "EVV"],
    "VVE": ["VVV"],
    "EEV": ["VEV", "EVV"],
    "VEV": ["VVV"],
    "EVV": ["VVV"],
}


@pytest.fixture(autouse=True)
def on_one_thread():
    """Thousands of small matrices, for which two threads took ten times as long."""
    with one_blas_thread():
        yield


def problem(seed, n_components=3, n_features=3):
    """Covariances of components' rows that have nothing in common, and the components' parts."""
    rng = np.random.default_rng(seed)
    scales = np.exp(0.5 * rng.normal(size=(n_components, n_features, 1)) + rng.normal(size=3)[0])
    rows = rng.normal(size=(n_components, n_features, 3 * n_features)) * scales
    own = rows @ rows.swapaxes(1, 2) / (3 * n_features)
    return own, rng.dirichlet(np.full(n_components, 3.0))


def estimated(name, own, parts, start=None):
    """The covariances of a family where these are those of the rows, as matrices."""
    chosen = family(name)
    n_components, n_features = len(own), own.shape[-1]
    if chosen.structure.is_shared:
        given = np.einsum("k,kij->ij", parts, own)
    else:
        given = np.array([chosen.structure.narrowed(each) for each in own])
    found = chosen.nearest(given, parts, start)
    return chosen.structure.matrices(found, n_components, n_features)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_optimiser_finds_better_covariances(name, seed):
    own, parts = problem(seed)
    reached = objective(own, parts, estimated(name, own, parts))
    rng = np.random.default_rng(seed)
    axes = np.linalg.eigh(own)[1] if name[2] == "V" else np.linalg.eigh(own.mean(axis=0))[1]
    axes = np.eye(3) if name[2] == "I" else axes
    n_starts = 3 if name[2] == "E" else 1  # of the others each minimum is the only one
    lowest = np.inf
    for trial in range(n_starts):
        spread = 0.0 if trial == 0 else 1.0
        start = spread * rng.normal(size=n_numbers(name, 3, 3))
        found = minimize(
            lambda numbers: objective(own, parts, matrices(name, numbers, 3, 3, axes)),
            start,
            method="BFGS",
            options={"gtol": 1e-6},
        )
        lowest = min(lowest, found.fun)
    assert reached <= lowest + 1e-8
    assert reached >= lowest - 1e-6  # the optimiser was near


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n_components", "n_features"), [(3, 1), (1, 3), (2, 2), (3, 4)])
def test_degrees_of_freedom_are_the_rank_of_the_map_to_covariances(name, n_components, n_features):
    rng = np.random.default_rng(7)
    count = n_numbers(name, n_components, n_features)
    at, step = 0.5 * rng.normal(size=count), 1e-5
    axes = ortho_group.rvs(n_features, random_state=1) if n_features > 1 else np.eye(1)
    axes = np.eye(n_features) if name[2] == "I" else axes
    slopes = [
        matrices(name, at + step * e, n_components, n_features, axes)
        - matrices(name, at - step * e, n_components, n_features, axes)
        for e in np.eye(count)
    ]
    slopes = np.reshape(slopes, (count, -1)) / (2.0 * step)
    rank = np.linalg.matrix_rank(slopes, tol=1e-6 * np.linalg.norm(slopes))
    assert family(name).n_covariance_parameters(n_components, n_features) == rank


@pytest.mark.parametrize(
    ("name", "counts"),
    {
        "EII": (1, 1, 1),
        "VII": (3, 3, 5),
        "EEI": (2, 4, 10),
        "VEI": (4, 6, 14),
        "EVI": (4, 10, 46),
        "VVI": (6, 12, 50),
        "EEE": (3, 10, 55),
        "VEE": (5, 12, 59),
        "EVE": (5, 16, 91),
        "VVE": (7, 18, 95),
        "EEV": (5, 22, 235),
        "VEV": (7, 24, 239),
        "EVV": (7, 28, 271),
        "VVV": (9, 30, 275),
    }.items(),
)
def test_covariance_parameters_are_those_of_celeux_and_govaert(name, counts):
    found = family(name).n_covariance_parameters
    assert counts == tuple(found(k, d) for k, d in [(3, 2), (3, 4), (5, 10)])


@pytest.mark.parametrize("seed", range(20))
def test_minima_are_ordered_as_families_nest(seed):
    own, parts = problem(seed, 4, 3)
    reached = {name: objective(own, parts, estimated(name, own, parts)) for name in NAMES}
    for narrow, wider in WITHIN.items():
        for wide in wider:
            assert reached[wide] <= reached[narrow] + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_distances_sum_to_the_dimensions_of_the_rows(name):
    """F is stationary where all covariances are scaled alike, or one volume that is its own."""
    own, parts = problem(3, 4, 5)
    found = estimated(name, own, parts)
    traces = np.trace(np.linalg.solve(found, own), axis1=1, axis2=2)
    assert parts @ traces == pytest.approx(5.0, rel=1e-12)
    if name[0] == "V":
        assert_allclose(traces, 5.0, rtol=1e-10)


@pytest.mark.parametrize("name", TURNING)
def test_rows_that_are_turned_have_turned_covariances(name):
    own, parts = problem(4, 3, 4)
    turn = ortho_group.rvs(4, random_state=2)
    found = estimated(name, turn @ own @ turn.T, parts)
    rtol = 1e-6 if name in ("EVE", "VVE") else 1e-11  # axes are right to the root of 1e-16
    expected = turn @ estimated(name, own, parts) @ turn.T
    assert_allclose(found, expected, atol=rtol * np.abs(own).max())


@pytest.mark.parametrize("name", ["EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV"])
def test_units_of_features_do_not_matter(name):
    own, parts = problem(5, 3, 4)
    units = np.diag([1e-3, 1.0, 10.0, 1e4])
    found = estimated(name, units @ own @ units, parts)
    assert_allclose(found, units @ estimated(name, own, parts) @ units, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["EEE", "VEE", "EVV", "VVV"])
def test_any_linear_map_of_the_rows_maps_the_covariances(name, rng):
    own, parts = problem(6, 3, 4)
    by = rng.normal(size=(4, 4))
    found = estimated(name, by @ own @ by.T, parts)
    assert_allclose(found, by @ estimated(name, own, parts) @ by.T, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_in_one_dimension_only_volumes_differ(name):
    own, parts = problem(7, 3, 1)
    expected = estimated("EII" if name[0] == "E" else "VII", own, parts)
    assert_allclose(estimated(name, own, parts), expected, rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_of_one_component_only_the_kind_of_axes_matters(name):
    own, parts = problem(8, 1, 4)
    kind = "EII" if name[1] == "I" else "EEI" if name[2] == "I" else "EEE"
    assert_allclose(estimated(name, own, parts), estimated(kind, own, parts), rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_covariances_of_the_family_are_their_own_nearest(name, rng):
    own, parts = problem(9, 4, 3)
    found = estimated(name, own, parts)
    assert_allclose(estimated(name, found, parts), found, rtol=1e-9, atol=1e-12)
    others = rng.dirichlet(np.ones(4))
    others[2] = 0.0
    others /= others.sum()
    assert_allclose(estimated(name, found, others), found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ITERATIVE)
@pytest.mark.parametrize("seed", range(10))
def test_going_on_from_other_covariances_never_falls_behind_them(name, seed):
    own, parts = problem(seed, 4, 4)
    structure = family(name).structure
    for other in range(20, 25):
        start = estimated(name, problem(other, 4, 4)[0], parts)
        before = objective(own, parts, start)
        kept = np.array([structure.narrowed(each) for each in start])
        found = estimated(name, own, parts, kept)
        reached = objective(own, parts, found)
        assert reached <= before + 1e-12
        if name[1] == "E":  # whose minimum is the only one
            # a step that would gain less than 1e-8 was the last, and volumes go with its root
            assert_allclose(found, estimated(name, own, parts), rtol=1e-7, atol=1e-9)
        kept = np.array([structure.narrowed(each) for each in found])
        again = estimated(name, own, parts, kept)
        assert objective(own, parts, again) <= reached + 1e-13 * abs(reached)


@pytest.mark.parametrize("name", ["EVE", "VVE"])
def test_a_first_step_is_as_good_as_any_axes_to_start_from(name):
    for seed in range(20):
        own, parts = problem(seed, 3, 3)
        reached = objective(own, parts, estimated(name, own, parts))
        for k in range(3):
            axes = np.linalg.eigh(own[k])[1]
            start = np.broadcast_to((axes * [1.0, 2.0, 3.0]) @ axes.T, own.shape)
            found = estimated(name, own, parts, start)
            assert reached <= objective(own, parts, found) + 1e-9


@pytest.mark.parametrize("name", ["EII", "EEI", "VEI", "EEE", "VEE", "EEV", "VEV"])
def test_families_that_pool_shapes_survive_components_of_few_rows(name, rng):
    own, parts = problem(10, 4, 3)
    row = rng.normal(size=3)
    own[1] = np.outer(row, row)  # of two rows
    parts = np.array([0.3, 0.05, 0.35, 0.3])
    found = estimated(name, own, parts)
    assert np.all(np.linalg.eigvalsh(found) > 1e-3)
    assert parts @ np.trace(np.linalg.solve(found, own), axis1=1, axis2=2) == pytest.approx(3.0)


@pytest.mark.parametrize("name", ["EVI", "VVI", "EVE", "VVE", "EVV", "VVV"])
def test_families_of_own_shapes_refuse_them(name):
    own, parts = problem(11, 3, 3)
    row = np.array([1.0, 2.0, 0.0])
    own[1] = np.outer(row, row)
    chosen = family(name)
    given = np.array([chosen.structure.narrowed(each) for each in own])
    with pytest.raises(DegenerateCovarianceError):
        chosen.parameters(parts, np.zeros((3, 3)), given)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("EII", "VII")])
def test_a_constant_feature_without_reg_covar_is_refused(name, rng):
    # common axes turned to within 1e-77 of the feature's, which a fit took for its deviation
    rows = np.c_[rng.normal(size=(200, 2)) @ [[2.0, 1.0], [0.0, 1.0]], np.full(200, 7.0)]
    rows[:100, 0] += 6.0
    with pytest.raises(DegenerateCovarianceError):
        GaussianMixture(2, covariance_type=name, reg_covar=0.0, random_state=0).fit(rows)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(name, wrong):
    own, parts = problem(12)
    own[1, 1, 1] = wrong
    chosen = family(name)
    if chosen.structure.is_shared:
        own = own[None, 1]
    given = np.array([chosen.structure.narrowed(each) for each in own])
    with pytest.raises(DegenerateCovarianceError):
        chosen.parameters(parts, np.zeros((3, 3)), given[0] if len(own) == 1 else given)


def test_axes_are_orthogonal_and_volumes_equal_to_the_last_digits():
    for seed in range(5):
        own, parts = problem(seed, 5, 6)
        for name in NAMES:
            found = estimated(name, own, parts)
            if name[0] == "E":
                volumes = np.exp(np.linalg.slogdet(found)[1] / 6)
                assert_allclose(volumes, volumes[0], rtol=1e-12)
            if name[2] == "E":
                both = found[:, None] @ found[None]
                sizes = np.linalg.norm(found, axis=(1, 2))
                apart = np.abs(both - both.swapaxes(0, 1)).max(axis=(2, 3))
                assert np.all(apart <= 1e-13 * np.outer(sizes, sizes))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_name_is_one_of_fourteen_and_a_family_may_be_called_by_each(name):
    assert family(name) in ALL
    again = called(name)
    assert again.covariance_type == name
    assert again.name == family(name).name
    assert again.n_parameters(3, 4) == family(name).n_parameters(3, 4)


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_shapes_follow_the_structure(each):
    shapes = {"I": {"I": (3,), "E": (3, 4), "V": (3, 4)}[each.name[1]]}
    full = (4, 4) if each.name == "EEE" else (3, 4, 4)
    assert each.structure.shape(3, 4) == shapes.get(each.name[2], full)
    found = Parameters.from_covariances(
        each.structure, np.full(3, 1 / 3), np.zeros((3, 4)), estimated_shape(each)
    )
    assert found.precisions.shape == found.precisions_cholesky.shape == found.covariances.shape


def estimated_shape(each):
    own, parts = problem(13, 3, 4)
    found = estimated(each.name, own, parts)
    if each.structure.is_shared:
        return found[0]
    return np.array([each.structure.narrowed(matrix) for matrix in found])


def test_scikit_learn_s_words_mean_what_they_say():
    words = {"spherical": "VII", "diag": "VVI", "tied": "EEE", "full": "VVV"}
    words |= {"tied-spherical": "EII", "tied-diagonal": "EEI"}
    assert {word: family(word).name for word in words} == words
    assert_array_equal(sorted(FAMILIES), sorted([*words, *NAMES]))
