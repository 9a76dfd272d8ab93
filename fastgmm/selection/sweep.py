"""Candidates of several sizes and families, fitted in shared passes over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.estimators.fitting import Climb
from fastgmm.estimators.reporting import Progress, Verbose
from fastgmm.estimators.rows import Rows
from fastgmm.estimators.starts import regularisation
from fastgmm.parameters import Parameters
from fastgmm.sample import Sample, draw_sample
from fastgmm.selection.candidate import Candidate
from fastgmm.selection.growth import Grown, Growth
from fastgmm.selection.mending import mended
from fastgmm.statistics import Array


class Sweep(Climb):
    """EM from the starts of all candidates over the rows of one source.

    Callbacks are shown the candidate of lowest BIC so far.
    """

    def __init__(self, states: list[em.State], families: Sequence[Family], rows: Rows) -> None:
        super().__init__(states, rows)
        self.families = families

    @property
    def best(self) -> em.State:
        """The sound state of lowest BIC by the log-likelihoods so far, the first of equals."""
        return self.states[self._best()]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, and what kind of mixture it is."""
        best = self._best()
        return super().attributes() | {
            "n_components_": self.states[best].parameters.n_components,
            "covariance_type_": self.families[best].covariance_type,
        }

    def _best(self) -> int:
        def half_bic(c: int) -> float:
            state, shape = self.states[c], self.states[c].parameters.means.shape
            if state.failure is not None or not state.trace:
                return np.inf
            row_weight = self.weigh_rows()
            penalty = 0.5 * self.families[c].n_parameters(*shape) * np.log(row_weight)
            return float(penalty - state.trace[-1] * row_weight)

        return min(range(len(self.states)), key=half_bic)


def sweep(
    rows: Rows,
    counts: Sequence[int],
    families: Sequence[Family],
    reg_covar: float,
    is_relative: bool,
    stopping: em.Stopping,
    rng: np.random.Generator,
    progress: Progress,
) -> list[Candidate]:
    """Fit every number of components in every family.

    One pass draws a sample, on which the starts grow; then as many as the slowest candidate
    needs, shared by all; and one for the criteria. Where a curve dips, two or more mend it.

    Raises
    ------
    ValueError
        If the rows are fewer than the least number of components.
    Exception
        What the first candidate failed of, if all of them failed.
    """
    sample = draw_sample(rows.source, rng)
    added = regularisation(reg_covar, is_relative, sample)
    grown = _starts(rows, sample, counts, families, added, stopping.tolerance, rng)
    sound = [
        (family, em.State(em.MaximumLikelihood(family, added), start))
        for (family, _), start in grown.items()
        if isinstance(start, Parameters)
    ]
    if not sound:
        raise next(failure for failure in grown.values() if isinstance(failure, Exception))
    climb = Sweep([state for _, state in sound], [family for family, _ in sound], rows)
    climb.run(stopping, Verbose(0, 1, 0), progress)
    found = _judged(grown, climb)
    if not climb.was_stopped:
        found = mended(found, rows.source, stopping)
    if all(candidate.totals is None for candidate in found):
        raise next(each.failure for each in found if each.failure is not None)
    return found


def _starts(
    rows: Rows,
    sample: Sample,
    counts: Sequence[int],
    families: Sequence[Family],
    added: float | Array,
    tolerance: float,
    rng: np.random.Generator,
) -> dict[tuple[Family, int], Grown]:
    """Grow the starts of every family on one sample."""
    n_rows = rows.source.n_rows
    possible = [count for count in counts if n_rows is None or count <= n_rows]
    found: dict[tuple[Family, int], Grown] = {}
    for family in families:
        rule = em.MaximumLikelihood(family, added)
        starts = Growth(sample, rule, tolerance, rng).starts(possible)
        found |= {(family, count): starts.get(count, _too_many(count)) for count in counts}
    return found


def _judged(grown: dict[tuple[Family, int], Grown], climb: Sweep) -> list[Candidate]:
    """Find the totals of all that are sound, in one pass."""
    sound = [state for state in climb.states if state.failure is None]
    totals = iter(passes.totals(climb.source, [state.parameters for state in sound]))
    states = iter(climb.states)
    found = []
    state: em.State | None
    failure: Exception | None
    for (family, count), start in grown.items():
        if isinstance(start, Exception):
            state, failure = None, start
        else:
            state = next(states)
            failure = state.failure
        total = next(totals) if failure is None else None
        if total is not None and total.n_rows < count:
            failure, total = _too_many(count), None
        found.append(Candidate(count, family, state, failure, total, climb.source.n_features))
    return found


def _too_many(count: int) -> ValueError:
    return ValueError(f"{count} components are more than there are rows")
