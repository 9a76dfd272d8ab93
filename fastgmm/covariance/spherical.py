"""Families of spheres: one variance for all features."""

from __future__ import annotations

import numpy as np

from fastgmm.covariance.family import Family, constrained, pooled
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.structure import SPHERICAL


def _one_variance(variances: Array, weights: Array) -> Array:
    return np.full_like(variances, pooled(variances, weights))


EII = constrained("EII", SPHERICAL, _one_variance, covariance_type="tied-spherical")
VII = Family("VII", covariance_type="spherical", structure=SPHERICAL)
