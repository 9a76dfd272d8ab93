"""Where EM starts: at given parameters, where the last fit ended, or at drawn starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastgmm import em
from fastgmm.covariance import Family
from fastgmm.covariance.factor_analysers import FactorAnalysers
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.estimators import priors
from fastgmm.estimators.climb import Prepared
from fastgmm.estimators.factored import is_factored
from fastgmm.estimators.fitted_attributes import is_fitted
from fastgmm.estimators.validation import inputs, mixture_arrays
from fastgmm.estimators.validation.fixed import demand_values, fixed_of, said
from fastgmm.estimators.validation.responsibilities import (
    responsibilities_of,
    responsibilities_said,
)
from fastgmm.initialisation.auto import regularised_start
from fastgmm.initialisation.completion import best_of_draws
from fastgmm.initialisation.factored import auto_start, of_variances, with_loadings
from fastgmm.initialisation.labelled import (
    from_labels,
    given_to_classes,
    prior_beside_labels,
)
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.responsibilities import maximised
from fastgmm.initialisation.robust import Robust, robust_start
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior, common_covariance
from fastgmm.passes.labelled import LabelledRows
from fastgmm.passes.subsample import Sample
from fastgmm.sources import Source
from fastgmm.storage.checkpoint import Moment


class Given(NamedTuple):
    """What the user says of the start; None where nothing is said."""

    weights: Array | None
    means: Array | None
    precisions: Array | None

    @property
    def is_complete(self) -> bool:
        """Whether no start of our own is needed."""
        return not any(value is None for value in self)

    @property
    def is_nothing(self) -> bool:
        """Whether all of the start is our own."""
        return all(value is None for value in self)

    def alone(self, known: Family) -> Parameters:
        """Return the parameters that are given, all of them, as far as the family allows."""
        weights, means, precisions = self
        found = Parameters.from_precisions(known.structure, weights, means, precisions)  # type: ignore[arg-type]
        if known.constraint is None:
            return found
        return known.parameters(found.weights, found.means, found.covariances)

    def instead_of(self, start: Parameters, known: Family) -> Parameters:
        """Return a start of our own with what is given in the place of its values."""
        weights = start.weights if self.weights is None else self.weights
        means = start.means if self.means is None else self.means
        if self.precisions is not None:
            return Given(weights, means, self.precisions).alone(known)
        return Parameters(
            start.structure, weights, means, start.covariances, start.precisions_cholesky
        )


def checked(estimator: Any, n_features: int) -> Given:
    """Return what `weights_init`, `means_init` and `precisions_init` say, checked."""
    n_components, kind = estimator.n_components, estimator.covariance_type
    weights, means = estimator.weights_init, estimator.means_init
    precisions = estimator.precisions_init
    if weights is not None:
        with mixture_arrays.named("weights_init"):
            weights = mixture_arrays.checked_weights(weights, n_components).astype(np.float64)
            mixture_arrays.refuse_zero(weights)
    if means is not None:
        with mixture_arrays.named("means_init"):
            means = mixture_arrays.checked_means(means, n_components, n_features).astype(np.float64)
    if precisions is not None:
        with mixture_arrays.named("precisions_init"):
            precisions = mixture_arrays.checked_matrices(
                precisions, f"{kind} precision", kind, n_components, n_features
            ).astype(np.float64)
    return Given(weights, means, precisions)


Around = Callable[[em.Maximisation], Robust]


class Start(NamedTuple):
    """Where the fit of one mixture begins."""

    estimator: Any
    given: Given
    is_warm: bool  # where the last fit ended, whatever is given
    fixed: em.Fixed | None = None  # what stays as it is there
    around: Around | None = None  # makes the rule with tails or noise of that of normal components

    @property
    def is_drawn(self) -> bool:
        """Whether starts are drawn, in which what is given may take its place."""
        has_responsibilities = self.estimator.responsibilities_init is not None
        return not (self.is_warm or self.given.is_complete or has_responsibilities)

    @property
    def is_ours(self) -> bool:
        """Whether all of the start is our own: one of the user's leads where EM leads."""
        return self.is_drawn and self.given.is_nothing

    @property
    def n_starts(self) -> int:
        """How many there are; those that are not drawn would all be the same."""
        return self.estimator.n_init if self.is_drawn else 1

    @property
    def method(self) -> str:
        """How they are found, in the words of `memory.demand`."""
        return self.estimator.init_params if self.is_drawn else "given"

    @property
    def strengths(self) -> tuple[float, ...] | None:
        """Rows of the prior to choose from; None where it is none, or known from the rows."""
        if is_factored(self.estimator):
            return None
        is_ours = self.is_ours and self.estimator.init_params == "auto"
        return priors.strengths(self.estimator.prior, is_ours, self.estimator.reg_covar)

    def settings(self) -> dict[str, Any]:
        """Return what a fit follows from, besides the rows: arguments, and where it begins."""
        arguments = self.estimator.get_params(deep=False)
        arguments["prior"] = priors.said(self.estimator.prior)
        arguments["fixed"] = str(said(self.fixed))
        arguments["responsibilities_init"] = responsibilities_said(arguments)
        if not self.is_warm:
            return arguments | {"the start": "of its own"}
        of_factors = "components_" in vars(self.estimator)
        others = ("components_", "noise_variance_") if of_factors else ("covariances_",)
        names = ("weights_", "means_", *others)
        ended = [np.ravel(getattr(self.estimator, name)) for name in names]
        return arguments | {"the start": np.concatenate(ended)}

    def moment(
        self, rule: em.Maximisation, prepared: Prepared, labelled: LabelledRows | None = None
    ) -> Moment:
        """Return the first states, or those that an earlier call has left.

        Raises
        ------
        DegenerateCovarianceError
            If every start collapses.
        ValueError
            If the rows are fewer than the components, or the last fit was of another shape.
        """
        if prepared.record is not None:
            whole = rule if self.around is None else self.around(rule)
            return prepared.record.moment(kept_by(whole, self.fixed))
        if self.is_warm:
            states = [self._last(rule, prepared.rows.source.n_features)]
        elif prepared.sample is None or prepared.rng is None or not self.is_drawn:
            given = self._given(rule, prepared.rows.source)
            if self.strengths is not None:
                rule = drawn_together(rule, given, self.strengths)
            states = [em.State(rule, given)]
        else:
            inputs.check_known_count(prepared.rows.source, self.estimator.n_components)
            states = self._drawn(rule, prepared.sample, prepared.rng)
            if labelled is not None:
                states = self._labelled(rule, states, labelled, prepared.sample, prepared.rng)
        if self.around is not None:
            states = [self._robust(state, self.around) for state in states]
        name = self.estimator.acceleration
        if name is not None and (self.is_ours or name != "auto"):
            states = [replace(state, acceleration=Acceleration(name)) for state in states]
        if self.fixed is not None:
            states = [replace(state, rule=kept_by(state.rule, self.fixed)) for state in states]
        return Moment(tuple(states))

    def _given(self, rule: em.Maximisation, source: Source) -> Parameters:
        """Return what the user gives, by an M-step of responsibilities where these are given."""
        responsibilities = self.estimator.responsibilities_init
        if responsibilities is None or self.given.is_complete:
            return self.given.alone(rule.family)
        n_components = self.estimator.n_components
        given = responsibilities_of(responsibilities, source, n_components)
        start = maximised(source, given, n_components, rule)
        return self.given.instead_of(start, rule.family)

    def _drawn(
        self, rule: em.Maximisation, sample: Sample, rng: np.random.Generator
    ) -> list[em.State]:
        """Return the states of `n_init` starts, but for those whose covariance collapses.

        Where no pass will judge them, with `max_iter` 0, there is one.
        """
        states, failures = list[em.State](), list[DegenerateCovarianceError]()
        for _ in range(self.n_starts if self.estimator.max_iter > 0 else 1):
            try:
                if states:  # compared under one prior
                    same = rule.under(states[0].rule.prior)
                    states.append(self._started(same, None, sample, rng))
                else:
                    states.append(self._started(rule, self.strengths, sample, rng))
            except DegenerateCovarianceError as failure:
                failures.append(failure)
        if not states:
            raise failures[0]
        return states

    def _labelled(
        self,
        rule: em.Maximisation,
        states: list[em.State],
        labelled: LabelledRows,
        sample: Sample,
        rng: np.random.Generator,
    ) -> list[em.State]:
        """Return a start from labelled rows, and those drawn, in the order of the classes."""
        starts = [state.parameters for state in states]
        if self.given.is_nothing:
            starts = [given_to_classes(start, labelled) for start in starts]
        try:
            own = from_labels(starts[0], labelled, sample, rule, rng)
            starts = [self.given.instead_of(own, rule.family), *starts]
        except DegenerateCovarianceError:
            pass
        if self.strengths is not None:
            prior = prior_beside_labels(starts, labelled, sample, rule, self.strengths)
            rule = rule.under(prior)
        return [em.State(rule, start) for start in starts]

    def _started(
        self,
        rule: em.Maximisation,
        strengths: Sequence[float] | None,
        sample: Sample,
        rng: np.random.Generator,
    ) -> em.State:
        """Return one start, and if strengths are given the prior that goes with it."""
        method, n_components = self.estimator.init_params, self.estimator.n_components
        if isinstance(rule.family, FactorAnalysers):
            return em.State(rule, self._with_loadings(rule, rule.family, sample, rng))
        if self.around is not None and method == "auto" and self.given.is_nothing:
            begun = robust_start(sample, n_components, self.around(rule), strengths, rng)
            return em.State(rule.under(begun.prior), begun.parameters)
        is_searched = strengths is not None and method == "auto" and self.given.is_nothing
        if strengths is not None and is_searched and n_components > 1:
            own, prior = regularised_start(sample, n_components, rule, strengths, rng)
            rule = rule.under(prior)
            return em.State(rule, best_of_draws(own, sample, rule, rng))
        start = self.given.instead_of(
            start_from(sample, method, n_components, rule, rng), rule.family
        )
        if strengths is not None and len(strengths) == 1:
            rule = drawn_together(rule, start, strengths)
        return em.State(rule, start)

    def _with_loadings(
        self,
        rule: em.Maximisation,
        known: FactorAnalysers,
        sample: Sample,
        rng: np.random.Generator,
    ) -> Parameters:
        """Return a start of factor analysers from one of variances, with what is given in it."""
        method, n_components = self.estimator.init_params, self.estimator.n_components
        if self.given.is_nothing and method == "auto":
            return auto_start(sample, n_components, rule, rng)
        alone = of_variances(rule)
        start = start_from(sample, method, n_components, alone, rng)
        start = self.given.instead_of(start, alone.family)
        return with_loadings(start, sample, known, rule.reg_covar, rng)

    def _robust(self, state: em.State, around: Around) -> em.State:
        """Return a state of normal components as one with tails or noise."""
        rule, parameters = around(state.rule), state.parameters  # type: ignore[arg-type]
        if not isinstance(parameters, Tailed | WithNoise):
            parameters = rule.begun(parameters)
        return replace(state, rule=rule, parameters=parameters)

    def _last(self, rule: em.Maximisation, n_features: int) -> em.State:
        """Return the state in which the last fit ended."""
        attributes, kind = vars(self.estimator), self.estimator.covariance_type
        shape = (self.estimator.n_components, n_features)
        before = attributes["means_"].shape
        if before != shape:
            raise ValueError(
                f"warm_start cannot go from {before[0]} components of {before[1]} features to "
                f"{shape[0]} components of {shape[1]} features; fit with warm_start=False"
            )
        try:
            parameters = self.estimator._known(attributes)
        except ValueError as error:
            raise ValueError(
                f"warm_start cannot go on with covariance_type={kind!r}: {error}; "
                "fit with warm_start=False"
            ) from error
        if parameters.structure != rule.family.structure:
            raise ValueError(
                f"warm_start cannot go from {parameters.structure} to {rule.family.structure} "
                "covariances; keep covariance_type and n_factors, or fit with warm_start=False"
            )
        rule = rule.under(rule.prior or priors.again(self.estimator.prior, attributes))
        return em.State(rule, parameters, previous_objective=float(attributes["lower_bound_"]))


def start_of(estimator: Any, n_features: int, may_be_warm: bool = True) -> Start:
    """Return where an estimator's fit begins; what is given for it is checked."""
    is_warm = may_be_warm and estimator.warm_start and is_fitted(vars(estimator))
    given, fixed = checked(estimator, n_features), fixed_of(estimator)
    if fixed is not None and not is_warm:
        demand_values(fixed, dict(zip(fixed._fields, given, strict=True)))
    return Start(estimator, given, is_warm, fixed)


def kept_by(rule: Any, fixed: em.Fixed | None) -> Any:
    """Return the rule under which what is fixed stays."""
    return rule if fixed is None else em.FreeMaximisation(rule, fixed)


def drawn_together(
    rule: em.Maximisation, start: Parameters, strengths: Sequence[float]
) -> em.Maximisation:
    """Return the rule with a prior of one given strength, at the common covariance of a start."""
    (strength,) = strengths
    common = common_covariance(start.structure, start.weights, start.means, start.covariances)
    return rule.under(Prior(strength, common))
