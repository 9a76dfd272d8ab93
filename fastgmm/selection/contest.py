"""Stops candidates that can no longer reach the lowest criterion.

Half of BIC's penalty, p log(n) / 2, is in nats over all n rows. Tolerances here are in the same
unit, as a part of the penalty of one more component.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastgmm import em
from fastgmm.covariance import Family
from fastgmm.em import diagnostics
from fastgmm.estimators.criteria import Criterion
from fastgmm.passes.scores import Totals

# A candidate is stopped if it could not win even by so many times its estimated remaining gain:
# near a saddle the estimate was a tenth of the true gain, and later passes gained 8 times as much.
SAFETY = 10.0
# Passes that count of those that are left, where steps shrink: of 20 000 x 5 and ten clusters, 18
# to 20 components took 46 to 92 passes until they could not gain 790 nats, then at most 13
HORIZON = 100


@dataclass(frozen=True)
class Contest:
    """Compares candidates by the lowest criterion that each can still reach.

    Parameters
    ----------
    criterion : callable
    counts : sequence of int
        Numbers of components, ascending.
    families : sequence of Family
    n_features : int
    n_rows : int
        Rows of positive weight.
    row_weight : float
        Sum of their weights.
    share : float
        Tolerance: how far from its limit the criterion may stop, as a part of `charge`.
    max_passes : int
    rule : str
        The rule of `em.Stopping` that the tolerance is for.
    is_patient : bool, default=False
        Whether nobody is stopped early.
    """

    criterion: Criterion
    counts: Sequence[int]
    families: Sequence[Family]
    n_features: int
    n_rows: int
    row_weight: float
    share: float
    max_passes: int
    rule: str
    is_patient: bool = False

    @property
    def charge(self) -> float:
        """Half of the smallest penalty between neighbouring numbers of components, in nats.

        With a single number, that of one component more. If the weights sum to less than the
        number of rows, each row counts one, because BIC's penalty would be too small.
        """
        steps = list(pairwise(self.counts)) or [(self.counts[0], self.counts[0] + 1)]
        return min(
            self.charged(family, more) - self.charged(family, fewer)
            for family in self.families
            for fewer, more in steps
        )

    def charged(self, family: Family, n_components: int) -> float:
        """Half of the penalty of so many components, in nats."""
        nothing = Totals(0.0, 0.0, self._scale, self.n_rows, None)
        return 0.5 * self.criterion(nothing, family.n_parameters(n_components, self.n_features))

    @property
    def _scale(self) -> float:
        return max(self.row_weight, self.n_rows, 2.0)

    @property
    def stopping(self) -> em.Stopping:
        """The stopping rule of EM, whose tolerance is in nats per row."""
        return em.Stopping(self.share * self.charge / self._scale, self.max_passes, self.rule)

    def outdone(
        self,
        states: Sequence[em.State],
        best: float = math.inf,
        passed_over: Collection[int] = (),
    ) -> list[int]:
        """Return the running states that cannot come below ``best`` or the best of the others."""
        if self.is_patient or self.share == 0.0:  # tol=0: run all passes
            return []
        best = min(best, self.reached(states, passed_over))
        return [
            c
            for c, state in enumerate(states)
            if state.outcome is em.Outcome.RUNNING and not self.can_win(state, best)
        ]

    def reached(self, states: Sequence[em.State], passed_over: Collection[int] = ()) -> float:
        """Return the lowest criterion of a sound state, if its responsibilities were 1/K."""
        values = [self._value(state, -math.log(state.parameters.n_components)) for state in states]
        order = [c for c in np.argsort(values, kind="stable") if c not in passed_over]
        return next((values[c] for c in order if self._is_sound(states[c])), math.inf)

    def can_win(self, state: em.State, best: float) -> bool:
        """Whether a state may still come below a value, if it gains `SAFETY` times the estimate."""
        # the best itself may, too, with nothing left before it is seen to have arrived
        return self._value(state, 0.0, SAFETY * self.distance(state)) <= best

    def distance(self, state: em.State) -> float:
        """Estimate the gain up to the limit, or in the passes that are left if that is less."""
        steps = state.steps[-4:]
        if len(steps) < 4:
            return math.inf
        is_running = state.outcome in (em.Outcome.RUNNING, em.Outcome.OUTDONE)
        n_left = max(1, self.max_passes - len(state.trace)) if is_running else self.max_passes
        increments = [abs(after - before) for before, after in pairwise(steps)]
        if increments[-1] < increments[0]:
            n_left = min(n_left, HORIZON)
        return min(em.aitken(steps), n_left * max(increments))

    def _value(self, state: em.State, log_certainty: float, gain: float = 0.0) -> float:
        """Criterion at a mean log of the largest responsibility, after a gain per row."""
        if state.failure is not None or not state.trace:
            return math.inf
        totals = Totals(
            (state.log_likelihood + gain) * self.row_weight,
            log_certainty * self.row_weight,
            self.row_weight,
            self.n_rows,
            None,
        )
        return self.criterion(totals, state.rule.family.n_parameters(*state.parameters.means.shape))

    def _is_sound(self, state: em.State) -> bool:
        """Whether the state could be chosen, as `Candidate.has_collapsed` decides."""
        return state.failure is None and not self.collapsed(state)

    def collapsed(self, state: em.State) -> Sequence[int]:
        """Return the components that have collapsed."""
        counts = state.parameters.weights * self.n_rows  # exact for equal weights; see `revive`
        rule = state.rule
        return diagnostics.collapsed(
            state.parameters, counts, rule.reg_covar, rule.family.has_one_size
        )
