"""Chooses by the evidence: variational fits of all sizes and types in shared passes.

The lower bound of the logarithm of the evidence charges for parameters by itself (Bishop 2006,
section 10.2.4). It stands in the table as minus twice its total over the rows, the scale of BIC.

Weights come from a Dirichlet distribution, under which a component without rows costs something.
The sticks of a Dirichlet process leave a rest even after the last, and the fewer there are the more
that rest costs: one Gaussian cluster then has its highest evidence with many empty components.

Each candidate is fitted under three priors of the covariances, and has the highest bound of these.
scikit-learn's default expects the d-th part S / d of the covariance S of all rows, so that noise of
many features is told apart: of 150 rows of 100 features as many components as there may be. Another
expects S, and tells too little apart where clusters are far from each other. The third lies
between, at S / sqrt(d): of wine's 13 features the others give the three cultivars 148 and 85 nats
less, and more to other clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from sklearn.base import clone

from fastgmm import em
from fastgmm.covariance import Family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.estimators.bayesian_climb import BayesianClimb
from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.estimators.climb import Prepared
from fastgmm.estimators.validation import hyperparameters
from fastgmm.selection.result import CandidateTable, of_lines
from fastgmm.storage.checkpoint import Moment

EVIDENCE = "evidence"
# Of the covariances, that each candidate is fitted under: powers of d, by which more is expected
# than the d-th part of the covariance of all rows
POWERS = (0.0, 0.5, 1.0)
# Nats, up to which a difference of evidences is "not worth more than a bare mention" (Kass and
# Raftery 1995, after Jeffreys): the fewest parameters within it are chosen.
BARE_MENTION = 1.0


class Evidence(BayesianClimb):
    """Climbs of all candidates, by family, number of components and prior."""

    def __init__(
        self,
        moment: Moment,
        prepared: Prepared,
        stopping: em.Stopping,
        models: Sequence[BayesianGaussianMixture],
        n_candidates: int,
    ) -> None:
        super().__init__(moment, prepared, stopping)
        self.models = models  # of all candidates under each prior, those that have failed included
        self.n_candidates = n_candidates

    def states_of_all(self) -> list[em.State | None]:
        """Return the state of each model, None where it has no start or has failed."""
        states = iter(self.states)
        found = [
            None if c in self.moment.failures else next(states) for c in range(len(self.models))
        ]
        return [None if state is None or state.failure is not None else state for state in found]

    @property
    def best(self) -> em.State:
        """The state of highest bound, or the one of fewest parameters that is not clearly worse."""
        highest = super().best
        if not highest.trace:
            return highest
        least = highest.trace[-1] - BARE_MENTION / self.prepared.drawn.row_weight
        close = [
            state
            for state in self.states
            if state.failure is None and state.trace and state.trace[-1] >= least
        ]
        return min(close, key=_simplicity)

    def table(self) -> CandidateTable:
        """Return the table of all candidates."""
        each = zip(self.models, self.states_of_all(), strict=True)
        lines = [_line(model, state, self.weigh_rows()) for model, state in each]
        n_priors = len(lines) // self.n_candidates
        pairs = [lines[first : first + n_priors] for first in range(0, len(lines), n_priors)]
        return of_lines([max(pair, key=lambda line: line["lower_bound"]) for pair in pairs])

    def chosen(self) -> BayesianGaussianMixture:
        """Return the estimator of the best candidate, fitted."""
        best = self.best
        at = next(c for c, state in enumerate(self.states_of_all()) if state is best)
        model: BayesianGaussianMixture = self.models[at]
        model._publish(self.attributes())
        return model

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the best state so far, with its size and covariance type."""
        best = self.best
        return super().attributes() | {
            "n_components_": best.parameters.n_components,
            "covariance_type_": best.rule.family.covariance_type,
        }


def _simplicity(state: em.State) -> tuple[int, float]:
    """What is least of the simplest state, and of several the highest."""
    n_parameters = state.rule.family.n_parameters(*state.parameters.means.shape)
    return n_parameters, -state.trace[-1]


def _line(
    model: BayesianGaussianMixture, state: em.State | None, row_weight: float
) -> dict[str, Any]:
    bound = -math.inf if state is None or not state.trace else state.trace[-1]
    return {
        "n_components": model.n_components,
        "covariance_type": model.covariance_type,
        "lower_bound": bound,
        EVIDENCE: -2.0 * bound * row_weight,
        "converged": state is not None and state.outcome is em.Outcome.CONVERGED,
        "n_passes": 0 if state is None else len(state.trace),
    }


def begin(
    estimator: Any, counts: Sequence[int], families: Sequence[Family], prepared: Prepared
) -> Evidence:
    """Make the starts of all candidates, or read their states from the checkpoint.

    Raises
    ------
    Exception
        The error of the first candidate, if none has a start.
    """
    is_axis_parallel = all(each.structure.is_axis_parallel for each in families)
    everything = hyperparameters.of_all_rows(prepared.rows.source, prepared.drawn, is_axis_parallel)
    candidates = list(product(families, counts))
    models, rules = list[BayesianGaussianMixture](), list[em.Variational]()
    for its, count in candidates:
        model = _model(estimator, its, count)
        known = hyperparameters.hyperparameters(
            model, everything, prepared.reg_covar, prepared.rows.names
        )
        degrees = known.degrees_of_freedom
        for power in POWERS if degrees > 1.0 else POWERS[:1]:  # of one feature all are one
            wider = replace(known, covariance=np.asarray(degrees**power * known.covariance))
            given = np.array(wider.covariance) if power else None
            models.append(clone(model).set_params(covariance_prior=given))
            rules.append(em.Variational(its, prepared.reg_covar, wider))
    if prepared.record is None:
        moment = _moment(models, rules, prepared, everything.row_weight)
    else:
        moment = prepared.record.moment(rules[0])
        own = [rule for c, rule in enumerate(rules) if c not in moment.failures]
        states = zip(moment.states, own, strict=True)
        moment = replace(moment, states=tuple(replace(state, rule=rule) for state, rule in states))
    if not moment.states:
        raise moment.failures[0]
    # a part of a nat of the total, as near as the criteria of other searches
    stopping = em.Stopping(
        estimator.tol / everything.row_weight, estimator.max_iter, estimator.stopping
    )
    return Evidence(moment, prepared, stopping, models, len(candidates))


def _model(estimator: Any, its: Family, count: int) -> BayesianGaussianMixture:
    return BayesianGaussianMixture(
        n_components=count,
        covariance_type=its.covariance_type,
        stopping=estimator.stopping,
        reg_covar=estimator.reg_covar,
        reg_covar_relative=estimator.reg_covar_relative,
        max_iter=estimator.max_iter,
        weight_concentration_prior_type=hyperparameters.DISTRIBUTION,
        missing=estimator.missing,
        random_state=estimator.random_state,
    )


def _moment(
    models: Sequence[BayesianGaussianMixture],
    rules: Sequence[em.Variational],
    prepared: Prepared,
    row_weight: float,
) -> Moment:
    """Return the moment before the first pass."""
    states, failures = list[em.State](), dict[int, Exception]()
    for c, (model, rule) in enumerate(zip(models, rules, strict=True)):
        if model.n_components > prepared.drawn.n_rows:
            failures[c] = ValueError(f"{model.n_components} components are more than the rows")
            continue
        try:
            states += model._drawn(rule, prepared, row_weight)
        except DegenerateCovarianceError as failure:
            failures[c] = failure
    return Moment(tuple(states), failures=failures)
