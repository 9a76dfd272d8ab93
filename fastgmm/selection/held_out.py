"""Chooses by the log-likelihood of rows that were held out: five folds, in the same passes.

Every candidate is fitted to all rows, and once without each fold, from a start that has not seen
the fold either. All of these share each pass over the rows; then each row is scored by the fit that
has not seen it. The candidate of the highest mean is the best; by the rule of one standard error
(Breiman, Friedman, Olshen and Stone 1984, section 3.4.3) the simplest whose mean is at most the
best's standard error below it.

No candidate is stopped early. Held-out rows are at most as likely as the same rows in the fit to
all (both at their maxima), so what a candidate can still win is bounded by its own log-likelihood:
that rules out only the smallest candidates, whose passes cost least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastgmm import em
from fastgmm.covariance import Family
from fastgmm.errors import DataError
from fastgmm.estimators.callbacks import Progress
from fastgmm.estimators.climb import Prepared
from fastgmm.estimators.criteria import bic, named
from fastgmm.initialisation.completion import completed
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.passes import folds
from fastgmm.passes.folds import N_FOLDS
from fastgmm.passes.subsample import draw_seed
from fastgmm.selection import sweep
from fastgmm.selection.candidate import Candidate, sound
from fastgmm.selection.contest import SAFETY, Contest
from fastgmm.selection.evidence import EVIDENCE
from fastgmm.selection.monotone import mended
from fastgmm.storage.checkpoint import Moment

HELD_OUT, ONE_STANDARD_ERROR = "held-out", "held-out-1se"
NAMES = (HELD_OUT, ONE_STANDARD_ERROR)


def is_held_out(criterion: str) -> bool:
    """Whether a criterion is the log-likelihood of held-out rows.

    Raises
    ------
    ValueError
        If there is no criterion of this name; the message lists them.
    """
    if criterion not in NAMES and criterion != EVIDENCE:
        named(criterion, others=(*NAMES, EVIDENCE))
    return criterion in NAMES


def begin(
    estimator: Any, counts: Sequence[int], families: Sequence[Family], prepared: Prepared
) -> HeldOutSweep:
    """Make the starts of all candidates with and without each fold, or read the checkpoint.

    Raises
    ------
    DataError
        If the rows are too few for five folds.
    Exception
        That of the first candidate, if none has all its starts.
    """
    rules = sweep.rules_of(families, prepared)
    # as near to the limit as for BIC: within some 0.1 nats of all rows, less than a fold can tell
    contest = sweep.contest_of(estimator, bic, counts, families, prepared)
    # a weight is no number of observations here: twice all of them must change nothing
    contest = replace(contest, row_weight=float(contest.n_rows), is_patient=True)
    if prepared.record is not None:
        moment = prepared.record.moment(rules[0])
        moment = sweep.taken_up(moment, counts, rules * (1 + N_FOLDS))
        return HeldOutSweep(moment, prepared, contest, estimator.criterion)
    rng: Any = prepared.rng  # a generator, because no checkpoint holds the starts
    whole, drawn = prepared.drawn, folds.drawn(prepared.rows.source, draw_seed(rng))
    check_folds(drawn.fewest, whole.n_rows, counts[0], estimator.criterion)
    begun: list[em.State | Exception] = []
    for fold in (None, *range(N_FOLDS)):
        sample = whole if fold is None else completed(drawn.seen(fold, whole), counts[-1], rng)
        seen = prepared._replace(sample=sample)
        begun += sweep.starts_of(estimator, seen, rules, contest).values()
    moment = sweep.moment_of(begun)
    found = HeldOutSweep(moment, prepared, contest, estimator.criterion)
    failed = found.failed()
    if len(failed) == len(counts) * len(families):
        raise failed[0]
    return found


def check_folds(fewest: int, n_rows: int, n_components: int, criterion: str) -> None:
    """Refuse rows of which some fold, left out, leaves fewer than the components."""
    if n_rows >= N_FOLDS and fewest >= n_components:
        return
    needed = max(N_FOLDS, -(-n_components * N_FOLDS // (N_FOLDS - 1)))
    raise DataError(
        f"criterion={criterion!r} leaves out one of {N_FOLDS} folds of the rows at a time, and of "
        f"{n_rows} rows of positive weight {fewest} are left, too few for n_components="
        f"{n_components}; give at least {needed} rows, fewer components, or criterion='bic'"
    )


class HeldOutSweep(sweep.Sweep):
    """Runs EM for all candidates, with and without each fold, and scores what was left out.

    Parameters
    ----------
    moment : Moment
        States of the candidates for all rows, then without the first fold, and so on; and the
        errors of those without a start.
    prepared : Prepared
    contest : Contest
        Decides which candidates have converged.
    criterion : str
    """

    def __init__(
        self, moment: Moment, prepared: Prepared, contest: Contest, criterion: str
    ) -> None:
        super().__init__(moment, prepared, contest)
        self.criterion = criterion
        count = len(contest.families) * len(contest.counts)
        begun = [c for c in range(count * (1 + N_FOLDS)) if c not in moment.failures]
        self._left_out = [c // count - 1 if c >= count else None for c in begun]
        self._of = [c % count for c in begun]  # the candidate of each state
        self._n_candidates = count

    @property
    def fits(self) -> tuple[em.State, ...]:
        """The states that are fitted to all rows."""
        return self.states[: self._left_out.count(None)]

    def run(self, progress: Progress) -> None:
        """Fit until all have converged, then score every row by the fits that have not seen it."""
        super().run(progress)
        self.candidates = self._scored(self.candidates)

    def improved(self, candidates: list[Candidate]) -> list[Candidate]:
        """Mend dips of the fits to all rows; the scores of held-out rows stay as they are."""
        return mended(candidates, self.rows.source, self.contest, self.again)

    def chosen(self) -> Candidate:
        """Return the candidate of the highest mean, or the simplest within its standard error."""
        return best_held_out(self.candidates, self.criterion, self.stopping.tolerance)

    def may_win(self, rival: Candidate, best: Candidate) -> bool:
        """Whether more passes may raise a rival's mean above the best's, if by what they learn."""
        distances = [self.contest.distance(state) for state in rival.folds]
        return score_of(rival) + SAFETY * max(distances, default=0.0) > score_of(best)

    def failed(self) -> dict[int, Exception]:
        """Return why candidates lack a fit, by their number."""
        found = {c % self._n_candidates: each for c, each in self.moment.failures.items()}
        for c, state in zip(self._of, self.states, strict=True):
            if state.failure is not None:
                found.setdefault(c, state.failure)
        return found

    def statistics(self, candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        """Compute the statistics of every candidate, each of the rows that it may see."""
        # no two states share their parameters, and those of a repeated run are of no state
        unseen = dict(zip((state.next for state in self.states), self._left_out, strict=True))
        left_out = [unseen.get(parameters) for parameters in candidates]
        return folds.statistics(self.rows.source, candidates, left_out)

    def _counted(self) -> tuple[int, float]:
        """Rows and weights of the whole sample's source: a pass may have been without a fold."""
        return self.contest.n_rows, self.prepared.drawn.row_weight

    def _scored(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Score the candidates that lack no fit, in one pass."""
        failed = self.failed()
        of_folds: list[list[em.State]] = [[] for _ in candidates]
        for c, state, fold in zip(self._of, self.states, self._left_out, strict=True):
            if fold is not None:
                of_folds[c].append(state)
        whole = [
            c for c, each in enumerate(candidates) if each.totals is not None and c not in failed
        ]
        scores = dict.fromkeys(range(len(candidates)), folds.FAILED)
        if whole:
            found = folds.held_out(
                self.rows.source,
                [[state.parameters for state in of_folds[c]] for c in whole],
                [_mean_of(candidates[c]) for c in whole],
                self.prepared.drawn.row_weight / self.contest.n_rows,
            )
            scores |= dict(zip(whole, found, strict=True))
        return [
            replace(
                each,
                held_out=scores[c],
                folds=tuple(of_folds[c]),
                failure=each.failure or failed.get(c),
            )
            for c, each in enumerate(candidates)
        ]


def best_held_out(
    candidates: Sequence[Candidate], criterion: str, tolerance: float = 0.0
) -> Candidate:
    """Return the candidate of the highest mean, or the simplest within its standard error.

    Means that differ by less than the tolerance of EM count as the same: five components, one
    cluster twice, came to 8e-5 nats per row more than four.

    Raises
    ------
    Exception
        If none can be scored: what went wrong with the first.
    """
    scored = [each for each in candidates if score_of(each) > -math.inf]
    if not scored:
        failure = next((each.failure for each in candidates if each.failure is not None), None)
        raise failure or DataError(
            "every candidate leaves some held-out rows without a density (log-likelihood -inf); "
            "scale the features, or leave out rows that lie so far from all others"
        )
    scored = sound(scored) or scored
    best = max(scored, key=score_of)
    error = 0.0 if best.held_out is None else best.held_out.standard_error
    margin = tolerance if criterion == HELD_OUT else error
    within = [each for each in scored if score_of(each) >= score_of(best) - margin]
    return min(within, key=lambda each: (each.n_parameters, -score_of(each)))


def score_of(candidate: Candidate) -> float:
    """Mean log-likelihood of held-out rows; -inf without one."""
    return -math.inf if candidate.held_out is None else candidate.held_out.mean


def _mean_of(candidate: Candidate) -> float:
    """Mean log-likelihood of all rows in the fit to them, near that of held-out rows."""
    totals = candidate.totals
    mean = 0.0 if totals is None else totals.log_likelihood / totals.row_weight
    return mean if math.isfinite(mean) else 0.0
