"""The parameters of a mixture with noise: beside normal components, rows from anywhere in a box.

Banfield, J. D. and Raftery, A. E. (1993), Model-based Gaussian and non-Gaussian clustering,
Biometrics 49, 803-821, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fastgmm.mixture.arrays import Array, read_only
from fastgmm.mixture.parameters import Parameters


@dataclass(frozen=True, eq=False)
class WithNoise(Parameters):
    """Parameters of normal components, and the noise; all weights sum to 1."""

    noise_weight: float
    log_volume: float  # of the box, whose density is one over it

    @classmethod
    def of(cls, mixture: Parameters, noise_weight: float, log_volume: float) -> WithNoise:
        """Return a mixture, whose weights sum to 1, with noise of this weight."""
        found = cls.beside(mixture, noise_weight, log_volume)
        return replace(found, weights=mixture.weights * (1.0 - noise_weight))

    @classmethod
    def beside(cls, mixture: Parameters, noise_weight: float, log_volume: float) -> WithNoise:
        """Return a mixture with noise, whose weights sum to 1 with the noise's."""
        return cls(
            mixture.structure,
            mixture.weights,
            mixture.means,
            mixture.covariances,
            mixture.precisions_cholesky,
            float(noise_weight),
            float(log_volume),
        )

    @property
    def alone(self) -> Parameters:
        """The components without noise, whose weights sum to 1."""
        return Parameters(
            self.structure, self.shares, self.means, self.covariances, self.precisions_cholesky
        )

    @property
    def log_noise(self) -> float:
        """The log density of the noise, times its weight."""
        return (math.log(self.noise_weight) if self.noise_weight else -math.inf) - self.log_volume

    @property
    def shares(self) -> Array:
        """What each component has of the rows that are no noise, (K,) of sum 1."""
        return np.asarray(self.weights / self.weights.sum())

    @property
    def free(self) -> Array:
        """What an extrapolation of EM moves besides: the log odds of noise."""
        odds = self.noise_weight / max(1.0 - self.noise_weight, 1e-300)
        return read_only(np.log([odds]) if self._moves else [])

    @property
    def free_metric(self) -> Array:
        """What a unit of it weighs in a norm."""
        spread = self.noise_weight * (1.0 - self.noise_weight)
        return read_only(np.sqrt([spread]) if self._moves else [])

    def freed(self, found: Parameters, step: Array) -> WithNoise:
        """Return another mixture with this noise, moved by a step."""
        weight = self.noise_weight
        if self._moves:
            odds = weight / (1.0 - weight) * math.exp(min(float(step[0]), 50.0))
            weight = odds / (1.0 + odds)
        return WithNoise.of(found, weight, self.log_volume)

    @property
    def _moves(self) -> bool:
        return 0.0 < self.noise_weight < 1.0
