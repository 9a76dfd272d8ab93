"""What `select` returns: a table of the candidates, the best of them, and a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.estimators.criteria import CRITERIA
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.selection.candidate import Candidate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PER_ROW = ("held_out", "standard_error")  # columns of means


class CandidateTable(dict[str, np.ndarray]):
    """Columns by name, one row per candidate; `pandas.DataFrame(table)` accepts it as it is."""

    def __repr__(self) -> str:
        """Lines and columns, as a person reads them."""
        columns = [[name, *(_cell(each, name) for each in its)] for name, its in self.items()]
        widths = [max(map(len, column)) for column in columns]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in zip(*columns, strict=True)
        )


def _cell(value: Any, name: str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.5f}" if name in PER_ROW else f"{value:.2f}"


@dataclass(frozen=True, eq=False)
class Selection:
    """What `select` returns.

    Attributes
    ----------
    table : CandidateTable
        A mapping of columns, arrays with one entry per candidate: `n_components`,
        `covariance_type`, `log_likelihood` (total over the rows, under the final parameters),
        `n_parameters`, `aic`, `bic`, `icl`, `doubt` (how much lower the criteria would still
        come, estimated from the last steps of EM; inf if unknown), `converged`, `n_passes`.
        `converged` is False for candidates that were stopped early, since they could not have
        become the best even at ten times the estimated distance from their limit. A candidate
        whose covariance collapsed, or with more components than rows, has log-likelihood -inf,
        criteria inf and `converged` False; there is no NaN. Where the criterion is held out, also
        `held_out` (mean log-likelihood per row under the fits that have not seen it) and
        `standard_error` (of that mean); -inf and inf for a candidate one of whose fits failed.
        Where it is the evidence: `n_components`, `covariance_type`, `lower_bound` (per row),
        `evidence` (minus twice the total of it), `converged`, `n_passes`.
    best_estimator_ : GaussianMixture, or BayesianGaussianMixture for the evidence
        The chosen candidate, fitted to all rows, among those that have not collapsed.
    criterion : str
        The criterion by which the best was chosen.
    collapsed : ndarray of bool
        For each row of the table, whether some components have collapsed onto one row or onto
        equal values. The criteria of such a candidate are low for that reason alone.
    """

    table: CandidateTable
    best_estimator_: GaussianMixture | BayesianGaussianMixture
    criterion: str
    collapsed: np.ndarray

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the criterion over the number of components, one curve per covariance type.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes without it.

        Returns
        -------
        matplotlib.axes.Axes
            Each curve's best value is marked; candidates that failed leave a gap, as do those
            that have collapsed unless all of a type have. Of held-out rows there are standard
            errors, too.
        """
        from fastgmm import plot

        counts = np.unique(self.table["n_components"]).tolist()
        if "held_out" not in self.table:
            ax = plot.criteria(counts, self._curves(self.criterion), ax)
            ax.set_ylabel(f"{self.criterion.upper()} (lower is better)")
            return ax
        means, types = self._curves("held_out"), self.table["covariance_type"]
        errors = self.table["standard_error"]
        pairs = {name: (curve, errors[types == name]) for name, curve in means.items()}
        return plot.held_out(counts, pairs, ax)

    def _curves(self, column: str) -> dict[str, np.ndarray]:
        """Return what is to be drawn of a column, by covariance type."""
        values, types = self.table[column], self.table["covariance_type"]
        curves = {}
        for name in dict.fromkeys(types):
            curve, collapsed = values[types == name], self.collapsed[types == name]
            seen = np.isfinite(curve) & ~collapsed
            curves[name] = np.where(seen if seen.any() else np.isfinite(curve), curve, np.nan)
        return {name: curve for name, curve in curves.items() if not np.all(np.isnan(curve))}


def table_of(candidates: Sequence[Candidate]) -> CandidateTable:
    """Make the table, in the order of the candidates."""
    return of_lines([_line(candidate) for candidate in candidates])


def of_lines(lines: Sequence[Mapping[str, Any]]) -> CandidateTable:
    """Make the table of lines that have the same names."""
    table = CandidateTable({name: np.array([line[name] for line in lines]) for name in lines[0]})
    table["covariance_type"] = table["covariance_type"].astype(object)
    return table


def _line(candidate: Candidate) -> dict[str, Any]:
    totals, scores = candidate.totals, candidate.held_out
    return {
        "n_components": candidate.n_components,
        "covariance_type": candidate.family.covariance_type,
        "log_likelihood": -math.inf if totals is None else totals.log_likelihood,
        "n_parameters": candidate.n_parameters,
        **{name: candidate.value(criterion) for name, criterion in CRITERIA.items()},
        "doubt": candidate.doubt,
        "converged": candidate.has_arrived,
        "n_passes": candidate.n_passes,
        **(
            {}
            if scores is None
            else {"held_out": scores.mean, "standard_error": scores.standard_error}
        ),
    }
