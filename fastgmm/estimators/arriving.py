"""Rows that arrive call by call: how partial_fit begins, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em, online, passes
from fastgmm.covariance import family
from fastgmm.estimators import rows
from fastgmm.estimators.published import attributes_of, is_fitted, parameters_of
from fastgmm.parameters import Parameters
from fastgmm.sources import Block, Source
from fastgmm.statistics import NEGLIGIBLE_WEIGHT, Array, SufficientStatistics

# Rows a component and feature that EM sees again and again before they are let go. After 4000 rows
# (K = 4, d = 3, three seeds) batches of 10 ended at worst 0.075 nats a row under the batch fit
# with 10 of them, 0.026 with 30, 0.006 with 100; a start from the first batch alone 0.12.
FIRST_ROWS = 100
LARGEST_STEP = 0.1  # of the rows before: how many of a large batch are scored by one mixture

Attributes = dict[str, Any]


class FirstRows(NamedTuple):
    """Rows that are kept until there are enough of them for a start that lasts."""

    values: npt.NDArray[Any]
    weights: Array
    n_at_start: int  # how many there were when EM last began anew

    def and_more(self, values: npt.NDArray[Any], weights: Array) -> FirstRows:
        """Return these rows and others."""
        dtype = np.result_type(self.values, values)
        together = np.concatenate([self.values, values]).astype(dtype)
        return self._replace(values=together, weights=np.concatenate([self.weights, weights]))

    @property
    def block(self) -> Block:
        """The rows with their weights, which were checked when they came."""
        return Block(self.values, self.weights, 0)


def learned(
    model: Any, X: Any, sample_weight: Any, climb: Callable[[Any, Any, bool], Attributes]
) -> Attributes:
    """Return the attributes of a model that has seen the rows of X, too.

    ``climb(X, sample_weight, is_first)`` fits to rows that can be read again and again.
    """
    before = vars(model)
    if not is_fitted(before):
        return _begun(model, X, sample_weight, climb)
    _check_shape(model, before)
    n_features = int(np.shape(before["means_"])[1])
    source = rows.to_score(model, X, sample_weight, n_features)
    learner = _Learner(model, dict(before), climb)
    with closing(passes.short_blocks(source, learner.step_rows)) as found:
        for block in found:
            learner.learn(block)
    learner.step()
    return learner.attributes()


def enough(n_components: int, n_features: int) -> int:
    """Count the rows that EM is to see again and again."""
    return FIRST_ROWS * n_components * n_features


def _begun(
    model: Any, X: Any, sample_weight: Any, climb: Callable[[Any, Any, bool], Attributes]
) -> Attributes:
    """Fit to the rows of the first call; keep them where they are few."""
    source = rows.to_fit(model, X, sample_weight).source
    few = _fewer_than(enough(model.n_components, source.n_features), source)
    attributes = climb(X, sample_weight, few is not None)
    if few is not None:
        attributes["_first_rows"] = FirstRows(*few, len(few[0]))
    return attributes


def _fewer_than(least: int, source: Source) -> tuple[npt.NDArray[Any], Array] | None:
    """Return all rows with their weights, if there are fewer; else None."""
    if source.n_rows is not None and source.n_rows >= least:
        return None
    first = source.first_rows(least)
    return _values(first) if first is not None and len(first.rows) < least else None


def _values(block: Block) -> tuple[npt.NDArray[Any], Array]:
    """Copy a block: its memory is used again."""
    n_rows = len(block.rows)
    weights = np.ones(n_rows) if block.weights is None else np.array(block.weights)
    return np.array(block.rows), weights


def _check_shape(model: Any, before: Mapping[str, Any]) -> None:
    fitted = len(before["means_"])
    if fitted != model.n_components:
        raise ValueError(
            f"partial_fit cannot go from {fitted} components to n_components="
            f"{model.n_components}; fit a new model, or set n_components={fitted}"
        )


class _Learner:
    """A mixture on its way through the blocks of one call."""

    def __init__(
        self, model: Any, before: Attributes, climb: Callable[[Any, Any, bool], Attributes]
    ) -> None:
        self.model, self.before, self.climb = model, before, climb
        self.first: FirstRows | None = before.get("_first_rows")
        self.parameters = parameters_of(before, model.covariance_type)
        shape = self.parameters.means.shape
        self.least = enough(*shape)
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
            self._learn_first(self.first.and_more(*_values(block)))
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
        kept = online.retained(self.row_weight, found.row_weight, self.model.step_power)
        memory = online.remembered(self.parameters, self.row_weight, self._regularisation())
        self._estimate(online.faded(memory, found, kept))
        self.trace.append(found.mean_log_likelihood)
        self.n_rows += found.n_rows
        self.row_weight += found.row_weight

    def _learn_first(self, first: FirstRows) -> None:
        """See all first rows once more, or begin anew with them where they are twice as many."""
        is_enough = len(first.values) >= self.least
        if is_enough or len(first.values) >= 2 * first.n_at_start:
            begun = self.climb(first.values, first.weights, not is_enough)
            self.before |= begun
            self.parameters = parameters_of(begun, self.model.covariance_type)
            self.n_rows, self.row_weight = begun["n_rows_"], begun["row_weight_"]
            self.trace += begun["lower_bounds_"][-1:]
            self.first = None if is_enough else first._replace(n_at_start=len(first.values))
            return
        found = passes.block_statistics(first.block, self.parameters)
        self._estimate(found)
        self.trace.append(found.mean_log_likelihood)
        self.first, self.n_rows, self.row_weight = first, found.n_rows, found.row_weight

    def _estimate(self, statistics: SufficientStatistics) -> None:
        kind = family(self.model.covariance_type)
        rule = em.MaximumLikelihood(kind, self._regularisation())
        self.parameters = rule.estimate(statistics, self.parameters)

    def _regularisation(self) -> float | Array:
        """Return what is added to each variance; a part of the mixture's own, if relative."""
        if not self.model.reg_covar_relative:
            return float(self.model.reg_covar)
        variances = variances_of(self.parameters)
        return self.model.reg_covar * np.where(variances > 0.0, variances, 1.0)

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


def variances_of(parameters: Parameters) -> Array:
    """Return the variance of each feature under a mixture, (d,)."""
    weights, means = parameters.weights[:, None], parameters.means
    match parameters.structure:
        case "spherical":
            within = parameters.covariances[:, None]
        case "diagonal":
            within = parameters.covariances
        case "tied":
            within = np.diagonal(parameters.covariances)[None]
        case _:
            within = np.einsum("kii->ki", parameters.covariances)
    centre = (weights * means).sum(axis=0)
    return np.asarray((weights * (within + (means - centre) ** 2)).sum(axis=0))
