"""Families of ellipsoids of any orientation whose covariances have a closed form."""

from __future__ import annotations

import numpy as np

from fastgmm.covariance.family import Family, constrained, pooled, turned
from fastgmm.mixture.arrays import Array, over
from fastgmm.mixture.structure import FULL, TIED
from fastgmm.parallel.blas import one_blas_thread


@one_blas_thread()
def _one_spectrum(covariances: Array, weights: Array) -> Array:
    """EEV: each keeps its axes, and the variances along them, in their order, are averaged."""
    variances, axes = np.linalg.eigh(covariances)
    together = np.broadcast_to(pooled(variances, weights), variances.shape)
    return turned(together, axes)


@one_blas_thread()
def _one_volume(covariances: Array, weights: Array) -> Array:
    """EVV: each keeps its axes and its shape."""
    signs, logs = np.linalg.slogdet(covariances)
    volumes = np.where(signs > 0.0, np.exp(logs / covariances.shape[-1]), np.nan)
    return np.asarray(covariances * over(pooled(volumes, weights) / volumes, covariances))


EEE = Family("EEE", covariance_type="tied", structure=TIED)
EEV = constrained("EEV", FULL, _one_spectrum)
EVV = constrained("EVV", FULL, _one_volume)
VVV = Family("VVV", covariance_type="full", structure=FULL)
