"""Statistics that fade."""

import numpy as np
import pytest

from fastgmm import em
from fastgmm.covariance import family
from fastgmm.em.stepwise import faded, retained
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics

COVARIANCES = {
    "full": np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.2], [-0.2, 3.0]]]),
    "tied": np.array([[2.0, 0.5], [0.5, 1.0]]),
    "diag": np.array([[2.0, 1.0], [0.3, 4.0]]),
    "spherical": np.array([2.0, 0.3]),
}
WEIGHTS, MEANS = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [1e4, -3.0]])


@pytest.mark.parametrize("strength", [0.0, 40.0])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-2, np.array([1e-2, 1e-3])])
@pytest.mark.parametrize("kind", COVARIANCES)
def test_the_m_step_of_what_is_remembered_gives_the_parameters_again(kind, reg_covar, strength):
    kinds = family(kind)
    of_one = COVARIANCES[kind] if kinds.structure.is_shared else COVARIANCES[kind][0]
    rule = em.Maximisation(kinds, reg_covar, Prior(strength, of_one) if strength > 0.0 else None)
    parameters = Parameters.from_covariances(kinds.structure, WEIGHTS, MEANS, COVARIANCES[kind])
    past = rule.remembered(parameters, 1234.5)
    again = rule.estimate(past, parameters)
    assert np.array_equal(again.means, MEANS)
    np.testing.assert_allclose(again.weights, WEIGHTS, rtol=1e-15)
    np.testing.assert_allclose(again.covariances, parameters.covariances, rtol=1e-14)


@pytest.mark.parametrize("power", [1.0, 0.9, 0.6])
def test_what_is_kept_does_not_depend_on_the_size_of_batches(power):
    whole = retained(50.0, 1000.0, power)
    for size in (10, 100, 500):
        parts = [retained(50.0 + start, size, power) for start in range(0, 1000, size)]
        assert np.prod(parts) == pytest.approx(whole, rel=1e-12)


def test_nothing_is_kept_of_no_rows():
    assert retained(0.0, 10.0, 1.0) == retained(0.0, 10.0, 0.6) == 0.0


def test_with_a_power_of_1_faded_statistics_are_those_of_all_rows():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 2))

    def of(part):
        return SufficientStatistics(
            np.array([float(len(part))]),
            part.sum(axis=0)[None],
            (part.T @ part)[None],
            0.0,
            len(part),
            float(len(part)),
            np.zeros((1, 2)),
            "full",
        )

    found = of(rows[:20])
    for part in np.split(rows[20:], [3, 100, 101]):
        found = faded(found, of(part), retained(found.row_weight, float(len(part)), 1.0))
    everything = of(rows)
    assert found.n_rows == 300
    for name in ("weight", "first", "second"):
        np.testing.assert_allclose(getattr(found, name), getattr(everything, name), rtol=1e-12)
