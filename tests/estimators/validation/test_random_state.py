"""Whatever random_state is, seeds repeat and states move on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm.estimators import GaussianMixture
from fastgmm.estimators.validation import random_state as random_states

REPEATING = [7, np.int64(7), np.random.SeedSequence(7)]
MOVING = [np.random.RandomState, np.random.default_rng]


@pytest.mark.parametrize("random_state", REPEATING, ids=lambda state: type(state).__name__)
def test_seeds_give_the_same_numbers_again(random_state):
    first, second = (random_states.generator(random_state).random(4) for _ in range(2))
    assert_array_equal(first, second)
    first, second = (random_states.legacy_state(random_state).random_sample(4) for _ in range(2))
    assert_array_equal(first, second)


@pytest.mark.parametrize("make", MOVING)
def test_states_move_on(make):
    state = make(7)
    first, second = (random_states.generator(state).random() for _ in range(2))
    assert first != second
    first, second = (random_states.legacy_state(state).random_sample() for _ in range(2))
    assert first != second


def test_a_seed_is_the_state_made_from_it():
    seeded = random_states.generator(7).random(4)
    assert_array_equal(seeded, random_states.generator(np.random.RandomState(7)).random(4))


def test_none_heeds_the_global_seed():
    kept = np.random.get_state()  # noqa: NPY002 - the global state is what this is about
    try:
        np.random.seed(3)  # noqa: NPY002
        first = random_states.generator(None).random()
        np.random.seed(3)  # noqa: NPY002
        assert random_states.generator(None).random() == first
        assert random_states.generator(None).random() != first
    finally:
        np.random.set_state(kept)  # noqa: NPY002


def test_samples_follow_scikit_learns_seeds():
    state = random_states.legacy_state(7)
    assert state.random_sample() == np.random.RandomState(7).random_sample()


@pytest.mark.parametrize("random_state", [*REPEATING, None], ids=lambda state: str(type(state)))
def test_every_kind_of_state_fits_and_samples(rng, random_state):
    model = GaussianMixture(2, random_state=random_state).fit(rng.normal(size=(50, 2)))
    assert model.sample(5)[0].shape == (5, 2)


@pytest.mark.parametrize("make", MOVING)
def test_successive_fits_with_one_state_start_elsewhere(rng, make):
    rows = rng.normal(size=(200, 2))
    model = GaussianMixture(
        4, random_state=make(0), init_params="random_from_data", max_iter=0, tol=0.0
    )
    first = model.fit(rows).means_
    assert not np.array_equal(model.fit(rows).means_, first)
