import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm.initialisation.coordinates import systems, whiten


def centred(rows):
    return rows - rows.mean(axis=0), np.full(len(rows), 1.0 / len(rows))


@pytest.fixture
def two_kinds():
    """Equal clusters along the first feature, a small one along the second, noise in two more."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4000, 4))
    rows[:2000, 0] += 8.0
    rows[:40, 1] += 15.0
    return rows


def mixed(rows, seed=1):
    """Rows in other coordinates, of quite other units."""
    rng = np.random.default_rng(seed)
    return rows @ (rng.standard_normal((4, 4)) * [1.0, 1e-3, 1e3, 10.0])


def test_invariant_coordinates_are_white():
    rng = np.random.default_rng(3)
    rows, _ = centred(rng.exponential(size=(500, 3)) @ rng.standard_normal((3, 3)))
    weights = rng.random(500)
    weights /= weights.sum()
    rows = rows - weights @ rows
    invariant = whiten(rows, weights).invariant
    assert_allclose((invariant * weights[:, None]).T @ invariant, np.eye(3), atol=1e-10)


def test_low_kurtosis_tells_equal_clusters_and_high_kurtosis_a_small_one(two_kinds):
    invariant = whiten(*centred(mixed(two_kinds))).invariant
    assert abs(np.corrcoef(invariant[:, 0], np.arange(4000) < 2000)[0, 1]) > 0.95
    assert abs(np.corrcoef(invariant[:, -1], np.arange(4000) < 40)[0, 1]) > 0.75


def test_invariant_coordinates_are_the_same_in_any_units_and_orientation(two_kinds):
    here, there = (whiten(*centred(rows)).invariant for rows in (two_kinds, mixed(two_kinds)))
    # the two middle coordinates are noise of one kurtosis: their axes are any
    for column in (0, -1):
        signs = np.sign(here[:, column] @ there[:, column])
        assert_allclose(here[:, column], signs * there[:, column], atol=1e-6)


def test_units_of_a_power_of_two_change_no_bit(two_kinds):
    units = 2.0 ** np.array([-30, 0, 5, 40])
    rows, weights = centred(two_kinds)
    for here, there in zip(whiten(rows, weights), whiten(rows * units, weights), strict=True):
        assert_array_equal(here, there)


@pytest.mark.parametrize("scale", [1e-160, 1.0, 1e160])
def test_a_feature_that_is_a_sum_of_others_adds_no_coordinate(two_kinds, scale):
    rows = np.column_stack([two_kinds, two_kinds @ [1.0, 2.0, 0.0, -1.0], np.ones(len(two_kinds))])
    invariant = whiten(*centred(scale * rows)).invariant
    assert invariant.shape == (4000, 4)
    assert_allclose(np.cov(invariant.T, bias=True), np.eye(4), atol=1e-8)


def test_equal_rows_have_no_coordinates():
    whitened = whiten(np.zeros((7, 3)), np.full(7, 1 / 7))
    assert whitened.invariant.shape == (7, 0)
    assert_array_equal(whitened.standardised, np.zeros((7, 3)))
    names = [system.name for system in systems(np.zeros((7, 3)), whitened, 2)]
    assert names == ["standardised", "raw"]


@pytest.mark.parametrize(
    ("n_features", "n_components", "expected"),
    [
        (1, 3, "standardised"),
        (2, 2, "standardised raw whitened lowest highest directions"),
        (2, 3, "standardised raw whitened lowest highest directions"),
        (4, 3, "standardised raw whitened lowest highest directions low high"),
        (4, 4, "standardised raw whitened lowest highest directions directions"),
    ],
)
def test_every_system_comes_once(two_kinds, n_features, n_components, expected):
    rows, weights = centred(two_kinds[:, :n_features])
    found = list(systems(rows, whiten(rows, weights), n_components))
    assert [system.name for system in found] == expected.split()
    assert all(len(system.rows) == len(rows) for system in found)


def test_directions_do_not_tell_a_row_from_its_mirror_image(two_kinds):
    rows = np.concatenate([two_kinds - two_kinds.mean(axis=0), two_kinds.mean(axis=0) - two_kinds])
    weights = np.full(len(rows), 1.0 / len(rows))
    (found,) = (s for s in systems(rows, whiten(rows, weights), 3) if s.name == "directions")
    assert_allclose(found.rows[:4000], found.rows[4000:], atol=1e-12)
