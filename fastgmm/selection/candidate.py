"""A candidate of a search: one number of components, one family, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgmm import em
from fastgmm.covariance import Family
from fastgmm.em import diagnostics
from fastgmm.errors import DegenerateComponentWarning
from fastgmm.estimators.climb import degenerate_warning
from fastgmm.estimators.criteria import Criterion
from fastgmm.estimators.fitted_attributes import attributes_of, history_of
from fastgmm.estimators.validation.inputs import Rows
from fastgmm.mixture.arrays import Array
from fastgmm.passes.folds import HeldOut
from fastgmm.passes.scores import Totals


@dataclass(frozen=True, eq=False)
class Candidate:
    """One number of components and one family, and what became of it."""

    n_components: int
    family: Family
    state: em.State | None  # None where there was no start
    failure: Exception | None
    totals: Totals | None  # of the final parameters, None after a failure
    n_features: int
    held_out: HeldOut | None = None  # where rows were held out
    folds: tuple[em.State, ...] = ()  # the fits without each fold

    @property
    def n_parameters(self) -> int:
        """Free parameters of the mixture."""
        return self.family.n_parameters(self.n_components, self.n_features)

    def value(self, criterion: Criterion) -> float:
        """Value of a criterion; infinite after a failure, so that nobody chooses it."""
        return math.inf if self.totals is None else criterion(self.totals, self.n_parameters)

    @property
    def has_arrived(self) -> bool:
        """Whether EM has come as near to the limit as was asked for."""
        if self.state is None or self.failure is not None:
            return False
        return all(each.outcome is em.Outcome.CONVERGED for each in (self.state, *self.folds))

    @property
    def n_passes(self) -> int:
        """Passes of the fit, or of the longest of its fits."""
        states = self.folds if self.state is None else (self.state, *self.folds)
        return max((len(each.trace) for each in states), default=0)

    @property
    def doubt(self) -> float:
        """How much lower the criteria would still come, by the last steps of EM; inf if unknown.

        Where they have arrived and have no ratio, as by rounding, it is their own range.
        """
        if self.totals is None or self.state is None:
            return math.inf
        distance = em.aitken(self.state.steps)
        if self.has_arrived and distance == math.inf:
            last = [each for each in self.state.steps[-4:] if each > -math.inf]
            distance = max(last) - min(last)
        return 2.0 * self.totals.row_weight * distance

    @property
    def counts(self) -> Array:
        """Rows that each component holds, whatever they weigh, (K,)."""
        if self.state is None or self.totals is None:
            return np.zeros(self.n_components)
        if self.totals.counts is not None:
            return self.totals.counts
        return self.state.parameters.weights * self.totals.n_rows

    @property
    def has_collapsed(self) -> bool:
        """Whether components have collapsed, as `diagnostics.collapsed` tells."""
        if self.totals is None or self.state is None or not self.state.trace:
            return False
        added = self.state.rule.reg_covar
        has_one_size = self.family.has_one_size
        return bool(diagnostics.collapsed(self.state.parameters, self.counts, added, has_one_size))

    def attributes(self, rows: Rows) -> dict[str, Any]:
        """Return what `GaussianMixture.fit` publishes, had it climbed from the same start."""
        if self.state is None or self.totals is None:
            raise self.failure or ValueError(f"{self.n_components} components have failed")
        dtype = np.dtype(rows.source.dtype)
        described = attributes_of(self.state.parameters, dtype, rows.names)
        n_rows, row_weight = self.totals.n_rows, self.totals.row_weight
        return described | history_of(self.state, n_rows, row_weight, rows.source.read_as)

    def degenerate_warning(self, rows: Rows) -> DegenerateComponentWarning | None:
        """Return what is wrong with the mixture, and the way out; None if it is sound."""
        if self.state is None or self.totals is None:
            return None
        return degenerate_warning(self.state, self.totals.n_rows, self.counts, rows)


def sound(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that have neither failed nor collapsed."""
    return [each for each in candidates if each.totals is not None and not each.has_collapsed]


def best_of(candidates: Sequence[Candidate], criterion: Criterion) -> Candidate:
    """Return the candidate of lowest criterion, of those that have not collapsed if there are."""
    known = sound(candidates) or candidates
    return min(known, key=lambda candidate: candidate.value(criterion))
