"""Parameters as the kernels want them, and how a pass is cut into calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels.block_sizes import Plan, block_rows, partial_bytes, plan
from fastgmm.kernels.structures.dispatch import STRUCTURES
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.threads import allowed_threads, run_in_parallel
from fastgmm.sources import Block, Source, blocks
from fastgmm.sources.prefetch import TURNS


class Model(NamedTuple):
    """Parameters as the kernels want them, and how their calls are cut."""

    structure: Any  # the module of kernels.structures that reads the factors
    factors: Any
    plan: Plan

    def about_means(self) -> Model:
        """Return the same model, with moments taken about each component's own mean."""
        return self._replace(factors=self.factors._replace(about_origin=False))

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """Send the structure by its name: a module is not pickled."""
        name = next(name for name, each in STRUCTURES.items() if each is self.structure)
        return _model_of, (name, self.factors, self.plan)


def model(parameters: Parameters, dtype: npt.DTypeLike) -> Model:
    """Make the factors of some parameters, for rows of one dtype."""
    structure = STRUCTURES[parameters.structure]
    factors = structure.factors(
        parameters.log_weights,
        parameters.means,
        parameters.precisions_cholesky,
        np.dtype(dtype),
    )
    operations, n_moments = structure.row_operations(factors), structure.n_moments(factors)
    return Model(structure, factors, plan(operations, n_moments, parameters.n_features))


def _model_of(structure: str, factors: Any, cut: Plan) -> Model:
    """Make a model that arrives from another process."""
    return Model(STRUCTURES[structure], factors, cut)


def short_blocks(source: Source, most_rows: int) -> Generator[Block, None, None]:
    """Walk a source in the blocks of a pass, or in shorter ones."""
    return blocks(source, min(most_rows, block_rows(source.n_features)))


def held_bytes(source: Source, parameter_bytes: int) -> int:
    """Estimate what a pass holds beside parameters: blocks, each thread's tiles, slices' sums."""
    n_features, itemsize = source.n_features, source.dtype.itemsize
    rows = block_rows(n_features)
    rows = rows if source.n_rows is None else min(rows, source.n_rows)
    turns = 0 if source.lasting else TURNS if source.reads_ahead else 1
    tiles = 2 * allowed_threads() * TILE * n_features
    return (turns * rows * n_features + tiles) * itemsize + partial_bytes(parameter_bytes, rows)


def calls(cut: Plan, n_rows: int) -> Iterator[slice]:
    """Slices of a block, each short enough for one visit of compiled code."""
    for start in range(0, n_rows, cut.call_rows):
        yield slice(start, min(start + cut.call_rows, n_rows))


def twin(
    cut: Plan, n_rows: int, parallel: Callable[..., None], serial: Callable[..., None]
) -> Callable[..., None]:
    """Choose the parallel kernel where the work is worth it and the threads are ours."""
    return serial if cut.is_small(n_rows) else partial(run_in_parallel, parallel, serial)


def weight_of(block: Block) -> tuple[int, float]:
    """Count the rows of positive weight, and sum the weights."""
    if block.weights is None:
        return len(block.rows), float(len(block.rows))
    return int(np.count_nonzero(block.weights)), float(block.weights.sum())
