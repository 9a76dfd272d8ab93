"""When EM stops, and why.

To stop by the distance to the limit: Böhning, Dietz, Schaub, Schlattmann and Lindsay (1994), Annals
of the Institute of Statistical Mathematics 46; McLachlan and Krishnan (2008), section 4.9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fastgmm.em.outcome import Outcome

# Defaults of a fit. For two clusters of sizes 100:1 and 300:1, up to 4 deviations apart, 1e-7 finds
# both in 110 of 110 data sets, 1e-6 in 99, scikit-learn's 1e-3 in 47; the slowest took 767 passes
# (bench/tables/stopping.py).
TOLERANCE = 1e-7
MAX_PASSES = 1000


def change(objectives: Sequence[float]) -> float:
    """Return the change of the last step: scikit-learn's rule."""
    return abs(objectives[-1] - objectives[-2])


# Ratios r of increments count as rising if 1 - r loses more than c (1 - r) of itself in a pass; if
# that goes on, increments stop shrinking before they are e^(-1/c) of the last. This is c.
RISING = 0.5
ROUNDING = 1e-13  # of an objective: difference between sums of the same terms in another order


def aitken(objectives: Sequence[float]) -> float:
    """Estimated distance of the last objective to the limit (Böhning et al. 1994).

    Near the limit the ratio of successive increments is constant, so what remains is a geometric
    series. The larger of the last two ratios is used. The distance is infinite if they are not
    ratios of a convergent series, as early on, and while they still rise, since increments may
    then stop shrinking or grow again.
    """
    increments = np.diff(objectives[-4:])
    if len(increments) < 3:
        return math.inf
    if np.all(np.abs(increments) <= ROUNDING * abs(objectives[-1])):
        return 0.0
    if not (np.all(np.isfinite(increments)) and np.all(increments[:-1])):
        return math.inf
    ratios = increments[1:] / increments[:-1]
    if np.any(ratios < 0.0) or np.any(ratios >= 1.0):
        return math.inf
    lost = 1.0 - ratios  # the part of an increment by which the next is smaller
    if lost[0] - lost[1] > RISING * lost[0] * lost[1]:
        return math.inf
    ratio = float(np.max(ratios))
    return float(abs(increments[-1])) * ratio / (1.0 - ratio)


class StoppingRule(NamedTuple):
    """Estimate of the distance to the limit, from the objectives of EM's last steps."""

    distance: Callable[[Sequence[float]], float]
    n_objectives: int  # that the estimate needs


STOPPING_RULES = {"change": StoppingRule(change, 2), "aitken": StoppingRule(aitken, 4)}


RESTING = 0.1  # of a tolerance
RESTING_PART = 1e-5  # of an objective: ten times the rounding seen with 60 float32 rows


def rests(objectives: Sequence[float], tolerance: float) -> bool:
    """Whether the objective has fallen in the last steps, all within a part of the tolerance.

    EM falls only by rounding, so rounding is all that still moves it. Aitken's ratios do not exist
    for such float32 rows, and `wanders` takes 11 passes to notice.
    """
    last = objectives[-4:]
    is_told = len(last) == 4 and last[0] > -math.inf
    return (
        is_told
        and min(after - before for before, after in pairwise(last)) < 0.0
        and max(last) - min(last) < min(RESTING * tolerance, RESTING_PART * abs(last[-1]))
    )


WANDERING_PASSES = 5  # compared with as many before them
WANDERING_TURNS = 3  # from rising to falling or back


def wanders(objectives: Sequence[float], tolerance: float) -> bool:
    """Whether the objective now changes only by rounding error.

    In float32 the objective of 60 rows goes up and down by 1e-6 for ever, or repeats three steps of
    3e-4; a change below 1e-7 would be chance.
    """
    last = objectives[-2 * WANDERING_PASSES - 1 :]
    is_told = len(last) > 2 * WANDERING_PASSES and last[0] > -math.inf
    if not is_told or tolerance == 0.0:
        return False
    increments = [after - before for before, after in pairwise(last)]
    n_turns = sum(before * after < 0.0 for before, after in pairwise(increments))
    gain = max(last[-WANDERING_PASSES:]) - max(last[:-WANDERING_PASSES])
    return n_turns >= WANDERING_TURNS and gain < WANDERING_PASSES * tolerance


NEAR_THE_LIMIT = 1e-6  # nats per row, of the last increment
STEADY = 0.05  # largest difference between the ratios of the last increments
SLOW_PASSES = 20


def is_slow(objectives: Sequence[float], tolerance: float, rule: str = "change") -> bool:
    """Whether EM's increments shrink steadily, and will stay above the tolerance for many passes.

    Accelerating earlier may lead to another limit than EM's: of 64 fits from default starts, 1 did
    so when begun at increments of 1e-4, none at 1e-6. A tolerance of 0 asks for passes, not for the
    limit.
    """
    increments = [after - before for before, after in pairwise(objectives[-6:])]
    if len(increments) < 5 or not all(0.0 < each < math.inf for each in increments):
        return False
    factors = [after / before for before, after in pairwise(increments)]
    is_steady = max(factors) < 1.0 and max(factors) - min(factors) <= STEADY
    still = STOPPING_RULES[rule].distance(objectives) * min(factors) ** SLOW_PASSES
    return bool(is_steady and increments[-1] < NEAR_THE_LIMIT and still > tolerance > 0.0)


@dataclass(frozen=True)
class Stopping:
    """When to stop: scikit-learn's `tol` and `max_iter`, and what `tol` bounds."""

    tolerance: float  # of the distance that the rule estimates
    max_passes: int
    rule: str = "change"  # or "aitken"

    def judge(
        self, trace: Sequence[float], previous_objective: float = -math.inf, start: int = 0
    ) -> Outcome:
        """Judge a trace of objectives that follow `previous_objective`.

        Steps of EM alone are judged: of (previous_objective, *trace), what lies before `start` is
        left out, since an extrapolation may gain little and yet be far from the limit.
        """
        distance, n_objectives = STOPPING_RULES[self.rule]
        objectives = (previous_objective, *trace)[start:]
        if (
            trace
            and len(objectives) >= n_objectives
            and distance(objectives) < self.tolerance
            and not self._has_leapt((previous_objective, *trace), start)
        ):
            return Outcome.CONVERGED
        if wanders(objectives, self.tolerance) or rests(objectives, self.tolerance):
            return Outcome.CONVERGED
        return Outcome.OUT_OF_PASSES if len(trace) >= self.max_passes else Outcome.RUNNING

    def _has_leapt(self, objectives: Sequence[float], start: int) -> bool:
        """Whether the extrapolation before the last steps has gained much, so that others may.

        After one, increments fall fast at first, whatever is left: the distance looks short.
        """
        if self.rule == "change" or start == 0:
            return False
        return objectives[start] - objectives[start - 1] >= self.tolerance

    def is_near(self, trace: Sequence[float], start: int) -> bool:
        """Whether little was gained, and too few steps of EM were made to judge by."""
        n_steps = len(trace) + 1 - start
        gained_little = len(trace) > 1 and change(trace) < self.tolerance
        return gained_little and n_steps < STOPPING_RULES[self.rule].n_objectives
