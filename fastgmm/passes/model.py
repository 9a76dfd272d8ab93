"""Parameters as the kernels want them, and how a pass is cut into calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels.block_sizes import Plan, block_rows, partial_bytes, plan
from fastgmm.kernels.heavy_tails import SUMS, TAILS
from fastgmm.kernels.noise import NOISY
from fastgmm.kernels.structures.dispatch import STRUCTURES, n_densities, normal_of
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.threads import allowed_threads, run_in_parallel
from fastgmm.sources import Block, Source, blocks
from fastgmm.sources.prefetch import TURNS


class Model(NamedTuple):
    """Parameters as the kernels want them, and how their calls are cut."""

    structure: Any  # the module of kernels.structures that reads the factors
    factors: Any  # of the structure, or around these
    plan: Plan

    @property
    def n_densities(self) -> int:
        """Count the log densities of a row: of the components, and of noise."""
        return int(n_densities(self.factors))

    @property
    def has_noise(self) -> bool:
        """Whether the last of them is noise."""
        return isinstance(self.factors, NOISY[self.structure])

    @property
    def n_moments(self) -> int:
        """Count the sums of the structure; others may follow."""
        return int(self.structure.n_moments(self.factors))

    @property
    def n_sums(self) -> int:
        """Count all sums."""
        if isinstance(self.factors, TAILS[self.structure]):
            return self.n_moments + SUMS * len(self.factors.log_scale)
        return self.n_moments + int(self.has_noise)

    def unpack(self, sums: Array, n_features: int) -> tuple[Array, Array, Array, Array | None]:
        """Return weight, first and second moments about the means, and further sums."""
        moments, extra = sums[: self.n_moments], sums[self.n_moments :]
        found = self.structure.unpack(moments, self.factors, n_features)
        if not self.has_noise and extra.size:
            extra = extra.reshape(-1, SUMS)
        return (*found, extra if extra.size else None)

    def cancels(self, sums: Array) -> bool:
        """Tell whether moving the second moments to the means has cancelled too many digits."""
        return bool(self.structure.cancels(sums[: self.n_moments], self.factors))

    def about_means(self) -> Model:
        """Return the same model, with moments taken about each component's own mean."""
        return self._replace(factors=self.factors._replace(about_origin=False))

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """Send the structure by its name: a module is not pickled."""
        name = next(name for name, each in STRUCTURES.items() if each is self.structure)
        normal = normal_of(self.factors)
        return _model_of, (name, normal, tuple(self.factors[len(normal) :]), self.plan)


def model(parameters: Parameters, dtype: npt.DTypeLike) -> Model:
    """Make the factors of some parameters, for rows of one dtype."""
    structure, dtype = STRUCTURES[parameters.structure], np.dtype(dtype)
    factors = structure.factors(
        parameters.log_weights, parameters.means, parameters.precisions_cholesky, dtype
    )
    operations, n_moments = structure.row_operations(factors), structure.n_moments(factors)
    cut = plan(operations, n_moments, parameters.n_features)
    further: tuple[Any, ...] = ()
    if isinstance(parameters, Tailed):
        further = _tails(factors.log_scale, parameters, dtype)
        factors = factors._replace(log_scale=np.zeros_like(factors.log_scale))
    elif isinstance(parameters, WithNoise):
        further = (np.array([parameters.log_noise], dtype),)
    return Model(structure, _extended(structure, factors, further), cut)


def _tails(log_scale: Array, parameters: Tailed, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Return the further factors of t-distributions, in their order."""
    inverses, n_features = parameters.inverses, parameters.n_features
    powers = 0.5 * (parameters.degrees_of_freedom + n_features)  # infinite ones are not used
    further = log_scale + parameters.log_heights, inverses, powers, 1.0 + n_features * inverses
    return tuple(each.astype(dtype) for each in further)


def _extended(structure: Any, factors: Any, further: tuple[Any, ...]) -> Any:
    """Return factors with further fields, if there are any."""
    if not further:
        return factors
    return (NOISY if len(further) == 1 else TAILS)[structure](*factors, *further)


def _model_of(name: str, factors: Any, further: tuple[Any, ...], cut: Plan) -> Model:
    """Make a model that arrives from another process."""
    return Model(STRUCTURES[name], _extended(STRUCTURES[name], factors, further), cut)


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
