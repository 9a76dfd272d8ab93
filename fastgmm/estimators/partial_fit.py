"""partial_fit: a fit to the first rows, then steps of stepwise EM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em, passes
from fastgmm.covariance import Family, family
from fastgmm.covariance.regularisation import relative
from fastgmm.em import stepwise
from fastgmm.estimators.fitted_attributes import attributes_of, is_fitted, parameters_of
from fastgmm.estimators.validation import inputs, memory
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import NEGLIGIBLE_WEIGHT, SufficientStatistics
from fastgmm.passes.subsample import SAMPLE_ROWS
from fastgmm.sources import Block, Source, open_source, with_weights

# Rows per component and feature, at least, in a step and for a start that lasts. After 4000 rows
# (K = 4, d = 3, three seeds) batches of 10 ended at worst 0.075 nats per row below the batch fit
# with 10 of them, 0.026 with 30, 0.006 with 100; a start from the first batch alone 0.12.
ENOUGH_ROWS = 100
# Rows per free parameter that are kept for repeated EM before they are dropped: a fit to n rows is
# parameters / 2n nats per row below the best possible one, so 0.0125 below with 40 of them.
KEPT_ROWS = 40
KEPT_POWER = 0.9  # and above; less, and fewer are kept, since rows are to be forgotten the sooner
MOST_NUMBERS = 16_000_000  # that are kept: 128 MB
GROWTH = 1.25  # of the rows that are kept, until EM goes on over all of them
STEPS, LEAST_GAIN = 10, 1e-5  # of EM then, at most; and nats per row that are worth another
SOUND_ROWS = 5  # per feature, of the smallest component: fewer may be a cluster by chance
LARGEST_STEP = 0.1  # of the rows before: how many of a large batch are scored by one mixture

Attributes = dict[str, Any]


class Part(NamedTuple):
    """Some rows, and the weight of each."""

    rows: npt.NDArray[Any]
    weights: Array


class FirstRows(NamedTuple):
    """Rows that are kept until there are enough of them for a start that lasts."""

    parts: tuple[Part, ...]  # in the order in which they came
    n_rows: int
    n_at_start: int  # how many there were when EM last began anew
    n_at_step: int  # and when it last saw all

    def and_more(self, part: Part) -> FirstRows:
        """Return these rows and others."""
        return self._replace(parts=(*self.parts, part), n_rows=self.n_rows + len(part.rows))

    def joined(self) -> FirstRows:
        """Return the same rows in one part."""
        if len(self.parts) == 1:
            return self
        dtype = np.result_type(*(part.rows for part in self.parts))
        rows = np.concatenate([part.rows for part in self.parts], dtype=dtype)
        weights = np.concatenate([part.weights for part in self.parts])
        return self._replace(parts=(Part(rows, weights),))


def learned(
    model: Any, X: Any, sample_weight: Any, climb: Callable[[Any, Any, bool], Attributes]
) -> Attributes:
    """Return the attributes of a model after it has learned from the rows of X, too.

    ``climb(X, sample_weight, is_first)`` fits to rows that can be read again and again.
    """
    before = vars(model)
    if not is_fitted(before):
        return _begun(model, X, sample_weight, climb)
    _check_shape(model, before)
    n_features = int(np.shape(before["means_"])[1])
    source = inputs.to_score(model, X, sample_weight, n_features)
    one = memory.Mixture(model.n_components, family(model.covariance_type))
    memory.demand(source, [one], "given")
    learner = _Learner(model, dict(before), climb)
    with closing(passes.short_blocks(source, learner.step_rows)) as found:
        for block in found:
            learner.learn(block)
    learner.step()
    return learner.attributes()


def enough(n_components: int, n_features: int) -> int:
    """Count the rows of a step, and those that a mixture made of parameters counts as."""
    return ENOUGH_ROWS * n_components * n_features


def to_keep(kind: Family, n_components: int, n_features: int, power: float) -> int:
    """Count the rows that EM is to see again and again."""
    wanted = KEPT_ROWS * kind.n_parameters(n_components, n_features)
    wanted = int(wanted ** (min(power, KEPT_POWER) / KEPT_POWER))
    return min(max(wanted, enough(n_components, n_features)), MOST_NUMBERS // n_features)


def _begun(
    model: Any, X: Any, sample_weight: Any, climb: Callable[[Any, Any, bool], Attributes]
) -> Attributes:
    """Fit to the rows of the first call; keep them where they are few."""
    source = inputs.to_fit(model, X, None, sample_weight, model.n_components).source
    kind = family(model.covariance_type)
    most = to_keep(kind, model.n_components, source.n_features, model.step_power)
    few = _fewer_than(most, source)
    attributes = climb(X, sample_weight, few is not None)
    if few is not None:
        n_rows = len(few.rows)
        attributes["_first_rows"] = FirstRows((few,), n_rows, n_rows, n_rows)
    return attributes


def _fewer_than(most: int, source: Source) -> Part | None:
    """Return all rows with their weights, if there are fewer; else None."""
    if source.n_rows is not None and source.n_rows >= most:
        return None
    first = source.first_rows(most)
    return _copied(first) if first is not None and len(first.rows) < most else None


def _copied(block: Block) -> Part:
    """Copy a block, whose memory is used again, and write its weights out."""
    weights = np.ones(len(block.rows)) if block.weights is None else np.array(block.weights)
    return Part(np.array(block.rows), weights)


def _check_shape(model: Any, before: Mapping[str, Any]) -> None:
    fitted = len(before["means_"])
    if fitted != model.n_components:
        raise ValueError(
            f"partial_fit cannot go from {fitted} components to n_components="
            f"{model.n_components}; fit a new model, or set n_components={fitted}"
        )


class _Learner:
    """The mixture while the blocks of one call are learned."""

    def __init__(
        self, model: Any, before: Attributes, climb: Callable[[Any, Any, bool], Attributes]
    ) -> None:
        self.model, self.before, self.climb = model, before, climb
        self.first: FirstRows | None = before.get("_first_rows")
        self.parameters = parameters_of(before, model.covariance_type)
        shape = self.parameters.means.shape
        self.least = enough(*shape)
        self.kind = family(model.covariance_type)
        self.to_keep = to_keep(self.kind, shape[0], shape[1], model.step_power)
        self.n_rows = int(before.get("n_rows_", 0))
        weight = float(before.get("row_weight_", self.n_rows))
        self.row_weight = weight if weight > 0.0 else float(self.least)  # made of its parameters
        self.step_rows = max(self.least, int(LARGEST_STEP * self.n_rows))
        self.pending: SufficientStatistics | None = None  # of blocks since the last step
        self.trace: list[float] = []
        self.dtype = np.asarray(before["means_"]).dtype

    def learn(self, block: Block) -> None:
        """Go on by one block."""
        if self.first is not None:
            self.first = self.first.and_more(_copied(block))
            if self._learned_anew(self.first):
                return
        found = passes.block_statistics(block, self.parameters)
        self.pending = found if self.pending is None else self.pending + found
        if self.pending.n_rows >= self.step_rows:
            self.step()

    def step(self) -> None:
        """Let what is remembered fade, and add the blocks since the last step."""
        found, self.pending = self.pending, None
        if found is None or found.row_weight <= NEGLIGIBLE_WEIGHT * len(found.weight):
            return  # nothing to divide by
        # what is not let go yet counts alike, whatever the power
        power = 1.0 if self.first is not None else self.model.step_power
        kept = stepwise.retained(self.row_weight, found.row_weight, power)
        memory = stepwise.remembered(self.parameters, self.row_weight, self._regularisation())
        self._estimate(stepwise.faded(memory, found, kept))
        self.trace.append(found.mean_log_likelihood)
        self.n_rows += found.n_rows
        self.row_weight += found.row_weight

    def _learned_anew(self, first: FirstRows) -> bool:
        """Have EM see all first rows, if they have become many more; return whether they have.

        It begins anew, too, where a sample of twice as many may hold a better start.
        """
        is_enough = first.n_rows >= self.to_keep
        begins = first.n_at_start < SAMPLE_ROWS and (
            is_enough or first.n_rows >= 2 * first.n_at_start
        )
        if not (is_enough or begins or first.n_rows >= GROWTH * first.n_at_step):
            return False
        first = first.joined()._replace(n_at_step=first.n_rows)
        (whole,) = first.parts
        source = with_weights(open_source(whole.rows), whole.weights)
        self._go_on(source)
        if begins:
            self._begin_anew(whole, source, is_first=not is_enough)
            first = first._replace(n_at_start=first.n_rows)
        self.first = None if is_enough else first
        self.pending = None  # of rows that EM has seen now
        return True

    def _go_on(self, source: Source) -> None:
        """Take steps of EM over all first rows, from where the mixture is."""

        def data_pass(candidates: list[Parameters]) -> list[SufficientStatistics]:
            found = passes.statistics(source, candidates)
            self.n_rows, self.row_weight = found[0].n_rows, found[0].row_weight
            return found

        stopping = em.Stopping(LEAST_GAIN, STEPS)
        (found,) = em.run([em.State(self._rule(), self.parameters)], data_pass, stopping)
        if found.failure is not None:
            raise found.failure
        self.parameters = found.parameters
        self.trace += found.trace

    def _begin_anew(self, whole: Part, source: Source, is_first: bool) -> None:
        """Fit to all first rows; stay where the mixture is if that is sound, and likelier."""
        begun = self.climb(whole.rows, whole.weights, is_first)
        found = parameters_of(begun, self.model.covariance_type)

        def is_sound(parameters: Parameters) -> bool:
            if whole.weights.min() == whole.weights.max():
                return _is_sound(parameters.weights * self.n_rows, parameters.n_features)
            return _is_sound(passes.own_rows(source, parameters), parameters.n_features)

        if is_sound(self.parameters):
            anew, now = passes.statistics(source, [found, self.parameters])
            is_likelier = now.mean_log_likelihood > anew.mean_log_likelihood
            if is_likelier or not is_sound(found):
                return
        self.before |= begun
        self.parameters = found
        self.trace += begun["lower_bounds_"][-1:]

    def _estimate(self, statistics: SufficientStatistics) -> None:
        self.parameters = self._rule().estimate(statistics, self.parameters)

    def _rule(self) -> em.MaximumLikelihood:
        return em.MaximumLikelihood(self.kind, self._regularisation())

    def _regularisation(self) -> float | Array:
        """Return what is added to each variance; a part of the mixture's own, if relative."""
        if not self.model.reg_covar_relative:
            return float(self.model.reg_covar)
        return relative(self.model.reg_covar, variances_of(self.parameters))

    def attributes(self) -> Attributes:
        """Return what the model is to have from here on."""
        if not self.trace:
            return {name: value for name, value in self.before.items() if name.endswith("_")} | (
                {} if self.first is None else {"_first_rows": self.first}
            )
        names = self.before.get("feature_names_in_")
        found = attributes_of(self.parameters, self.dtype, None if names is None else tuple(names))
        found |= {
            "converged_": False,
            "n_iter_": len(self.trace),
            "lower_bound_": self.trace[-1],
            "lower_bounds_": self.trace,
            "n_rows_": self.n_rows,
            "row_weight_": self.row_weight,
        }
        return found if self.first is None else found | {"_first_rows": self.first}


def _is_sound(counts: Array, n_features: int) -> bool:
    """Whether no component is of so few rows that it may be one by chance, and very likely."""
    return float(counts.min()) >= SOUND_ROWS * n_features


def variances_of(parameters: Parameters) -> Array:
    """Return the variance of each feature under a mixture, (d,)."""
    weights, means = parameters.weights[:, None], parameters.means
    centre = (weights * means).sum(axis=0)
    return np.asarray((weights * (parameters.variances + (means - centre) ** 2)).sum(axis=0))
