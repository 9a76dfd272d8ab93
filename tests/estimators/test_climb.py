"""The best of the restarts is kept, and one that collapses is left out unless all do."""

from __future__ import annotations

import numpy as np
import pytest

from fastgmm import em
from fastgmm.covariance import family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.estimators import GaussianMixture
from fastgmm.estimators.callbacks import Progress
from fastgmm.estimators.climb import Climb, Prepared
from fastgmm.estimators.validation.inputs import Rows
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import open_source
from fastgmm.storage.checkpoint import Moment

RULE = em.Maximisation(family("diag"), reg_covar=0.0)


@pytest.fixture
def rows(rng):
    """Two groups, and a row far from both."""
    return np.concatenate([rng.normal(size=(40, 1)), rng.normal(6.0, 1.0, size=(40, 1)), [[90.0]]])


def start(*means, variance=1.0):
    """A start with components at these means."""
    count = len(means)
    return em.State(
        RULE,
        Parameters.from_covariances(
            "diagonal", np.full(count, 1 / count), np.reshape(means, (-1, 1)), [[variance]] * count
        ),
    )


def climbed(rows, *states, max_passes=200):
    """Climb from some starts to the end."""
    prepared = Prepared(Rows(open_source(rows), None), None, 0.0, None, None, keep=lambda _: None)
    climb = Climb(Moment(states), prepared, em.Stopping(1e-8, max_passes))
    estimator = GaussianMixture()
    climb.run(Progress(estimator, max_passes, {"X": rows, "y": None, "metadata": None}))
    return climb


# from here a component ends on the far row alone, with a variance of 0
COLLAPSING = (0.0, 90.0)


def test_a_start_that_collapses_is_left_out(rows):
    wide = start(0.0, 50.0, variance=900.0)
    climb = climbed(rows[:-1], start(0.0, 6.0), wide)
    assert climb.best is max(climb.states, key=lambda state: state.trace[-1])
    climb = climbed(rows, start(*COLLAPSING), start(0.0))
    assert climb.states[0].outcome is em.Outcome.DEGENERATE
    assert climb.best is climb.states[1]
    assert climb.attributes()["weights_"].shape == (1,)


def test_a_collapse_of_all_is_an_error(rows):
    climb = climbed(rows, start(*COLLAPSING), start(*COLLAPSING[::-1]))
    with pytest.raises(DegenerateCovarianceError, match="component 1"):
        climb.attributes()


def test_the_first_of_equals_is_the_best(rows):
    climb = climbed(rows[:-1], start(0.0, 6.0), start(6.0, 0.0))
    first, second = climb.states
    climb.moment = Moment((first, em.State(RULE, second.parameters, trace=first.trace)))
    assert climb.best is climb.states[0]


def test_rows_are_counted_without_a_pass_of_em(rows):
    assert climbed(rows, start(0.0, 6.0), max_passes=0).count_rows() == len(rows)
