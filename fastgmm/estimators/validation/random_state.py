"""Random numbers for starts and for samples, out of whatever `random_state` is."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from sklearn.utils import check_random_state

RandomState: TypeAlias = (
    int | np.random.RandomState | np.random.Generator | np.random.SeedSequence | None
)


def generator(random_state: RandomState) -> np.random.Generator:
    """Return a generator for the starts of one fit.

    A seed gives the same numbers every time, and so does a SeedSequence; a RandomState or a
    Generator moves on, so that the next fit starts elsewhere. None draws on NumPy's global state,
    as in scikit-learn, so that `np.random.seed` is heeded.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.SeedSequence):
        return np.random.default_rng(random_state)
    words = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    return np.random.default_rng(words)


def legacy_state(random_state: RandomState) -> np.random.RandomState:
    """Return a RandomState, which draws scikit-learn's samples from scikit-learn's seeds."""
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.bit_generator)
    if isinstance(random_state, np.random.SeedSequence):
        return np.random.RandomState(np.random.MT19937(random_state))
    return check_random_state(random_state)
