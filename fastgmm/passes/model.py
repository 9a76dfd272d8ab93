"""Parameters as the kernels want them, and the kernels over one block, call by call."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels import scoring
from fastgmm.kernels.block_sizes import Plan, block_rows, longest, partial_bytes, plan
from fastgmm.kernels.expectation import expectation, expectation_serial
from fastgmm.kernels.factored import directions
from fastgmm.kernels.heavy_tails import SUMS, TAILS
from fastgmm.kernels.noise import NOISY
from fastgmm.kernels.pruned import choose as choose_factors
from fastgmm.kernels.scoring import Columns
from fastgmm.kernels.structures.dispatch import STRUCTURES, n_densities, normal_of
from fastgmm.kernels.tiles import TILE
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.threads import allowed_threads, run_in_parallel
from fastgmm.sources import Block, Source, blocks
from fastgmm.sources.prefetch import TURNS

NOISE = -1  # the label of rows of noise, whose probabilities are in the last column
UNWEIGHTED = np.empty(0)
BAND = 60  # binary exponents of weights that are summed together in float32, which has 252


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
        return type(self.factors) in NOISY.values()

    @property
    def n_moments(self) -> int:
        """Count the sums of the structure; others may follow."""
        return int(self.structure.n_moments(self.factors))

    @property
    def n_sums(self) -> int:
        """Count all sums."""
        if type(self.factors) in TAILS.values():
            return self.n_moments + SUMS * len(self.factors.log_scale)
        return self.n_moments + int(self.has_noise)

    def unpack(self, sums: Array, n_features: int) -> tuple[Array, Array, Array, Array | None]:
        """Return weight, first and second moments about the means, and further sums."""
        moments, extra = sums[: self.n_moments], sums[self.n_moments :]
        found = self.structure.unpack(moments, self.factors, n_features)
        if not self.has_noise and extra.size:
            extra = extra.reshape(-1, SUMS)
        return (*found, extra if extra.size else None)

    def directions(self, n_features: int) -> Array | None:
        """Return along which directions second moments are seen, of factor analysers."""
        return directions(self.factors, n_features)

    def cancels(self, sums: Array) -> bool:
        """Tell whether moving the second moments to the means has cancelled too many digits."""
        return bool(self.structure.cancels(sums[: self.n_moments], self.factors))

    def about_means(self) -> Model:
        """Return the same model, with moments taken about each component's own mean."""
        return self._replace(factors=self.factors._replace(about_origin=False))

    def sums(self, block: Block, prune: bool = True) -> tuple[npt.NDArray[np.float64], float]:
        """Sum the slices of a block in order, one call after another; return the log-likelihood."""
        factors = choose_factors(block.rows, self.factors) if prune else self.factors
        return self.sums_by(factors, block, self.n_sums)

    def sums_by(
        self, factors: Any, block: Block, n_sums: int
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Do the same by given factors: these, or others that leave pairs out."""
        sums, log_likelihood = np.zeros(n_sums), 0.0
        # rows of which most pairs are left out take little time beside adding up their sums
        cut = self.plan if factors is self.factors else longest(self.plan)
        for call in calls(cut, len(block.rows)):
            rows = block.rows[call]
            given = UNWEIGHTED if block.weights is None else block.weights[call]
            slice_rows = cut.slice_rows(len(rows))
            partials = np.empty((cut.n_slices(len(rows)), n_sums))
            log_likelihoods = np.zeros(len(partials))
            run = twin(cut, len(rows), expectation, expectation_serial)
            for weights, unit in _bands(given, rows.dtype):
                run(rows, weights, factors, slice_rows, partials, log_likelihoods)
                with np.errstate(over="ignore"):  # seen in the statistics
                    sums += unit * partials.sum(axis=0)
                log_likelihood += unit * float(log_likelihoods.sum())
        return sums, log_likelihood

    def score(self, block: Block, out: npt.NDArray[Any] | Columns) -> None:
        """Fill ``out`` for every row of a block."""
        for call in calls(self.plan, len(block.rows)):
            rows = block.rows[call]
            run = twin(self.plan, len(rows), scoring.score, scoring.score_serial)
            slice_rows = self.plan.slice_rows(len(rows))
            if isinstance(out, Columns):
                run(rows, self.factors, slice_rows, out._replace(first=out.first + call.start))
            else:
                run(rows, self.factors, slice_rows, out[call])
        if self.has_noise:
            labels = out.labels if isinstance(out, Columns) else out
            if labels.dtype == np.int64:
                labels[labels == len(self.factors.log_scale)] = NOISE

    def counted(self, block: Block) -> Block:
        """Return the rows of a block that say anything: all of them."""
        return block

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        """Send the structure by its name: a module is not pickled."""
        name = next(name for name, each in STRUCTURES.items() if each is self.structure)
        normal = normal_of(self.factors)
        return _model_of, (name, normal, tuple(self.factors[len(normal) :]), self.plan)


def model(parameters: Parameters, dtype: npt.DTypeLike) -> Model:
    """Make the factors of some parameters, for complete rows of one dtype."""
    structure, dtype = STRUCTURES[parameters.structure.kernel], np.dtype(dtype)
    factors = structure.factors(
        parameters.log_weights, parameters.means, parameters.precisions_cholesky, dtype
    )
    further: tuple[Any, ...] = ()
    found = planned(structure, factors, parameters.n_features)
    if isinstance(parameters, Tailed):
        further = _tails(factors.log_scale, parameters, dtype)
        factors = factors._replace(log_scale=np.zeros_like(factors.log_scale))
    elif isinstance(parameters, WithNoise):
        further = (np.array([parameters.log_noise], dtype),)
    return found._replace(factors=_extended(factors, further))


def planned(structure: Any, factors: Any, n_features: int) -> Model:
    """Return the model of some factors, with the plan that follows from their shapes."""
    operations, n_moments = structure.row_operations(factors), structure.n_moments(factors)
    return Model(structure, factors, plan(operations, n_moments, n_features))


def _tails(log_scale: Array, parameters: Tailed, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Return the further factors of t-distributions, in their order."""
    inverses, n_features = parameters.inverses, parameters.n_features
    powers = 0.5 * (parameters.degrees_of_freedom + n_features)  # infinite ones are not used
    further = log_scale + parameters.log_heights, inverses, powers, 1.0 + n_features * inverses
    return tuple(each.astype(dtype) for each in further)


def _extended(factors: Any, further: tuple[Any, ...]) -> Any:
    """Return factors with further fields, if there are any."""
    if not further:
        return factors
    return (NOISY if len(further) == 1 else TAILS)[type(factors)](*factors, *further)


def _model_of(name: str, factors: Any, further: tuple[Any, ...], cut: Plan) -> Model:
    """Make a model that arrives from another process."""
    return Model(STRUCTURES[name], _extended(factors, further), cut)


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


def _bands(
    weights: npt.NDArray[np.float64], dtype: np.dtype[Any]
) -> Iterator[tuple[npt.NDArray[np.float64], float]]:
    """Walk weights that float32 can hold, each time with the power of two that they are in.

    They become float32 in a kernel, where sums of weights at 1e38 were infinite, and weights at
    1e-44 had lost all digits but two. Powers of two lose nothing. Where weights of one call are
    farther apart than a band, each band is summed by itself, with the other rows left out.
    """
    if dtype != np.float32 or not weights.any():
        yield weights, 1.0
        return
    least = weights.min() or np.min(weights, where=weights > 0.0, initial=np.inf)
    top = math.frexp(weights.max())[1] - 1
    if top - math.frexp(least)[1] + 1 < BAND:
        yield _divided(weights, top), math.ldexp(1.0, top)
        return
    held = weights > 0.0
    bands = np.where(held, (top + 1 - np.frexp(weights)[1]) // BAND, -1)
    for band in np.unique(bands[held]):
        shift = top - int(band) * BAND
        yield _divided(np.where(bands == band, weights, 0.0), shift), math.ldexp(1.0, shift)


def _divided(weights: npt.NDArray[np.float64], exponent: int) -> npt.NDArray[np.float64]:
    """Divide by a power of two, or by two of which each is a number."""
    half = exponent if abs(exponent) < 1000 else exponent // 2
    divided = weights * math.ldexp(1.0, -half)
    return divided if half == exponent else divided * math.ldexp(1.0, half - exponent)
