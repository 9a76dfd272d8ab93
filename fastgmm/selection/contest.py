"""Which candidates can still win, in the unit of the criterion; the others are stopped.

A criterion charges p log(n) / 2 nats of all n rows for p parameters. So what a candidate may still
be short of its limit is counted in nats of all rows, too, and is little beside that charge.
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

# times the estimated distance to its limit may a candidate still gain, and times as much per pass:
# near a saddle the estimate was a tenth of the distance, and EM was eight times as fast behind it
SAFETY = 10.0


@dataclass(frozen=True)
class Contest:
    """Candidates compared by what a criterion can still come to.

    Parameters
    ----------
    criterion : callable
    counts : sequence of int
        Numbers of components that are tried, from the least.
    families : sequence of Family
    n_features : int
    n_rows : int
        Of positive weight.
    row_weight : float
        Sum of their weights.
    share : float
        Of the least charge: so much may the criterion be short of its limit.
    max_passes : int
    rule : str
        What the share bounds, as in `em.Stopping`.
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

    @property
    def charge(self) -> float:
        """Half of the least that the criterion adds from one number to the next, in nats.

        Of one number alone, to the number after it. Where weights sum to less than the rows, BIC
        charges too little to measure by; each row counts one then.
        """
        steps = list(pairwise(self.counts)) or [(self.counts[0], self.counts[0] + 1)]
        return min(
            self.charged(family, more) - self.charged(family, fewer)
            for family in self.families
            for fewer, more in steps
        )

    def charged(self, family: Family, n_components: int) -> float:
        """Half of what the criterion adds for so many components, in nats."""
        nothing = Totals(0.0, 0.0, self._scale, self.n_rows, None)
        return 0.5 * self.criterion(nothing, family.n_parameters(n_components, self.n_features))

    @property
    def _scale(self) -> float:
        return max(self.row_weight, self.n_rows, 2.0)

    @property
    def stopping(self) -> em.Stopping:
        """When a candidate has converged: with a tolerance in nats per row, as EM takes it."""
        return em.Stopping(self.share * self.charge / self._scale, self.max_passes, self.rule)

    def outdone(
        self,
        states: Sequence[em.State],
        best: float = math.inf,
        passed_over: Collection[int] = (),
    ) -> list[int]:
        """Tell which running states will not come below `best`, or what others have reached."""
        if self.share == 0.0:  # asks for passes
            return []
        best = min(best, self.reached(states, passed_over))
        return [
            c
            for c, state in enumerate(states)
            if state.outcome is em.Outcome.RUNNING and not self.can_win(state, best)
        ]

    def reached(self, states: Sequence[em.State], passed_over: Collection[int] = ()) -> float:
        """Return the criterion of the best sound state, at its worst: each row in doubt."""
        values = [self._value(state, -math.log(state.parameters.n_components)) for state in states]
        order = [c for c in np.argsort(values, kind="stable") if c not in passed_over]
        return next((values[c] for c in order if self._is_sound(states[c])), math.inf)

    def can_win(self, state: em.State, best: float) -> bool:
        """Whether a state may still come below a value, were it far from its limit."""
        return self._value(state, 0.0, SAFETY * self._distance(state)) < best

    def _distance(self, state: em.State) -> float:
        """Estimate how far the limit is, or how far EM may come in the passes that are left."""
        steps = state.steps[-4:]
        if len(steps) < 4:
            return math.inf
        is_running = state.outcome in (em.Outcome.RUNNING, em.Outcome.OUTDONE)
        n_left = max(1, self.max_passes - len(state.trace)) if is_running else self.max_passes
        fastest = max(abs(after - before) for before, after in pairwise(steps))
        return min(em.aitken(steps), n_left * fastest)

    def _value(self, state: em.State, log_certainty: float, gain: float = 0.0) -> float:
        """Value of the criterion if every row had this certainty, and became likelier by a gain."""
        if state.failure is not None or not state.trace:
            return math.inf
        totals = Totals(
            (state.trace[-1] + gain) * self.row_weight,
            log_certainty * self.row_weight,
            self.row_weight,
            self.n_rows,
            None,
        )
        return self.criterion(totals, state.rule.family.n_parameters(*state.parameters.means.shape))

    def _is_sound(self, state: em.State) -> bool:
        """Whether the state could be chosen: see `Candidate.has_collapsed`."""
        if state.failure is not None:
            return False
        counts = state.parameters.weights * self.n_rows  # as if rows weighed alike; see `revive`
        found = diagnostics.failing(state.parameters, counts, state.rule.reg_covar)
        return not 0 < len(found.components) < state.parameters.n_components
