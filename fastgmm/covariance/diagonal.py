"""Families of axis-parallel ellipsoids: one variance for each feature."""

from __future__ import annotations

import numpy as np

from fastgmm.covariance.family import Family, constrained, pooled
from fastgmm.covariance.one_shape import with_one_shape
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.structure import DIAGONAL


def _one_diagonal(variances: Array, weights: Array) -> Array:
    return np.broadcast_to(pooled(variances, weights), variances.shape).copy()


def _one_volume(variances: Array, weights: Array) -> Array:
    volumes = np.exp(np.log(variances).mean(axis=1))
    return np.asarray(variances * (pooled(volumes, weights) / volumes)[:, None])


EEI = constrained("EEI", DIAGONAL, _one_diagonal, covariance_type="tied-diagonal")
VEI = constrained("VEI", DIAGONAL, with_one_shape, maximise_from=with_one_shape)
EVI = constrained("EVI", DIAGONAL, _one_volume)
VVI = Family("VVI", covariance_type="diag", structure=DIAGONAL)
