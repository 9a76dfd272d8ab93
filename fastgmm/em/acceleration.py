"""SQUAREM extrapolates EM: two of its steps tell how far the next pass should go.

The step length is alpha_3 of Varadhan and Roland (2008), under a bound that grows with success. A
mixture is seen as a vector without constraints, and a fixed point of EM stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.arrays import Array, read_only
from fastgmm.mixture.parameters import Parameters

ACCELERATIONS = ("squarem", "auto")  # the last is the first, once EM is seen to be slow
LONGEST_STEP = 4.0  # at first, and the factor of its bound's growth
SHORTEST_STEP = 1.5  # of that bound; 1 is EM's own step
LARGEST_CHANGE = 1.0  # of the logarithm of a weight or a deviation, in one extrapolation
LONGEST_REST = 63  # passes of EM alone after failures in a row


def _none() -> Array:
    return read_only(np.empty((0, 0)))


@dataclass(frozen=True, eq=False)
class Acceleration:
    """SQUAREM's last steps of one candidate, as float64 arrays and numbers alone.

    So a checkpoint can hold it, and a fit that reads it goes on with the same bits.
    """

    name: str  # of ACCELERATIONS
    points: Array = field(default_factory=_none)  # (2, p) where EM has stepped from, oldest first
    images: Array = field(default_factory=_none)  # (2, p) where those steps have led
    longest: float = LONGEST_STEP  # bound of a step
    length: float = 0.0  # of the last extrapolation
    n_failed: int = 0  # in a row
    rest: int = 0  # passes of EM alone that are still to come
    has_begun: bool = False  # of "auto", which waits until then

    @property
    def waits(self) -> bool:
        """Whether EM goes on alone until it is seen to be slow."""
        return self.name == "auto" and not self.has_begun

    def with_step(self, point: Parameters, image: Parameters, of_trial: bool) -> Acceleration:
        """Remember a step of EM; one from an extrapolation tells that it has served."""
        start, end = coordinates(point), coordinates(image)
        found = self
        if of_trial:
            grown = self.longest * (LONGEST_STEP if self.length >= self.longest else 1.0)
            found = replace(self, longest=grown, n_failed=0)._forgetful()
        if len(start) != len(end):  # a component has lost all its rows
            return found._forgetful()
        if len(found.points) == 0 or found.points.shape[1] != len(start):
            return replace(found, points=read_only(start[None]), images=read_only(end[None]))
        return replace(
            found,
            points=read_only(np.vstack([found.points[-1:], start])),
            images=read_only(np.vstack([found.images[-1:], end])),
        )

    def discouraged(self) -> Acceleration:
        """Remember a failure: shorter steps, and after several in a row a rest, ever longer."""
        n_failed = self.n_failed + 1
        return replace(
            self,
            longest=max(SHORTEST_STEP, self.longest / LONGEST_STEP),
            n_failed=n_failed,
            rest=min(2 ** min(n_failed - 1, 10) - 1, LONGEST_REST),
        )

    def rested(self) -> Acceleration:
        """Return what is remembered after a pass of rest."""
        return replace(self, rest=max(0, self.rest - 1))

    def extrapolate(self, image: Parameters) -> tuple[Acceleration, Parameters | None]:
        """Return the parameters to try next in the place of the last image, if there are any."""
        if len(self.points) < 2:
            return self, None
        length = min(self._step_length(metric(image)), self.longest)
        acceleration = replace(self, length=length)
        return acceleration, moved(image, self._squared(length)) if length > 1.0 else None

    def _forgetful(self) -> Acceleration:
        return replace(self, points=_none(), images=_none())

    def _step_length(self, weights: Array) -> float:
        """Alpha_3 of Varadhan and Roland (2008), without its sign."""
        residuals = (self.images - self.points) * weights
        bend = _norm(residuals[1] - residuals[0])
        return _norm(residuals[0]) / bend if bend > 0.0 else 0.0

    def _squared(self, length: float) -> Array:
        """Their step from x0, told from the second image x2: x0 + 2 a r + a² v - x2."""
        residuals = self.images - self.points
        bend = residuals[1] - residuals[0]
        return 2.0 * (length - 1.0) * residuals[0] + (length**2 - 1.0) * bend


def _norm(vector: Array) -> float:
    return float(np.sqrt(np.sum(vector**2)))


def coordinates(parameters: Parameters) -> Array:
    """Return a mixture as a vector (p,): log shares, means, factors of the precisions, and others.

    Of a factor the logarithm of the diagonal counts. A component of weight 0 is left out: it has no
    logarithm, and EM does not move it.
    """
    alive = parameters.shares > 0.0
    structure = parameters.structure
    factors = parameters.precisions_cholesky[structure.places(alive)]
    logs = np.log(structure.diagonal(factors))
    parts = np.log(parameters.shares[alive]), parameters.means[alive], logs
    above = structure.above(factors).ravel()
    return np.concatenate([*map(np.ravel, parts), above, parameters.free])


def metric(parameters: Parameters) -> Array:
    """Return what a unit of every coordinate weighs (p,), so that norms have no units.

    It is the root of the diagonal of the information that rows with known labels would hold.
    """
    alive = parameters.shares > 0.0
    structure, places = parameters.structure, parameters.structure.places(alive)
    weights, n_features = parameters.shares[alive], parameters.n_features
    deviations = structure.diagonal(parameters.precisions_cholesky[places])
    means = np.sqrt(weights)[:, None] * np.broadcast_to(deviations, (len(weights), n_features))
    shares = np.ones(()) if structure.is_shared else weights
    n_each = n_features // deviations.shape[-1]  # features of one deviation
    logs = np.broadcast_to(np.sqrt(2.0 * shares * n_each)[..., None], deviations.shape)
    parts = np.sqrt(weights), means, logs
    above = structure.metric_above(shares, parameters.covariances[places])
    return np.concatenate([*map(np.ravel, parts), above.ravel(), parameters.free_metric])


def moved(parameters: Parameters, step: Array) -> Parameters | None:
    """Return the mixture this step of coordinates away, or less far if that changes too much.

    Its weights are the shares. None where its numbers would overflow.
    """
    alive = parameters.shares > 0.0
    structure, places = parameters.structure, parameters.structure.places(alive)
    factors = np.array(parameters.precisions_cholesky)
    moving = factors[places]
    deviations = structure.diagonal(moving)
    n_alive, n_means = int(alive.sum()), parameters.means[alive].size
    ends = np.cumsum([n_alive, n_means, deviations.size])
    log_weights, means, logs, rest = np.split(step, ends)
    n_above = len(rest) - len(parameters.free)
    above, free = rest[:n_above], rest[n_above:]
    change = max(np.max(np.abs(each), initial=0.0) for each in (log_weights, logs, free))
    if not np.isfinite(change):
        return None
    part = min(1.0, LARGEST_CHANGE / change) if change > 0.0 else 1.0
    weights = np.array(parameters.shares)
    weights[alive] *= np.exp(part * log_weights)
    weights /= weights.sum()
    all_means = np.array(parameters.means)
    all_means[alive] += part * means.reshape(n_alive, -1)
    deviations *= np.exp(part * logs).reshape(deviations.shape)
    structure.add_above(moving, part * above)
    factors[places] = moving
    with np.errstate(over="ignore", invalid="ignore"):  # refused by from_precisions
        precisions = structure.precisions(factors)
    try:
        found = Parameters.from_precisions(structure, weights, all_means, precisions)
    except DegenerateCovarianceError:
        return None
    return parameters.freed(found, part * free) if np.all(np.isfinite(all_means)) else None
