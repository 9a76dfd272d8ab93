"""One fit: EM from every start, watched, and the best of what comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgmm import em, passes
from fastgmm.estimators.published import attributes_of, history_of
from fastgmm.estimators.reporting import Progress, StopRequestedError, Verbose
from fastgmm.estimators.rows import Rows
from fastgmm.parameters import Parameters
from fastgmm.statistics import SufficientStatistics


class Climb:
    """EM from some starts over the rows of one source; they share their passes.

    Attributes
    ----------
    states : list of em.State
        Of every start, as its last step left it.
    n_rows : int or None
        Rows of positive weight, once a pass has counted them.
    was_stopped : bool
        Whether a callback has asked to stop.
    """

    def __init__(self, states: list[em.State], rows: Rows) -> None:
        self.states = states
        self.source, self.names = rows
        self.n_rows: int | None = None
        self.was_stopped = False

    def run(self, stopping: em.Stopping, verbose: Verbose, progress: Progress) -> None:
        """Climb until every start has stopped, or a callback asks to."""

        def report(start: int, state: em.State) -> None:
            self.states[start] = state
            verbose(start, state)

        data_pass = progress.watched(self._pass, self.attributes)
        try:
            self.states = em.run(self.states, data_pass, stopping, report)
        except StopRequestedError:
            self.was_stopped = True
        progress.end_pass(self.attributes)

    def _pass(self, candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        found = passes.statistics(self.source, candidates)
        self.n_rows = found[0].n_rows
        return found

    @property
    def best(self) -> em.State:
        """The state of highest objective; the first of them, so that reruns agree.

        Raises
        ------
        DegenerateCovarianceError, DataError
            If every start degenerated.
        """
        sound = [state for state in self.states if state.failure is None]
        if not sound:
            raise self.states[0].failure or AssertionError
        return max(sound, key=lambda state: state.trace[-1] if state.trace else -math.inf)

    def count_rows(self) -> int:
        """Return the rows of positive weight, by a pass of its own if there was none."""
        if self.n_rows is None:
            _, _, self.n_rows = passes.total_log_likelihood(self.source, self.best.parameters)
        return self.n_rows

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, in the precision of the rows."""
        best = self.best
        described = attributes_of(best.parameters, np.dtype(self.source.dtype), self.names)
        return described | history_of(best, self.count_rows())
