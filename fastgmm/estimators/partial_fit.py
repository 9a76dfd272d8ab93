"""partial_fit: fits the first rows by EM, then takes one step of stepwise EM per batch.

Rows that are too few for a fit are kept until there are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.covariance.regularisation import relative
from fastgmm.em import stepwise
from fastgmm.errors import DataError, warn
from fastgmm.estimators.factored import family_of
from fastgmm.estimators.fitted_attributes import (
    attributes_of,
    history_of,
    is_fitted,
)
from fastgmm.estimators.truncations import bound_of, bounded
from fastgmm.estimators.validation import inputs, memory
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Posterior
from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT, SufficientStatistics
from fastgmm.passes.subsample import SAMPLE_ROWS
from fastgmm.sources import Block, Source, open_source, with_weights

# Least rows per component and feature in one step, and in a start that is kept. With batches of 10
# rows (K = 4, d = 3, 4000 rows, three seeds) the result was at worst 0.075 nats per row below the
# batch fit with 10 here, 0.026 with 30, 0.006 with 100, and 0.12 with a start from the first batch.
ENOUGH_ROWS = 100
# First rows kept per free parameter for repeated EM: a fit to n rows is parameters / 2n nats per
# row below the best possible one, so 0.0125 below with 40.
KEPT_ROWS = 40
KEPT_POWER = 0.9  # a smaller step_power forgets rows sooner, so fewer are kept
MOST_NUMBERS = 16_000_000  # kept at most: 128 MB
GROWTH = 1.25  # EM runs over all kept rows again once there are so many times more
STEPS, LEAST_GAIN = 10, 1e-5  # of that run: most steps, and nats per row that are worth another
SOUND_ROWS = 5  # per feature in the smallest component; with fewer it may be a cluster by chance
LARGEST_STEP = 0.1  # a large batch is cut into steps of this part of the rows seen before

Attributes = dict[str, Any]


class Part(NamedTuple):
    """Rows and their weights."""

    rows: npt.NDArray[Any]
    weights: Array


class FirstRows(NamedTuple):
    """The first rows of a stream, kept until they are enough for a start that is kept, too."""

    parts: tuple[Part, ...]  # in order of arrival
    n_rows: int
    n_at_start: int  # rows when EM last began from a new start
    n_at_step: int  # rows when EM last ran over all of them

    def and_more(self, part: Part) -> FirstRows:
        """Return these rows with a part added."""
        return self._replace(parts=(*self.parts, part), n_rows=self.n_rows + len(part.rows))

    @property
    def n_counting(self) -> int:
        """How many have a weight."""
        return sum(int(np.count_nonzero(part.weights)) for part in self.parts)

    def joined(self) -> FirstRows:
        """Return the same rows as one part."""
        if len(self.parts) == 1:
            return self
        dtype = np.result_type(*(part.rows for part in self.parts))
        rows = np.concatenate([part.rows for part in self.parts], dtype=dtype)
        weights = np.concatenate([part.weights for part in self.parts])
        return self._replace(parts=(Part(rows, weights),))


def learned(
    model: Any, X: Any, sample_weight: Any, climb: Callable[[Any, Any, bool], Attributes]
) -> Attributes:
    """Update a model by the rows of X; return its new attributes.

    ``climb(X, sample_weight, is_first)`` fits a new model to rows in memory.
    """
    before = vars(model)
    if not is_fitted(before):
        return _begun(model, X, sample_weight, climb)
    _check_shape(model, before)
    _refuse_label(X)
    n_features = int(np.shape(before["means_"])[1])
    source = inputs.to_score(model, X, sample_weight, n_features)
    one = memory.Mixture(model.n_components, family_of(model))
    memory.demand(source, [one], "given")
    learner = _Learner(model, dict(before), climb)
    block = None
    with closing(passes.short_blocks(source, learner.step_rows)) as found:
        for block in found:
            learner.learn(block)
    if block is None:
        _warn_of_nothing()
    learner.step()
    return learner.attributes()


def missing(model: Any) -> str | None:
    """Say how many rows a model still waits for; None if it waits for none."""
    waiting: FirstRows | None = vars(model).get("_first_rows")
    if waiting is None or is_fitted(vars(model)):
        return None
    needed, kept = _least(model), waiting.n_counting
    return (
        f"This {type(model).__name__} instance is not fitted yet: partial_fit needs {needed} rows "
        f"to begin (n_components={model.n_components}) and keeps {kept} so far; give it "
        f"{max(1, needed - kept)} more (until then a pickle keeps them, a model file cannot)"
    )


def enough(n_components: int, n_features: int) -> int:
    """Return the least rows of a step; a model made from parameters counts as so many rows."""
    return ENOUGH_ROWS * n_components * n_features


def to_keep(kind: Family, n_components: int, n_features: int, power: float) -> int:
    """Return how many first rows are kept."""
    wanted = KEPT_ROWS * kind.n_parameters(n_components, n_features)
    wanted = int(wanted ** (min(power, KEPT_POWER) / KEPT_POWER))
    return min(max(wanted, enough(n_components, n_features)), MOST_NUMBERS // n_features)


def _begun(
    model: Any, X: Any, sample_weight: Any, climb: Callable[[Any, Any, bool], Attributes]
) -> Attributes:
    """Fit the rows of the first calls once they are enough, and keep them if they are few."""
    _refuse_label(X)
    before = vars(model)
    waiting: FirstRows = before.get("_first_rows", FirstRows((), 0, 0, 0))
    if waiting.parts:
        names = before.get("feature_names_in_")
        source = inputs.to_score(model, X, sample_weight, waiting.parts[0].rows.shape[1])
    else:
        source, names, _ = inputs.to_fit(model, X, None, sample_weight, 0, least_rows=0)
    kind = family_of(model)
    most = to_keep(kind, model.n_components, source.n_features, model.step_power)
    few = _fewer_than(most, source)
    if few is None:
        return _and_waiting(model, climb(source, None, False), waiting, climb)
    if not len(few.rows):
        _warn_of_nothing()
        return dict(before)
    found = waiting.and_more(few)
    named = {} if names is None else {"feature_names_in_": np.asarray(names, dtype=object)}
    if found.n_counting < _least(model):
        weight = float(sum(part.weights.sum() for part in found.parts))
        history = history_of(None, found.n_rows, weight)
        return history | named | {"_first_rows": found, "n_features_in_": source.n_features}
    if waiting.parts:
        found = found.joined()
        (whole,) = found.parts
        attributes = named | climb(whole.rows, whole.weights, True)
    else:
        attributes = climb(source, None, True)
    first = found._replace(n_at_start=found.n_rows, n_at_step=found.n_rows)
    return attributes | {"_first_rows": first}


def _and_waiting(
    model: Any,
    attributes: Attributes,
    waiting: FirstRows,
    climb: Callable[[Any, Any, bool], Attributes],
) -> Attributes:
    """Let a model of many rows learn the few that had come before them."""
    if not waiting.parts:
        return attributes
    learner = _Learner(model, attributes, climb)
    for rows, weights in waiting.parts:
        learner.learn(Block(rows, weights, 0))
    learner.step()
    return learner.attributes()


def _least(model: Any) -> int:
    """Return how many rows a fit needs at least."""
    return max(2, int(model.n_components))


def _warn_of_nothing() -> None:
    warn("partial_fit was given no rows, and has learned nothing; was the batch filtered?")


def _fewer_than(most: int, source: Source) -> Part | None:
    """Return all rows with their weights, or None if there are ``most`` or more."""
    if source.n_rows is not None and source.n_rows >= most:
        return None
    first = source.first_rows(most)
    if first is None:
        return Part(np.empty((0, source.n_features), source.dtype), np.empty(0))
    return _copied(first) if len(first.rows) < most else None


def _copied(block: Block) -> Part:
    """Copy a block, because its memory is reused; without weights, each is one."""
    weights = np.ones(len(block.rows)) if block.weights is None else np.array(block.weights)
    return Part(np.array(block.rows), weights)


def _refuse_label(X: Any) -> None:
    """Refuse rows that bring their classes, of which a step knows nothing."""
    if isinstance(X, Source) and X.label is not None:
        raise DataError(
            f"partial_fit takes no labels, and {X.name} has them in column {X.label!r}: open it "
            "with that column left out, or fit all rows"
        )


def _check_shape(model: Any, before: Mapping[str, Any]) -> None:
    fitted = len(before["means_"])
    if fitted != model.n_components:
        raise ValueError(
            f"partial_fit cannot go from {fitted} components to n_components="
            f"{model.n_components}; fit a new model, or set n_components={fitted}"
        )


class _Learner:
    """A mixture that is updated block by block within one call."""

    def __init__(
        self, model: Any, before: Attributes, climb: Callable[[Any, Any, bool], Attributes]
    ) -> None:
        self.model, self.before, self.climb = model, before, climb
        self.first: FirstRows | None = before.get("_first_rows")
        self.parameters = model._known(before)
        least = enough(*self.parameters.means.shape)
        self.n_rows = int(before.get("n_rows_", 0))
        weight = float(before.get("row_weight_", self.n_rows))
        self.row_weight = weight if weight > 0.0 else float(least)  # made from parameters
        self.step_rows = max(least, int(LARGEST_STEP * self.n_rows))
        self.pending: SufficientStatistics | None = None  # of blocks since the last step
        self.trace: list[float] = []
        self.dtype = np.asarray(before["means_"]).dtype
        self.may_lack = model.missing == "em"
        self.bound = bound_of(model)
        self.left_out, self.seen_weight = 0.0, 0.0  # nats in this call, and of rows of what weight

    def learn(self, block: Block) -> None:
        """Add a block, and take a step once there are enough rows."""
        if self.first is not None:
            self.first = self.first.and_more(_copied(block))
            if self._learned_anew(self.first):
                return
        seen = bounded(self.parameters, self.bound)
        found = passes.block_statistics(block, seen, may_lack=self.may_lack)
        self.pending = found if self.pending is None else self.pending + found
        if self.pending.n_rows >= self.step_rows:
            self.step()

    def step(self) -> None:
        """Take one step of stepwise EM: fade the old statistics, add those of pending blocks."""
        found, self.pending = self.pending, None
        if found is None or found.row_weight <= NEGLIGIBLE_WEIGHT * len(found.weight):
            return  # no weight to divide by
        # rows that are still kept all count the same, whatever the power
        power = 1.0 if self.first is not None else self.model.step_power
        kept = stepwise.retained(self.row_weight, found.row_weight, power)
        past = self._rule().remembered(self.parameters, self.row_weight)
        self._estimate(stepwise.faded(past, found, kept))
        self.trace.append(found.mean_log_likelihood)
        self.left_out += found.left_out
        self.seen_weight += found.row_weight
        self.n_rows += found.n_rows
        self.row_weight += found.row_weight

    def _learned_anew(self, first: FirstRows) -> bool:
        """Run EM over all first rows, if they have grown enough; return whether they have.

        With twice as many rows a new start is tried as well, since it may be better.
        """
        n_components, n_features = self.parameters.means.shape
        kept = to_keep(self._family, n_components, n_features, self.model.step_power)
        is_enough = first.n_rows >= kept
        begins = first.n_at_start < SAMPLE_ROWS and (
            is_enough or first.n_rows >= 2 * first.n_at_start
        )
        if not (is_enough or begins or first.n_rows >= GROWTH * first.n_at_step):
            return False
        first = first.joined()._replace(n_at_step=first.n_rows)
        (whole,) = first.parts
        opened = open_source(whole.rows, missing=self.may_lack)
        source = with_weights(opened, whole.weights)
        self._go_on(source)
        if begins:
            self._begin_anew(whole, source, is_first=not is_enough)
            first = first._replace(n_at_start=first.n_rows)
        self.first = None if is_enough else first
        self.pending = None  # EM has seen these rows now
        return True

    def _go_on(self, source: Source) -> None:
        """Run EM over all first rows, from the present parameters."""

        def data_pass(candidates: list[Parameters]) -> list[SufficientStatistics]:
            found = passes.statistics(source, [bounded(each, self.bound) for each in candidates])
            self.n_rows, self.row_weight = found[0].n_rows, found[0].row_weight
            self.left_out, self.seen_weight = found[0].left_out, self.row_weight
            return found

        stopping = em.Stopping(LEAST_GAIN, STEPS)
        (found,) = em.run([em.State(self._rule(), self.parameters)], data_pass, stopping)
        if found.failure is not None:
            raise found.failure
        self.parameters = found.parameters
        self.trace += found.trace

    def _begin_anew(self, whole: Part, source: Source, is_first: bool) -> None:
        """Fit all first rows from a new start; keep what was there if sound and likelier."""
        begun = self.climb(whole.rows, whole.weights, is_first)
        found = self.model._known(begun)
        if isinstance(found, WithNoise) and isinstance(self.parameters, WithNoise):
            # both in the box of more rows: the smaller one of fewer would look likelier
            self.parameters = replace(self.parameters, log_volume=found.log_volume)
            self.before["noise_log_volume_"] = found.log_volume

        def is_sound(parameters: Parameters) -> bool:
            if isinstance(parameters, Posterior):  # whose components may be empty
                return True
            if whole.weights.min() == whole.weights.max():
                return _is_sound(parameters.weights * self.n_rows, parameters.n_features)
            return _is_sound(passes.own_rows(source, parameters), parameters.n_features)

        if is_sound(self.parameters):
            anew, now = passes.statistics(source, [found, self.parameters])
            is_likelier = self._worth(now, self.parameters) > self._worth(anew, found)
            if is_likelier or not is_sound(found):
                return
        self.before |= begun
        self.parameters = found
        self.trace += begun["lower_bounds_"][-1:]

    def _worth(self, statistics: SufficientStatistics, parameters: Parameters) -> float:
        """Return the mean log-likelihood, or the bound of a posterior."""
        found = statistics.mean_log_likelihood
        if isinstance(parameters, Posterior):
            found += self._rule().log_prior(parameters, statistics.row_weight)
        return found

    def _estimate(self, statistics: SufficientStatistics) -> None:
        self.parameters = self._rule().estimate(statistics, self.parameters)

    def _rule(self) -> em.UpdateRule:
        """Return the rule of the fit that these rows go on from."""
        rule: em.UpdateRule = self.model._rule(self.before, self._regularisation())
        return rule

    @property
    def _family(self) -> Family:
        return family_of(self.model)

    def _regularisation(self) -> float | Array:
        """Return what is added to each variance; a part of the data's own if relative."""
        if not self.model.reg_covar_relative:
            return float(self.model.reg_covar)
        return relative(self.model.reg_covar, variances_of(self.parameters))

    def attributes(self) -> Attributes:
        """Return the new attributes of the model."""
        if not self.trace:
            first = {} if self.first is None else {"_first_rows": self.first}
            return self.before | first
        names, rule = self.before.get("feature_names_in_"), self._rule()
        found = attributes_of(self.parameters, self.dtype, None if names is None else tuple(names))
        found |= {
            "converged_": False,
            "n_iter_": len(self.trace),
            "lower_bound_": self.trace[-1],
            "lower_bounds_": self.trace,
            "log_prior_": rule.log_prior(self.parameters, self.row_weight),
            "prior_strength_": self.before.get("prior_strength_", 0.0),
            "prior_covariance_": self.before.get("prior_covariance_"),
            "n_rows_": self.n_rows,
            "row_weight_": self.row_weight,
        }
        if self.bound is not None:
            found["truncated_mass_"] = self.left_out / self.seen_weight
        if "classes_" in self.before:
            found["classes_"] = self.before["classes_"]
        found |= self.model._beyond(self.parameters, rule, self.n_rows, self.row_weight)
        return found if self.first is None else found | {"_first_rows": self.first}


def _is_sound(counts: Array, n_features: int) -> bool:
    """Whether each component has so many rows that it is no cluster by chance."""
    return float(counts.min()) >= SOUND_ROWS * n_features


def variances_of(parameters: Parameters) -> Array:
    """Return the variance of each feature under a mixture, (d,)."""
    weights, means = parameters.alone.weights[:, None], parameters.means
    centre = (weights * means).sum(axis=0)
    return np.asarray((weights * (parameters.variances + (means - centre) ** 2)).sum(axis=0))
