"""One clock: seconds of a call, and of functions that are called in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the seconds of one call, and its result."""
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


class Turns(NamedTuple):
    """Seconds of functions called in turn: a row per turn, a column per function."""

    seconds: np.ndarray  # on the clock
    processors: np.ndarray  # of all threads of this process

    @property
    def best(self) -> np.ndarray:
        """Return the seconds of each function's fastest turn."""
        return self.seconds.min(axis=0)

    @property
    def median(self) -> np.ndarray:
        """Return the median seconds of each function."""
        return np.median(self.seconds, axis=0)

    @property
    def ratios(self) -> np.ndarray:
        """Return the seconds of each function over those of the first, for all turns but the last.

        Each call stands between two of the first function and is compared with their mean, since
        the machine is faster in one moment than in the next. The best of several turns flatters
        what is short and fits into a fast moment: by it twice the rows took 1.8 to 2.4 times as
        long.
        """
        first = self.seconds[:, :1]
        return self.seconds[:-1] / (0.5 * (first[:-1] + first[1:]))


def in_turn(
    *functions: Callable[[], Any],
    turns: int,
    within: Callable[[int], AbstractContextManager[Any]] = nullcontext,
) -> Turns:
    """Time functions one after the other, `turns` times over, so that a noisy machine wrongs none.

    Each is called once beforehand, which compiles. Each call that counts is made in the context
    that `within` returns for the number of the function, entered and left off the clock.
    """
    for function in functions:
        function()
    found = np.empty((2, turns, len(functions)))
    for turn in range(turns):
        for at, function in enumerate(functions):
            with within(at):
                busy = time.process_time()
                found[0, turn, at], _ = timed(function)
                found[1, turn, at] = time.process_time() - busy
    return Turns(*found)
