"""One number of components in one family, and what became of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgmm import em
from fastgmm.covariance import Family
from fastgmm.estimators.published import attributes_of, history_of
from fastgmm.estimators.rows import Rows
from fastgmm.passes import Totals
from fastgmm.selection.criteria import Criterion


@dataclass(frozen=True, eq=False)
class Candidate:
    """One number of components and one family, and what became of it."""

    n_components: int
    family: Family
    state: em.State | None  # None where there was no start
    failure: Exception | None
    totals: Totals | None  # of the final parameters, None after a failure
    n_features: int

    @property
    def n_parameters(self) -> int:
        """Free parameters of the mixture."""
        return self.family.n_parameters(self.n_components, self.n_features)

    def value(self, criterion: Criterion) -> float:
        """Value of a criterion; infinite after a failure, so that nobody chooses it."""
        return math.inf if self.totals is None else criterion(self.totals, self.n_parameters)

    def attributes(self, rows: Rows) -> dict[str, Any]:
        """Return what `GaussianMixture.fit` publishes, had it climbed from the same start."""
        if self.state is None or self.totals is None:
            raise ValueError(f"{self.n_components} components failed: {self.failure}")
        dtype = np.dtype(rows.source.dtype)
        described = attributes_of(self.state.parameters, dtype, rows.names)
        return described | history_of(self.state, self.totals.n_rows)
