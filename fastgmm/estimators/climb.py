"""EM from one or several starts over the rows of one source: their passes, and repairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastgmm import em, passes
from fastgmm.em import diagnostics
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.estimators.callbacks import Progress, StopRequestedError
from fastgmm.estimators.fitted_attributes import attributes_of, history_of
from fastgmm.estimators.truncations import bounded
from fastgmm.estimators.validation.inputs import Rows, check_count
from fastgmm.initialisation.prior_strength import is_starved, regularised_from
from fastgmm.initialisation.repair import repaired
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample, feature_variances
from fastgmm.storage.checkpoint import Moment, Record

REPAIRS = 3  # of one fit


class Prepared(NamedTuple):
    """What is known before EM begins."""

    rows: Rows
    sample: Sample | None  # of the rows, if the plan needs one
    reg_covar: float | Array  # added to every variance, or to that of each feature (d,)
    rng: np.random.Generator | None  # for the starts; None if an earlier call has drawn them
    record: Record | None  # of that call, from the checkpoint
    keep: Callable[[Moment], None]  # writes the checkpoint, before every pass

    @property
    def drawn(self) -> Sample:
        """The sample that a plan needs."""
        return cast(Sample, self.sample)


class Concluded(NamedTuple):
    """What a fit has come to."""

    attributes: dict[str, Any]  # to be published
    warnings: list[Warning | None]


class Climb:
    """EM from some starts over the rows of one source; they share their passes.

    Parameters
    ----------
    moment : Moment
        The starts, or how far an earlier call has taken them.
    prepared : Prepared
    stopping : em.Stopping
    report : callable, optional
        Called with the number of a start and its new state after each of its steps.
    may_repair : bool, default=False
        Whether components that have failed may be put elsewhere: not in a start that the user
        gives, which is to lead where it leads.
    strengths : sequence of float, optional
        Rows of a prior to choose from where components have come to hold few rows.
    truncation : float, optional
        Nats that passes may leave out of each row.

    Attributes
    ----------
    moment : Moment
        How far all starts have come.
    was_stopped : bool
        Whether a callback has asked to stop.
    """

    def __init__(
        self,
        moment: Moment,
        prepared: Prepared,
        stopping: em.Stopping,
        report: Callable[[int, em.State], object] | None = None,
        may_repair: bool = False,
        strengths: Sequence[float] | None = None,
        truncation: float | None = None,
    ) -> None:
        self.moment = moment
        self.prepared = prepared
        self.stopping, self.report, self.may_repair = stopping, report, may_repair
        self.strengths, self.truncation = strengths, truncation
        self.was_stopped = False
        self._last_counts: tuple[Parameters, Array] | None = None

    @property
    def states(self) -> tuple[em.State, ...]:
        """The state of every start, as its last step left it."""
        return self.moment.states

    @property
    def rows(self) -> Rows:
        """The rows that are fitted."""
        return self.prepared.rows

    def run(self, progress: Progress) -> None:
        """Climb until every start has stopped, or a callback asks to."""
        data_pass = progress.watched(self._pass, self.attributes)
        try:
            states = em.run(self.states, data_pass, self.stopping, self._reported, self.outdone)
            self.moment = replace(self.moment, states=tuple(states))
            if self.may_repair and self.prepared.sample is not None:
                self._repair(self.prepared.sample, data_pass)
        except StopRequestedError:
            self.was_stopped = True
        progress.end_pass(self.attributes)

    def outdone(self, states: Sequence[em.State]) -> Iterable[int]:
        """Tell which climb on no more: none, since starts are compared where they end."""
        return ()

    def _reported(self, start: int, state: em.State) -> None:
        """Keep the state after a step, and tell whoever wants to know."""
        self._replace(start, state)
        if self.report is not None:
            self.report(start, state)

    def _replace(self, start: int, state: em.State) -> None:
        states = (*self.states[:start], state, *self.states[start + 1 :])
        self.moment = replace(self.moment, states=states)

    def _repair(self, sample: Sample, data_pass: em.DataPass) -> None:
        """Put failed components of the best state elsewhere, as long as that is likelier.

        Where they hold few rows and there is no prior, the state goes on under one.
        """

        def report(_: int, state: em.State) -> None:
            self.moment = replace(self.moment, repairing=(state,))

        while self.moment.n_rounds < REPAIRS:
            best = self.best
            passes_left = self.stopping.max_passes - len(best.trace)
            if not best.trace or passes_left < 1:
                return
            repairing = (
                self.moment.repairing
                or self._regularised(best, sample)
                or self._put_elsewhere(best, sample)
            )
            if not repairing:
                return
            self.moment = replace(self.moment, repairing=repairing)
            left = replace(self.stopping, max_passes=passes_left)
            (again,) = em.run(repairing, data_pass, left, report)
            is_another = best.rule.prior is None and again.rule.prior is not None
            is_better = again.failure is None and (is_another or again.trace[-1] > best.trace[-1])
            n_rounds = self.moment.n_rounds + 1 if is_better else REPAIRS
            self.moment = replace(self.moment, repairing=(), n_rounds=n_rounds)
            if is_better:
                self._replace(self.states.index(best), again)

    def _regularised(self, best: em.State, sample: Sample) -> tuple[em.State, ...]:
        """Return the best state under a prior, if it has none and a component holds few rows."""
        rule, strengths = best.rule, self.strengths
        if strengths is None or rule.prior is not None or not isinstance(rule, em.Maximisation):
            return ()
        if not is_starved(best.parameters, sample):
            return ()
        found = regularised_from([best.parameters], sample, rule, strengths)
        if found.prior is None:
            return ()
        return (em.State(rule.under(found.prior), found.parameters, acceleration=_anew(best)),)

    def _put_elsewhere(self, best: em.State, sample: Sample) -> tuple[em.State, ...]:
        """Return the best state with its failed components elsewhere, if that promises more."""
        if not isinstance(best.rule, em.Maximisation):
            return ()
        failing = diagnostics.failing(best.parameters, self.counts(best), best.rule.reg_covar)
        if not 0 < len(failing.components) < len(best.parameters.weights):
            return ()
        found = repaired(best.parameters, failing.components, sample, best.rule)
        if found is None:
            return ()
        return (em.State(best.rule, found, acceleration=_anew(best)),)

    def _pass(self, candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        self.prepared.keep(self.moment)
        found = self.statistics(candidates)
        first = found[0]
        if (first.n_rows, first.row_weight) != (self.moment.n_rows, self.moment.row_weight):
            self.moment = replace(self.moment, n_rows=first.n_rows, row_weight=first.row_weight)
        return found

    def statistics(self, candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        """Compute the statistics of every candidate, in one pass."""
        seen = [bounded(each, self.truncation) for each in candidates]
        return passes.statistics(self.rows.source, seen)

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
        return self._counted()[0]

    def weigh_rows(self) -> float:
        """Return the sum of the rows' weights, likewise."""
        return self._counted()[1]

    def _counted(self) -> tuple[int, float]:
        n_rows, row_weight = self.moment.n_rows, self.moment.row_weight
        if n_rows is None or row_weight is None:
            source, parameters = self.rows.source, self.best.parameters
            _, row_weight, n_rows = passes.total_log_likelihood(source, parameters)
            self.moment = replace(self.moment, n_rows=n_rows, row_weight=row_weight)
        return n_rows, row_weight

    def counts(self, state: em.State) -> Array:
        """Count the rows that each component of a state holds, whatever they weigh, (K,).

        Of weighted rows each component has at least its weight over that of the heaviest row. Only
        where that leaves open whether it has rows enough are they counted, by a pass.
        """
        parameters = state.parameters
        if self.rows.source.weight is None:
            return parameters.weights * self.count_rows()
        if self._last_counts is None or self._last_counts[0] is not parameters:
            self._last_counts = parameters, self._own_rows(state)
        return self._last_counts[1]

    def _own_rows(self, state: em.State) -> Array:
        source = self.rows.source
        if source.heaviest is not None:
            added = state.rule.added(state.parameters)
            fewest = state.parameters.weights * (self.weigh_rows() / source.heaviest)
            if not diagnostics.failing(state.parameters, fewest, added).components:
                return fewest
        return passes.own_rows(source, bounded(state.parameters, self.truncation))

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, in the precision of the rows."""
        best = self.best
        described = attributes_of(
            best.parameters, np.dtype(self.rows.source.dtype), self.rows.names
        )
        read_as = self.rows.source.read_as
        if self.truncation is not None:
            described["truncated_mass_"] = best.left_out
        return described | history_of(best, self.count_rows(), self.weigh_rows(), read_as)

    def last_finished(self) -> dict[str, Any] | None:
        """Return the attributes of the best state, if an iteration was finished."""
        is_begun = any(state.trace for state in self.states if state.failure is None)
        return self.attributes() if is_begun else None

    def conclude(self) -> Concluded:
        """Return what the fit has come to.

        Raises
        ------
        ValueError
            If the rows are fewer than the components.
        """
        check_count(self.count_rows(), self.states[0].parameters.n_components)
        best = self.best
        return Concluded(self.attributes(), [self._not_converged(best), self._degenerate(best)])

    def _degenerate(self, best: em.State) -> Warning | None:
        """Say what is wrong with the mixture of the best start."""
        counts = self.counts(best) if best.trace else np.zeros(0)
        return degenerate_warning(best, self.count_rows(), counts, self.rows, self.prepared.sample)

    def _not_converged(self, best: em.State) -> Warning | None:
        """Say that the best start has used all passes; with `max_iter` 0, none were asked for."""
        is_cut_off = best.outcome is em.Outcome.OUT_OF_PASSES and not self.was_stopped
        if not is_cut_off or self.stopping.max_passes == 0:
            return None
        return ConvergenceWarning(best.outcome.advice)


def _anew(state: em.State) -> Acceleration | None:
    """Return the acceleration of a state, before its first step."""
    return None if state.acceleration is None else Acceleration(state.acceleration.name)


@one_blas_thread()
def degenerate_warning(
    state: em.State, n_rows: int, counts: Array, rows: Rows, sample: Sample | None = None
) -> DegenerateComponentWarning | None:
    """Return what is wrong with a fitted mixture, and the way out; None for a sound one.

    `counts` are the rows that each component of the state holds.
    """
    if not state.trace:  # a start that no M-step has seen
        return None
    has_prior = state.rule.has_prior
    known = diagnostics.Described(
        n_rows,
        rows.source.dtype,
        counts,
        rows.names,
        has_prior=has_prior,
        family=state.rule.family.name,
        given=state.rule.fixed.covariances if isinstance(state.rule, em.FreeMaximisation) else None,
    )
    if sample is not None:
        variances = feature_variances(sample)
        constant = variances == 0.0
        known = known._replace(
            variances=variances,
            constant=constant,
            n_different=1 if constant.all() else len(sample.rows),
        )
    said = diagnostics.complaints(state.parameters.alone, state.rule.added(state.parameters), known)
    if not said:
        return None
    return DegenerateComponentWarning(f"The fit is degenerate: {'; '.join(said)}.")
