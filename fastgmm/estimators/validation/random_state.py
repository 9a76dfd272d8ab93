"""Random numbers for starts and for samples, out of whatever `random_state` is."""

from __future__ import annotations

import threading
from numbers import Integral
from typing import Any, TypeAlias

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
    words = _seeded(random_state).randint(2**32, size=4, dtype=np.uint32)
    return np.random.default_rng(words)


class _Here(threading.local):
    """What each Python thread seeds anew: a RandomState takes 61 microseconds, its seed 1."""

    def __init__(self) -> None:
        self.state = np.random.RandomState(0)


_here = _Here()


def _seeded(random_state: Any) -> np.random.RandomState:
    """Return what `check_random_state` does, but for a seed to be read at once."""
    if not isinstance(random_state, Integral):
        return check_random_state(random_state)
    _here.state.seed(int(random_state))
    return _here.state


def legacy_state(random_state: RandomState) -> np.random.RandomState:
    """Return a RandomState, which draws scikit-learn's samples from scikit-learn's seeds."""
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.bit_generator)
    if isinstance(random_state, np.random.SeedSequence):
        return np.random.RandomState(np.random.MT19937(random_state))
    return check_random_state(random_state)
