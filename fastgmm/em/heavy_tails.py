"""The M-step of Student's t-distributions, and of their degrees of freedom.

Peel and McLachlan (2000), Robust mixture modelling using the t distribution, Statistics and
Computing 10. A row of component k counts in its moments by r u, with u = (v + d) / (v + D). The
scale is divided by the sum of r u, not of r: the same fixed point in fewer passes (Kent, Tyler and
Vardi 1994), for it is the EM step of a wider model in which u has a scale of its own (Meng and van
Dyk 1997; Liu, Rubin and Wu 1998).

Degrees of freedom follow from the likelihood that has lost u, not from the expected one: one step
of Newton's in log v, from sums that the pass has left, so without a pass of its own. K=1, n=2000,
d=4 at v=3: 26 passes of EM, 17 with the divisor, 12 with both; where v is 10 or infinite, and EM
takes 45 or over 1000, 12 and 8. Such a step is not sure to raise the likelihood, so the parameters
hold EM's own as `safer`, to which the loop goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, polygamma

from fastgmm.em.update_rules import AroundNormal
from fastgmm.mixture.arrays import Array, over
from fastgmm.mixture.heavy_tails import LEAST, MOST, Tailed
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics

SHARED, EACH = "shared", "each"
BEGINNING = 10.0  # degrees of freedom of a start; between 4 and 20, passes differ by two
LONGEST = np.log(4.0)  # step of log v
FAR = 50.0  # from so many on, a step in 1 / v that passes 0 leads to infinity
NEAREST = 10.0  # to which infinity is left in one step
HALVINGS = 60  # of an interval of log v, which has 1e-16 of its length then


@dataclass(frozen=True)
class HeavyTails(AroundNormal):
    """The M-step of a family whose components are t-distributions."""

    degrees_of_freedom: float | str  # a number, which stays, or SHARED, or EACH

    def begun(self, mixture: Parameters) -> Tailed:
        """Return a start, from weights, means and scales."""
        fixed = self.degrees_of_freedom
        return Tailed.of(mixture, BEGINNING if isinstance(fixed, str) else fixed)

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> Tailed:
        """Parameters that raise the objective, with those of EM alone if these dare more.

        Raises
        ------
        DegenerateCovarianceError
            If a scale is not finite or not positive definite.
        """
        if statistics.extra is None or not isinstance(previous, Tailed):  # of a normal mixture
            return Tailed.of(self.normal.estimate(statistics, previous), np.inf)
        rows, shrinkage = statistics.extra[:, 0], self._shrinkage(statistics, previous)
        second = statistics.central
        counted = replace(
            statistics,
            weight=rows,
            first=np.zeros_like(statistics.first),
            second=second / (over(shrinkage, second) if shrinkage.ndim else shrinkage),
            origin=statistics.means,
        )
        found = self.normal.estimate(counted, previous)
        if not isinstance(self.degrees_of_freedom, str):
            return Tailed.of(found, self.degrees_of_freedom)
        own = _Tails.of(statistics, previous, shrinkage)
        if self.degrees_of_freedom == SHARED:
            own = own.pooled()
        with np.errstate(all="ignore"):  # a component without rows stays as it was
            sure, daring = own.expected(), own.likeliest()
        safer = Tailed.of(found, np.where(own.rows > 0.0, sure, own.degrees))
        degrees = np.where(own.rows > 0.0, daring, own.degrees)
        return replace(Tailed.of(found, degrees), safer=safer)

    def _shrinkage(self, statistics: SufficientStatistics, previous: Tailed) -> Array:
        """Return the scale of u in the wider model, one for each component or for all.

        Where volumes are equal, it is one for all. A prior of scales is none of the wider model's,
        so that under one it is 1.
        """
        assert statistics.extra is not None
        rows, weight = statistics.extra[:, 0], statistics.weight
        if self.prior is not None:
            return np.ones(())
        if self.family.name[0] == "V":
            return np.where(
                (rows > 0.0) & (weight > 0.0), weight / np.where(rows > 0.0, rows, 1.0), 1.0
            )
        held = rows > 0.0
        if np.any(held & previous.is_normal) or not held.any():
            return np.ones(())
        degrees = previous.degrees_of_freedom[held]
        return np.asarray((degrees * weight[held]).sum() / (degrees * rows[held]).sum())

    def remembered(self, parameters: Parameters, row_weight: float) -> SufficientStatistics:
        """Return statistics of this weight whose estimate is these parameters.

        They are what such rows have on average.
        """
        assert isinstance(parameters, Tailed)
        base = self.normal.remembered(parameters, row_weight)
        degrees, d = parameters.degrees_of_freedom, parameters.n_features
        finite = ~parameters.is_normal
        v = np.where(finite, degrees, 1.0)
        lengths = np.where(finite, digamma(0.5 * (v + d)) - digamma(0.5 * v), d)
        squares = np.where(finite, v * (v + 2.0) / ((v + d) * (v + d + 2.0)), d * (d + 2.0))
        ones = np.ones_like(v)
        extra = base.weight[:, None] * np.column_stack([ones, lengths, squares])
        return replace(base, extra=extra)

    def admitted(self, trial: Parameters, found: Parameters) -> Parameters:
        """Return the trial, or the nearest mixture of the family."""
        assert isinstance(trial, Tailed)
        fixed, degrees = self.degrees_of_freedom, trial.degrees_of_freedom
        nearest = self.normal.admitted(trial, found)
        return Tailed.of(nearest, degrees if isinstance(fixed, str) else fixed)


@dataclass(frozen=True)
class _Tails:
    """What a pass says of degrees of freedom, for each component, or in all."""

    degrees: Array  # (K,) of the pass
    n_features: int
    rows: Array  # (K,) summed responsibilities r
    weight: Array  # (K,) summed r u
    lengths: Array  # (K,) summed r log(1 + D / v); of a normal component r D
    squares: Array  # (K,) summed r (v / (v + D))^2; of a normal component r D^2
    scaled: Array  # (K,) summed r u, over the scale of u
    log_scales: Array  # (K,) summed r, times the logarithm of that scale

    @classmethod
    def of(cls, statistics: SufficientStatistics, previous: Tailed, shrinkage: Array) -> _Tails:
        assert statistics.extra is not None
        rows, lengths, squares = statistics.extra.T
        degrees, weight = previous.degrees_of_freedom, statistics.weight
        scaled, log_scales = weight / shrinkage, rows * np.log(shrinkage)
        return cls(degrees, previous.n_features, rows, weight, lengths, squares, scaled, log_scales)

    def pooled(self) -> _Tails:
        """Return what all components say together, whose degrees of freedom are the same."""
        sums = self.rows, self.weight, self.lengths, self.squares, self.scaled, self.log_scales
        return _Tails(self.degrees[:1], self.n_features, *(np.array([e.sum()]) for e in sums))

    def expected(self) -> Array:
        """Return degrees of freedom of highest expected likelihood: EM's."""
        v, d = self.degrees, self.n_features
        finite = np.isfinite(v)
        half = 0.5 * (np.where(finite, v, 1.0) + d)
        logs = np.log1p(d / v) - self.lengths / self.rows + digamma(half) - np.log(half)
        found = _root(self.scaled / self.rows - 1.0 - logs + self.log_scales / self.rows)
        return np.where(finite, _kept_within(found), np.inf)

    def likeliest(self) -> Array:
        """Return them after one step of Newton's towards the highest likelihood."""
        found = np.where(np.isfinite(self.degrees), self._from_finite(), self._from_infinite())
        return _kept_within(found)

    def _from_finite(self) -> Array:
        v, d, rows = self.degrees, self.n_features, self.rows
        own = self.weight / (1.0 + d / v)  # summed r v / (v + D)
        rest = rows - own
        slope = rows * (digamma(0.5 * (v + d)) - digamma(0.5 * v) - d / v)
        slope = 0.5 * (slope - self.lengths + (1.0 + d / v) * rest)
        bend = rows * (0.5 * (polygamma(1, 0.5 * (v + d)) - polygamma(1, 0.5 * v)) + d / v**2)
        bend = bend + rest / v - d * rest / v**2 - (1.0 + d / v) * (own - self.squares) / v
        bend = 0.5 * bend
        log_bend = bend * v**2 + slope * v
        step = np.clip(-slope * v / log_bend, -LONGEST, LONGEST)
        found = np.where(log_bend < 0.0, v * np.exp(step), self.expected())
        inverse_bend = bend * v**4 + 2.0 * v**3 * slope
        inverse = 1.0 / v + slope * v**2 / inverse_bend
        passes_zero = (v >= FAR) & (inverse_bend < 0.0) & (inverse <= 1.0 / MOST)
        return np.where(passes_zero, np.inf, found)

    def _from_infinite(self) -> Array:
        """Return where the likelihood's slope in 1 / v leads, by its expected bend there."""
        d = float(self.n_features)
        second = d * (d + 2.0)
        third = second * (d + 4.0)
        spread = third * (d + 6.0) - 4.0 * d * third + 4.0 * d * d * second
        spread -= (second - 2.0 * d * d) ** 2
        slope = 0.25 * ((self.squares - 2.0 * d * self.lengths) / self.rows + d * (d - 2.0))
        inverse = slope / (spread / 16.0)
        return np.where(inverse > 1.0 / MOST, np.maximum(1.0 / inverse, NEAREST), np.inf)


def _kept_within(degrees: Array) -> Array:
    return np.where(degrees > MOST, np.inf, np.maximum(degrees, LEAST))


def _root(excess: Array) -> Array:
    """Return the v at which log(v / 2) - digamma(v / 2) is this, by halving an interval."""
    low, high = (
        np.full(excess.shape, np.log(0.5 * LEAST)),
        np.full(excess.shape, np.log(2.0 * MOST)),
    )
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        half = 0.5 * np.exp(middle)
        above = np.log(half) - digamma(half) > excess  # falls in v
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp(0.5 * (low + high))
