"""Progress of a fit: scikit-learn's callbacks, and the lines of `verbose`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastgmm import em
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics

DataPass = Callable[[list[Parameters]], Sequence[SufficientStatistics]]


class StopRequestedError(Exception):
    """A callback has asked that the fit go no further."""


class Verbose:
    """Print the trace of every initialisation, in scikit-learn's words.

    Restarts share their passes, so that their lines alternate; then each line says whose it is.
    """

    def __init__(self, verbosity: int, interval: int, n_starts: int) -> None:
        self.verbosity = verbosity
        self.interval = interval
        self.several = n_starts > 1
        self.started = self.last_printed = time.perf_counter()
        for start in range(n_starts if verbosity else 0):
            print(f"Initialization {start}")

    def __call__(self, start: int, state: em.State) -> None:
        """Print what the last step of one start has brought."""
        if not self.verbosity:
            return
        if len(state.trace) % self.interval == 0 and state.outcome is not em.Outcome.DEGENERATE:
            self._print_iteration(start, state)
        if state.outcome is not em.Outcome.RUNNING:
            self._print_end(start, state)

    def _print_iteration(self, start: int, state: em.State) -> None:
        line = f"  Iteration {len(state.trace)}"
        if self.verbosity >= 2:
            now = time.perf_counter()
            before, last = (state.previous_objective, *state.trace)[-2:]
            line += f"\t time lapse {now - self.last_printed:.5f}s\t ll change {last - before:.5f}"
            self.last_printed = now
        print(line + (f"\t initialization {start}" if self.several else ""))

    def _print_end(self, start: int, state: em.State) -> None:
        verdict = "converged" if state.outcome is em.Outcome.CONVERGED else "did not converge"
        line = (
            f"Initialization {start} {verdict}." if self.several else f"Initialization {verdict}."
        )
        if self.verbosity >= 2 and state.trace:
            seconds = time.perf_counter() - self.started
            line += f" time lapse {seconds:.5f}s\t lower bound {state.trace[-1]:.5f}."
        print(line)


class Progress:
    """Tell scikit-learn's callbacks of the fit and of each of its passes.

    Parameters
    ----------
    estimator : CallbackSupportMixin
    max_passes : int
        The number of subtasks that a progress bar may expect.
    given : dict
        X, y and metadata, handed to the callbacks that ask for them.
    """

    def __init__(self, estimator: Any, max_passes: int, given: Mapping[str, Any]) -> None:
        self.estimator = estimator
        self.given = given
        self.fit = estimator._init_callback_context(max_subtasks=max_passes)
        self.n_left = max_passes  # of the tasks that may be begun
        self.fit.call_on_fit_task_begin(estimator=estimator, **given)
        self.current: Any = None  # the context of the pass that is running

    def watched(self, data_pass: DataPass, attributes: Callable[[], dict[str, Any]]) -> DataPass:
        """Return the same pass, which ends the task of the one before and begins its own."""

        def watched_pass(candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
            if self.end_pass(attributes):
                raise StopRequestedError
            if self.n_left > 0:  # a repair after the last pass takes more than were announced
                self.n_left -= 1
                self.current = self.fit.subcontext(task_name="pass")
                self.current.call_on_fit_task_begin(estimator=self.estimator, **self.given)
            return data_pass(candidates)

        return watched_pass

    def end_pass(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """End the task of the last pass, if any; return whether a callback asks to stop."""
        ended, self.current = self.current, None
        return ended is not None and ended.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.given
        )

    def end_fit(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """End the task of the fit."""
        self.fit.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.given
        )
