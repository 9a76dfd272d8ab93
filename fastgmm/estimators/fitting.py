"""The one way to fit: an estimator says in a plan what it wants, and `fit` does it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastgmm.covariance.regularisation import relative
from fastgmm.errors import warn
from fastgmm.estimators import checkpointing
from fastgmm.estimators.callbacks import Progress
from fastgmm.estimators.climb import Climb, Concluded, Prepared
from fastgmm.estimators.fit_guards import last_iteration_kept
from fastgmm.estimators.validation import memory
from fastgmm.estimators.validation.inputs import Rows
from fastgmm.estimators.validation.random_state import generator
from fastgmm.initialisation.completion import completed
from fastgmm.mixture.arrays import Array
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample, draw_seed, feature_variances, sample_of
from fastgmm.sources import Source

FEW_ROWS = 2000  # beyond them, 60 microseconds do not count


@dataclass(frozen=True)
class Plan:
    """What an estimator wants of a fit.

    Parameters
    ----------
    estimator : Mixture
        Whose `max_iter`, `random_state`, `reg_covar` and `reg_covar_relative` count.
    mixtures : sequence of memory.Mixture
        What is fitted in shared passes, and has to fit into memory.
    start : str
        What they start from, in the words of `memory.demand`.
    needs_sample : bool
        Whether a sample of the rows is needed for the starts.
    settings : callable
        Returns what the fit depends on besides the rows; called if there is a checkpoint.
    begin : callable
        Makes the `Climb` of what is `Prepared`.
    conclude : callable
        Makes what is `Concluded` of that climb, once it has ended.
    is_silent : bool, default=False
        Whether warnings are left out.
    """

    estimator: Any
    mixtures: Sequence[memory.Mixture]
    start: str
    needs_sample: bool
    settings: Callable[[], dict[str, Any]]
    begin: Callable[[Prepared], Climb]
    conclude: Callable[[Any], Concluded] = Climb.conclude
    is_silent: bool = False


def _settings(plan: Plan) -> dict[str, Any]:
    """Return what a fit depends on besides the rows: also which estimator's it is."""
    return {"the estimator": type(plan.estimator).__name__} | plan.settings()


def fit(plan: Plan, rows: Rows, checkpoint: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Do what a plan says, and return the attributes to publish."""
    # BLAS is limited once for all of few rows, of whose reading nobody's own code is a part: five
    # times took 60 of 1300 microseconds
    with one_blas_thread() if _are_few(rows.source) else nullcontext():
        return _done(plan, rows, checkpoint)


def _are_few(source: Source) -> bool:
    return source.lasting and source.n_rows is not None and source.n_rows <= FEW_ROWS


def _done(plan: Plan, rows: Rows, checkpoint: str | os.PathLike[str] | None) -> dict[str, Any]:
    memory.demand(rows.source, plan.mixtures, plan.start)
    kept = checkpointing.opened(checkpoint, partial(_settings, plan), rows.source)
    progress = Progress(plan.estimator, plan.estimator.max_iter, rows.given)
    prepared, kept = _prepared(plan, rows, kept)
    climb = plan.begin(prepared)
    with last_iteration_kept(plan.estimator, climb.last_finished):
        climb.run(progress)
    kept.keep(climb.moment, is_finished=not climb.was_stopped, durable=True)
    attributes, warnings = plan.conclude(climb)
    for warning in warnings:
        if warning is not None and not plan.is_silent:
            warn(warning)
    progress.end_fit(lambda: copy.deepcopy(attributes))  # callbacks may write to them
    return attributes


def _prepared(
    plan: Plan, rows: Rows, kept: checkpointing.Kept
) -> tuple[Prepared, checkpointing.Kept]:
    """Draw the sample that is needed, and compare the rows with those of the checkpoint."""
    estimator, record = plan.estimator, kept.record
    rng, sample, seed = None, None, 0
    if plan.needs_sample or estimator.reg_covar_relative:
        if record is None:
            rng = generator(estimator.random_state)
        seed = draw_seed(rng) if rng is not None else kept.seed
        sample = sample_of(rows.source, seed, kept.compares)
    kept = kept.compared(seed, sample)
    if sample is not None:
        most = max(each.n_components for each in plan.mixtures)
        sample = completed(sample, most, np.random.default_rng(seed))
    added = _regularisation(estimator, sample)
    return Prepared(rows, sample, added, rng, record, kept.keep), kept


def _regularisation(estimator: Any, sample: Sample | None) -> float | Array:
    """Return what is added to every variance, or to that of each feature (d,)."""
    if sample is None or not estimator.reg_covar_relative:
        return float(estimator.reg_covar)
    return relative(estimator.reg_covar, feature_variances(sample))
