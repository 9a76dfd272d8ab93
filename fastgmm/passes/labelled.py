"""Passes over rows of which some are known to belong to a class, which has components of its own.

A labelled row counts for the components of its class alone, as if the others had no weight. Where
each class has one, that row's part never changes: it is summed once, and a pass is of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.mixture.complete_data import CompleteData
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.mixture.structure import Structure
from fastgmm.passes.accumulate import block_statistics
from fastgmm.passes.known import Labels, fold_labelled, part_of, sums_by_label
from fastgmm.sources import Block, Chunk, Source


class LabelledRows:
    """Rows with a class for some of them.

    Parameters
    ----------
    source : Source
    labels : ndarray of shape (n_rows,)
        The number of each row's class, or -1.
    n_classes : int
    per_class : int
        Components of each class: those of class c are c * per_class and the next.
    structure : Structure
        Of the candidates.
    """

    def __init__(
        self,
        source: Source,
        labels: Labels,
        n_classes: int,
        per_class: int,
        structure: Structure,
    ) -> None:
        self.source, self.labels = source, labels
        self.n_classes, self.per_class = n_classes, per_class
        self.sums = sums_by_label(source, labels, n_classes, structure)  # of the classes
        self._complete = CompleteData(self.sums) if per_class == 1 else None
        self._has_others = self._complete is None or bool((labels < 0).any())

    @property
    def n_taken(self) -> int:
        """How many components belong to classes; the others to none."""
        return self.n_classes * self.per_class

    def components(self, label: int) -> npt.NDArray[np.intp]:
        """Return the components of a class."""
        return components_of(label, self.per_class)

    def statistics(self, candidates: Sequence[Parameters]) -> list[SufficientStatistics]:
        """Sufficient statistics of every candidate, in one pass at most."""
        if not self._has_others:
            assert self._complete is not None
            return [self._complete.under(parameters) for parameters in candidates]
        per_class = None if self._complete is not None else self.per_class
        summarise = partial(_each_of_block, list(candidates), per_class)
        found = fold_labelled(self.source, self.labels, summarise, _each_added)
        if self._complete is None:
            return found
        pairs = zip(found, candidates, strict=True)
        return [each + self._complete.under(parameters) for each, parameters in pairs]

    def held(self, parameters: Parameters) -> npt.NDArray[np.float64]:
        """Sum the responsibilities of every component for the rows of each class, (C, K).

        As if their classes were not known.
        """
        summarise = partial(_held_of_block, parameters, self.n_classes)
        return fold_labelled(self.source, self.labels, summarise, np.add)

    def of_class(self, label: int) -> Source:
        """Return the rows of a class as a source."""
        return _ChosenRows(self.source, self.labels == label)


def components_of(label: int, per_class: int) -> npt.NDArray[np.intp]:
    """Return the components of a class."""
    return np.arange(label * per_class, (label + 1) * per_class)


def _parts(block: Block, its: Labels) -> Iterator[tuple[int, Block]]:
    """Yield the rows of each class that a block has some of."""
    for label in np.unique(its[its >= 0]):
        yield int(label), part_of(block, its == label)


def _each_of_block(
    candidates: Sequence[Parameters], per_class: int | None, block: Block, its: Labels
) -> list[SufficientStatistics]:
    """Sum a block; without its labelled rows where `per_class` is None, for these are summed."""
    return [_of_block(parameters, per_class, block, its) for parameters in candidates]


def _of_block(
    parameters: Parameters, per_class: int | None, block: Block, its: Labels
) -> SufficientStatistics:
    others = its < 0
    found = SufficientStatistics.zeros(parameters.structure, parameters.means)
    if others.any():
        of_none = block if others.all() else part_of(block, others)
        found = found + block_statistics(of_none, parameters)
    if per_class is not None:
        for label, part in _parts(block, its):
            components = components_of(label, per_class)
            of_class = block_statistics(part, some_of(parameters, components))
            found = found + _spread(of_class, components, parameters)
    return found


def _held_of_block(
    parameters: Parameters, n_classes: int, block: Block, its: Labels
) -> npt.NDArray[np.float64]:
    found = np.zeros((n_classes, parameters.n_components))
    for label, part in _parts(block, its):
        found[label] = block_statistics(part, parameters).weight
    return found


def some_of(parameters: Parameters, components: npt.NDArray[np.intp]) -> Parameters:
    """Return some components in this order; their weights may sum to less than 1."""
    places = parameters.structure.places(components)
    return Parameters(
        parameters.structure,
        parameters.weights[components],
        parameters.means[components],
        parameters.covariances[places],
        parameters.precisions_cholesky[places],
    )


def _spread(
    found: SufficientStatistics, components: npt.NDArray[np.intp], parameters: Parameters
) -> SufficientStatistics:
    """Return statistics of some components as those of all."""
    structure = parameters.structure
    weight, first = np.zeros(parameters.n_components), np.zeros_like(parameters.means)
    second = np.zeros(structure.shape(*parameters.means.shape))
    weight[components], first[components] = found.weight, found.first
    second[structure.places(components)] = found.second
    return SufficientStatistics(
        weight,
        first,
        second,
        found.log_likelihood,
        found.n_rows,
        found.row_weight,
        parameters.means,
        structure,
    )


def _each_added(
    a: list[SufficientStatistics], b: list[SufficientStatistics]
) -> list[SufficientStatistics]:
    return [x + y for x, y in zip(a, b, strict=True)]


class _ChosenRows(Source):
    """Some rows of another source, to draw a sample of."""

    def __init__(self, source: Source, chosen: npt.NDArray[np.bool_]) -> None:
        n_rows = int(chosen.sum())
        super().__init__(source.name, source.labels, source.dtype, n_rows, source.weight)
        self._source, self._chosen = source, chosen
        self.checked = source.checked

    def chunks(self) -> Iterator[Chunk]:
        """Walk the chosen rows of each chunk."""
        start = 0
        for rows, weights in self._source.chunks():
            its = self._chosen[start : start + len(rows)]
            start += len(rows)
            kept: Any = None if weights is None else weights[its]
            yield Chunk(rows[its], kept)
