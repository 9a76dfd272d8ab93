"""Rows that lack values, NaN, in the passes: exact expectations of what is missing at random.

A row's density is the marginal of what is observed. Missing values are expected to be the
regression on the observed ones, and what that leaves of their covariance is added (Ghahramani and
Jordan 1994). The rows of a block are grouped by what they lack. A large group is summed by the
kernels of complete rows on its observed features, and its sums are completed once per pass, by one
small product per component (Lin, Lee and Ho 2006): so the cost follows patterns, not rows. The rows
of small groups are completed one by one, in `kernels.structures.completed`. Axis-parallel
covariances need no groups, but a mask (`masked`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.kernels.patterns import PIECE, gather, gather_serial, grouped
from fastgmm.kernels.scoring import Columns
from fastgmm.kernels.structures import completed, masked
from fastgmm.kernels.structures.dispatch import STRUCTURES
from fastgmm.kernels.tiles import TILE, unwritable
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.truncated import Truncated
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.parallel.threads import run_in_parallel
from fastgmm.passes.model import Model, model, planned
from fastgmm.passes.truncated import Bounded, Screened, truncated_model
from fastgmm.sources import Block, Source
from fastgmm.sources.checks import sum_is_finite

ALL, ONE_BY_ONE, DONE = b"all", b"one by one", b"done"  # keys beside those of patterns
PATTERN = b"p"  # how these begin
HELD_BYTES = 64 << 20  # of sums by pattern: beyond, they are completed, and added up

Parts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]
Key = bytes  # of a pattern: which features are missing, a bit for each


class Group(NamedTuple):
    """Rows of a block that one model sums or scores."""

    key: Key
    rows: npt.NDArray[Any]  # of the features that are observed
    places: npt.NDArray[np.intp]  # in the block


class Moments(NamedTuple):
    """The sums of a model by pattern; they add up as arrays do."""

    model: Incomplete
    parts: dict[Key, npt.NDArray[np.float64]]

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        """Add the sums of other rows."""
        parts = dict(self.parts)
        for key, part in other.parts.items():
            parts[key] = parts[key] + part if key in parts else part
        if sum(part.nbytes for part in parts.values()) > HELD_BYTES:
            parts = {DONE: self.model.flat(parts)}
        return Moments(self.model, parts)


class Incomplete:
    """Parameters as kernels want them, for rows that may lack values.

    Parameters
    ----------
    parameters : Parameters
    dtype : data-type
        Of the rows.
    is_about_means : bool, default=False
        Whether all moments are taken about each component's own mean.
    """

    def __init__(
        self, parameters: Parameters, dtype: npt.DTypeLike, is_about_means: bool = False
    ) -> None:
        self.parameters, self.dtype = parameters, np.dtype(dtype)
        self.is_about_means = is_about_means
        self._models: dict[Key, Model] = {}
        self._last: tuple[npt.NDArray[Any], Parts] | None = None
        self._room = np.empty(0, self.dtype)  # for one group: new pages took half of the time

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the parameters alone to another process."""
        return Incomplete, (self.parameters, self.dtype, self.is_about_means)

    @property
    def n_densities(self) -> int:
        """Count the log densities of a row."""
        return self.parameters.n_components

    def about_means(self) -> Incomplete:
        """Return the same model, with moments taken about each component's own mean."""
        return Incomplete(self.parameters, self.dtype, is_about_means=True)

    def directions(self, n_features: int) -> None:
        """Return nothing: factor analysers need all values."""

    def cancels(self, moments: Moments) -> bool:
        """Whether moving the moments to the means has cancelled too many digits."""
        parts = moments.parts.items()
        return any(self._model(key).cancels(part) for key, part in parts if key != DONE)

    def counted(self, block: Block) -> Block:
        """Return the rows of a block in which anything is observed: others say nothing."""
        order, starts, missing = self._parts(block.rows)
        if not missing.all(axis=1).any():
            return block
        kept = np.sort(order[np.repeat(~missing.all(axis=1), np.diff(starts))])
        weights = None if block.weights is None else block.weights[kept]
        return Block(block.rows[kept], weights, block.start)

    def sums(self, block: Block, prune: bool = True) -> tuple[Moments, float]:
        """Sum a block by pattern; return the log-likelihood, too."""
        parts, log_likelihood = {}, 0.0
        for key, rows, places in self._groups(block.rows):
            weights = None if block.weights is None else block.weights[places]
            group = Block(rows, weights, block.start)
            parts[key], its = self._model(key).sums(group, prune)
            log_likelihood += its
        return Moments(self, parts), log_likelihood

    def score(self, block: Block, out: npt.NDArray[Any] | Columns) -> None:
        """Fill ``out`` for every row of a block."""
        for key, rows, places in self._groups(block.rows):
            scorer, group = self._model(key), Block(rows, None, block.start)
            if len(rows) == len(block.rows) and key in (ALL, ONE_BY_ONE) and is_ascending(places):
                scorer.score(group, out)
            elif isinstance(out, Columns):
                shape = self.n_densities, len(rows)
                labels = np.empty(len(rows), out.labels.dtype)
                its = Columns(labels, np.empty(shape, out.responsibilities.dtype), first=0)
                scorer.score(group, its)
                out.labels[out.first + places] = its.labels
                out.responsibilities[:, out.first + places] = its.responsibilities
            else:
                part = np.empty((len(rows), *out.shape[1:]), out.dtype)
                scorer.score(group, part)
                out[places] = part

    def unpack(self, moments: Moments, n_features: int) -> tuple[Array, Array, Array, None]:
        """Return the expected moments about the means, and nothing beyond."""
        return *self._apart(self.flat(moments.parts)), None

    def flat(self, parts: dict[Key, npt.NDArray[np.float64]]) -> Array:
        """Return the expected moments of all patterns, one after another in one array."""
        done = [parts[DONE]] if DONE in parts else []
        for key in sorted(parts.keys() - {DONE}):
            done.append(np.concatenate([np.ravel(each) for each in self._done(key, parts[key])]))
        return np.asarray(np.sum(done, axis=0))

    def _apart(self, flat: Array) -> tuple[Array, Array, Array]:
        """Return weights, first and second moments out of one array."""
        shape = self.parameters.means.shape
        n_components, n_first = shape[0], shape[0] * shape[1]
        second = flat[n_components + n_first :].reshape(self.parameters.covariances.shape)
        first = flat[n_components : n_components + n_first].reshape(shape)
        return flat[:n_components], first, second

    def _done(self, key: Key, part: Array) -> tuple[Array, Array, Array]:
        """Complete the moments of a pattern."""
        found = self._model(key)
        n_features = self.parameters.n_features
        if key == ALL:
            return found.unpack(part, n_features)[:3]
        if key == ONE_BY_ONE:
            weight, first, second, _ = found.unpack(part, n_features)
            is_one = self.parameters.covariances.ndim < second.ndim  # spherical: their sum
            return weight, first, second.sum(axis=1) if is_one else second
        missing = self._missing(key)
        return completed_moments(
            self.parameters, missing, found.unpack(part, int(np.count_nonzero(~missing)))[:3]
        )

    def _missing(self, key: Key) -> npt.NDArray[np.bool_]:
        bits = np.frombuffer(key.removeprefix(PATTERN), np.uint8)
        return np.unpackbits(bits, count=self.parameters.n_features).astype(bool)

    def _model(self, key: Key) -> Model:
        """Return what sums and scores the rows of a pattern; made when first asked for."""
        if key not in self._models:
            made = self._made(key)
            has_origin = self.is_about_means and hasattr(made.factors, "about_origin")
            self._models[key] = made.about_means() if has_origin else made
        return self._models[key]

    def _made(self, key: Key) -> Model:
        own = self.parameters
        if key == ALL:
            return model(own, self.dtype)
        if key == ONE_BY_ONE and self._has_mask:
            factors = masked.factors(
                own.log_weights, own.means, own.precisions_cholesky, self.dtype
            )
            return planned(masked, factors, own.n_features)
        if key == ONE_BY_ONE:
            matrices = [
                each.reshape(-1, own.n_features, own.n_features)
                for each in (own.covariances, own.precisions_cholesky)
            ]
            factors = completed.factors(own.log_weights, own.means, *matrices)
            return planned(completed, factors, own.n_features)
        seen = np.flatnonzero(~self._missing(key))
        structure = STRUCTURES[own.structure]
        covariances = own.structure.of_features(own.covariances, seen)
        factors = structure.factors(
            own.log_weights, own.means[:, seen], own.structure.factors(covariances), self.dtype
        )
        return planned(structure, factors, len(seen))

    def _groups(self, rows: npt.NDArray[Any]) -> Iterator[Group]:
        """Part the rows of a block by what they lack."""
        order, starts, missing = self._parts(rows)
        if not missing.any():
            yield Group(ALL, rows, order)
            return
        sizes, lacking = np.diff(starts), np.asarray(missing.any(axis=1))
        is_long = (sizes >= TILE) & ~missing.all(axis=1) & (not self._has_mask)
        alone = np.logical_or(is_long, ~lacking)
        for at in np.flatnonzero(alone):
            places = order[starts[at] : starts[at + 1]]
            key = PATTERN + np.packbits(missing[at]).tobytes() if lacking[at] else ALL
            yield Group(key, self._gathered(rows, places, np.flatnonzero(~missing[at])), places)
        if not alone.all():
            places = order[np.repeat(~alone, sizes)]
            features = np.arange(rows.shape[1])
            yield Group(ONE_BY_ONE, self._gathered(rows, places, features), places)

    def _parts(self, rows: npt.NDArray[Any]) -> Parts:
        """Return the order of rows by pattern, where each begins, and what it lacks."""
        if self._last is None or self._last[0] is not rows:
            if sum_is_finite(rows):  # one group, seen in a fifth of the time of `grouped`
                order, starts = np.arange(len(rows)), np.unique([0, len(rows)])
            else:
                order, starts = grouped(unwritable(rows))
            self._last = rows, (order, starts, np.isnan(rows[order[starts[:-1]]]))
        return self._last[1]

    def _gathered(
        self,
        rows: npt.NDArray[Any],
        places: npt.NDArray[np.intp],
        features: npt.NDArray[np.intp],
    ) -> npt.NDArray[Any]:
        """Return some features of some rows, good until the next are asked for."""
        if len(self._room) < rows.size:
            self._room = np.empty(rows.size, rows.dtype)
        rows = unwritable(rows)
        out = self._room[: len(places) * len(features)].reshape(-1, len(features))
        if len(places) > PIECE:
            run_in_parallel(gather, gather_serial, rows, places, features, out)
        else:
            gather_serial(rows, places, features, out)
        return out

    @property
    def _has_mask(self) -> bool:
        """Whether rows need no groups."""
        return self.parameters.structure.is_axis_parallel


AnyModel = Model | Incomplete | Screened | Bounded


def model_of(source: Source, parameters: Parameters) -> AnyModel:
    """Make what sums and scores the rows of a source."""
    return model_for(parameters, source.dtype, source.may_lack)


def model_for(parameters: Parameters, dtype: npt.DTypeLike, may_lack: bool) -> AnyModel:
    """Make what sums and scores rows of this type, which may lack values or not."""
    if may_lack:
        return Incomplete(parameters, dtype)
    if isinstance(parameters, Truncated):
        return truncated_model(parameters, dtype)
    return model(parameters, dtype)


def is_ascending(places: npt.NDArray[np.intp]) -> bool:
    """Whether these are the rows of a block as they stand."""
    return bool((places == np.arange(len(places))).all())


@one_blas_thread()
def completed_moments(
    parameters: Parameters,
    missing: npt.NDArray[np.bool_],
    observed: tuple[Array, Array, Array],
) -> tuple[Array, Array, Array]:
    """Complete the moments (K,), (K, o), (K, o, o) or (o, o) of rows that lack the same values.

    With B the regression of the missing on the observed and C what it leaves of their covariance,
    first moments f become (f, B f), second ones S become (S, S B'; B S, B S B' + n C).
    """
    weight, first, second = observed
    seen, lacks = np.flatnonzero(~missing), np.flatnonzero(missing)
    covariances = parameters.covariances
    between = covariances[..., lacks[:, None], seen]
    factors = parameters.structure.factors(parameters.structure.of_features(covariances, seen))
    half = between @ factors
    slopes = half @ factors.swapaxes(-1, -2)
    left = covariances[..., lacks[:, None], lacks] - half @ half.swapaxes(-1, -2)
    all_first = np.zeros(parameters.means.shape)
    all_first[:, seen] = first
    all_first[:, lacks] = np.squeeze(slopes @ first[..., None], axis=-1)
    all_second = np.zeros(covariances.shape)
    crossed = slopes @ second
    all_second[..., seen[:, None], seen] = second
    all_second[..., lacks[:, None], seen] = crossed
    all_second[..., seen[:, None], lacks] = crossed.swapaxes(-1, -2)
    mass = np.asarray(parameters.structure.mass(weight))[..., None, None]
    inner = crossed @ slopes.swapaxes(-1, -2)
    inner = 0.5 * (inner + inner.swapaxes(-1, -2))  # symmetric to the last bit
    all_second[..., lacks[:, None], lacks] = inner + mass * left
    return weight, all_first, all_second
