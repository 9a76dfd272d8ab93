"""One fit: EM from every start, watched, and the best of what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastgmm import em, passes
from fastgmm.em import diagnostics
from fastgmm.em.acceleration import Memory
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.estimators.callbacks import Progress, StopRequestedError, Verbose
from fastgmm.estimators.fitted_attributes import attributes_of, history_of
from fastgmm.estimators.validation.inputs import Rows
from fastgmm.initialisation.repair import repaired
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import Array, SufficientStatistics
from fastgmm.passes.subsample import Sample, feature_variances
from fastgmm.storage.checkpoint import Moment

REPAIRS = 3  # of one fit


class Climb:
    """EM from some starts over the rows of one source; they share their passes.

    Parameters
    ----------
    states : list of em.State
    rows : Rows
    sample : Sample, optional
        Of the rows, if one was drawn.
    may_repair : bool, default=False
        Whether components that have failed may be put elsewhere: not in a start that the user
        gives, which is to lead where it leads.
    keep : callable, optional
        Called before every pass, to write down how far the climb has come.

    Attributes
    ----------
    states : list of em.State
        Of every start, as its last step left it.
    n_rows, row_weight : int and float, or None
        Rows of positive weight and the sum of all weights, once a pass has counted them.
    was_stopped : bool
        Whether a callback has asked to stop.
    repairing : em.State or None
        What may take the place of the best state, while it climbs.
    n_repairs : int
        How many such have come to their end.
    """

    def __init__(
        self,
        states: list[em.State],
        rows: Rows,
        sample: Sample | None = None,
        may_repair: bool = False,
        keep: Callable[[Climb], None] | None = None,
    ) -> None:
        self.states = states
        self.source, self.names = rows
        self.sample, self.may_repair = sample, may_repair
        self.keep = keep
        self.n_rows: int | None = None
        self.row_weight: float | None = None
        self.was_stopped = False
        self.repairing: em.State | None = None
        self.n_repairs = 0
        self.counted: tuple[Parameters, Array] | None = None  # the last, and the rows of each

    def run(self, stopping: em.Stopping, verbose: Verbose, progress: Progress) -> None:
        """Climb until every start has stopped, or a callback asks to."""

        def report(start: int, state: em.State) -> None:
            self.states[start] = state
            verbose(start, state)

        data_pass = progress.watched(self._pass, self.attributes)
        try:
            self.states = em.run(self.states, data_pass, stopping, report, self.outdone)
            if self.sample is not None and self.may_repair:
                self._repair(self.sample, data_pass, stopping)
        except StopRequestedError:
            self.was_stopped = True
        progress.end_pass(self.attributes)

    def outdone(self, states: Sequence[em.State]) -> Iterable[int]:
        """Tell which climb on no more: none, since starts are compared where they end."""
        return ()

    @property
    def moment(self) -> Moment:
        """All that is needed to go on from here."""
        repairing = () if self.repairing is None else (self.repairing,)
        return Moment(tuple(self.states), repairing, self.n_repairs, self.n_rows, self.row_weight)

    def go_on_from(self, moment: Moment) -> None:
        """Stand where another climb of the same rows has stood."""
        self.states, self.n_repairs = list(moment.states), moment.n_repairs
        self.repairing = next(iter(moment.repairing), None)
        self.n_rows, self.row_weight = moment.n_rows, moment.row_weight

    def _repair(self, sample: Sample, data_pass: em.DataPass, stopping: em.Stopping) -> None:
        """Put failed components of the best state elsewhere, as long as that is likelier."""

        def report(_: int, state: em.State) -> None:
            self.repairing = state

        while self.n_repairs < REPAIRS:
            best = self.best
            passes_left = stopping.max_passes - len(best.trace)
            if not best.trace or passes_left < 1:
                return
            self.repairing = self.repairing or self._put_elsewhere(best, sample)
            if self.repairing is None:
                return
            left = replace(stopping, max_passes=passes_left)
            (again,) = em.run([self.repairing], data_pass, left, report)
            is_better = again.failure is None and again.trace[-1] > best.trace[-1]
            self.repairing, self.n_repairs = None, self.n_repairs + 1 if is_better else REPAIRS
            if is_better:
                self.states[self.states.index(best)] = again

    def _put_elsewhere(self, best: em.State, sample: Sample) -> em.State | None:
        """Return the best state with its failed components elsewhere, if that promises more."""
        rule: Any = best.rule  # of the estimator, which climbs by maximum likelihood
        failing = diagnostics.failing(best.parameters, self.counts(best), rule.reg_covar)
        if not 0 < len(failing.components) < len(best.parameters.weights):
            return None
        found = repaired(best.parameters, failing.components, sample, rule)
        if found is None:
            return None
        memory = None if best.memory is None else Memory(best.memory.name)
        return em.State(rule, found, memory=memory)

    def _pass(self, candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        if self.keep is not None:
            self.keep(self)
        found = passes.statistics(self.source, candidates)
        self.n_rows, self.row_weight = found[0].n_rows, found[0].row_weight
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
            self._count()
        return self.n_rows or 0

    def weigh_rows(self) -> float:
        """Return the sum of the rows' weights, likewise."""
        if self.row_weight is None:
            self._count()
        return self.row_weight or 0.0

    def counts(self, state: em.State) -> Array:
        """Count the rows that each component of a state holds, whatever they weigh, (K,).

        Of weighted rows each component has at least its weight over that of the heaviest row. Only
        where that leaves open whether it has rows enough are they counted, by a pass.
        """
        parameters = state.parameters
        if self.source.weight is None:
            return parameters.weights * self.count_rows()
        if self.counted is None or self.counted[0] is not parameters:
            self.counted = parameters, self._counted(state)
        return self.counted[1]

    def _counted(self, state: em.State) -> Array:
        rule: Any = state.rule
        if self.source.heaviest is not None:
            fewest = state.parameters.weights * (self.weigh_rows() / self.source.heaviest)
            if not diagnostics.failing(state.parameters, fewest, rule.reg_covar).components:
                return fewest
        return passes.own_rows(self.source, state.parameters)

    def _count(self) -> None:
        found = passes.total_log_likelihood(self.source, self.best.parameters)
        _, self.row_weight, self.n_rows = found

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, in the precision of the rows."""
        best = self.best
        described = attributes_of(best.parameters, np.dtype(self.source.dtype), self.names)
        return described | history_of(best, self.count_rows(), self.weigh_rows())


def advice(
    state: em.State | None,
    n_rows: int,
    count: Callable[[em.State], Array],
    rows: Rows,
    sample: Sample | None = None,
) -> DegenerateComponentWarning | None:
    """Return what is wrong with a fitted mixture, and the way out; None for a sound one.

    `count` tells the rows that each component of a state holds.
    """
    if state is None or not state.trace:  # a start that no M-step has seen
        return None
    rule: Any = state.rule
    known = diagnostics.Described(n_rows, rows.source.dtype, count(state), rows.names)
    if sample is not None:
        variances = feature_variances(sample)
        constant = variances == 0.0
        known = known._replace(
            variances=variances,
            constant=constant,
            n_different=1 if constant.all() else len(sample.rows),
        )
    said = diagnostics.complaints(state.parameters, rule.reg_covar, known)
    if not said:
        return None
    return DegenerateComponentWarning(f"The fit is degenerate: {'; '.join(said)}.")
