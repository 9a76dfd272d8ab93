"""Families of ellipsoids of any orientation."""

from __future__ import annotations

import numpy as np

from fastgmm.covariance.family import Family
from fastgmm.covariance.regularisation import Scatter
from fastgmm.mixture.statistics import Array


def _one_matrix(_n_components: int, n_features: int) -> int:
    return n_features * (n_features + 1) // 2


def _one_matrix_each(n_components: int, n_features: int) -> int:
    return n_components * _one_matrix(1, n_features)


def _shared_covariance(scatter: Scatter) -> Array:
    return scatter.moments / np.sum(scatter.weight)


def _own_covariances(scatter: Scatter) -> Array:
    return scatter.moments / scatter.weight[:, None, None]


EEE = Family(
    name="EEE",
    covariance_type="tied",
    structure="tied",
    n_covariance_parameters=_one_matrix,
    maximise=_shared_covariance,
)

VVV = Family(
    name="VVV",
    covariance_type="full",
    structure="full",
    n_covariance_parameters=_one_matrix_each,
    maximise=_own_covariances,
)
