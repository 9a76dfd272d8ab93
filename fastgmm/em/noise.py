"""The M-step of normal components beside noise of a fixed density."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastgmm.em.update_rules import AroundNormal
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.statistics import SufficientStatistics

BEGINNING = 0.05  # weight of the noise in a start


@dataclass(frozen=True)
class Noise(AroundNormal):
    """The M-step of a family of components, beside noise."""

    log_volume: float  # of the box that noise comes from

    def begun(self, mixture: Parameters) -> WithNoise:
        """Return a start, from weights, means and covariances."""
        return WithNoise.of(mixture, BEGINNING, self.log_volume)

    def estimate(self, statistics: SufficientStatistics, previous: Parameters | None) -> WithNoise:
        """Parameters of highest expected log-likelihood or posterior density.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not finite or not positive definite, or all rows are noise.
        """
        if not statistics.occupied.any():
            raise DegenerateCovarianceError(0)
        found = self.normal.estimate(statistics, previous)
        noise = 0.0 if statistics.extra is None else float(statistics.extra[0])
        return WithNoise.of(found, noise / (noise + statistics.weight.sum()), self.log_volume)

    def remembered(self, parameters: Parameters, row_weight: float) -> SufficientStatistics:
        """Return statistics of this weight whose estimate is these parameters."""
        assert isinstance(parameters, WithNoise)
        noise = row_weight * parameters.noise_weight
        base = self.normal.remembered(parameters.alone, row_weight - noise)
        return replace(base, row_weight=row_weight, extra=np.array([noise]))

    def admitted(self, trial: Parameters, found: Parameters) -> Parameters:
        """Return the trial, or the nearest mixture of the family."""
        assert isinstance(trial, WithNoise)
        nearest = self.normal.admitted(trial, found)
        if isinstance(nearest, WithNoise):
            return nearest
        whole = replace(nearest, weights=nearest.weights / nearest.weights.sum())
        return WithNoise.of(whole, trial.noise_weight, self.log_volume)
