"""Families of axis-parallel ellipsoids: one variance for each feature."""

from __future__ import annotations

from fastgmm.covariance.family import Family
from fastgmm.covariance.regularisation import Scatter
from fastgmm.mixture.statistics import Array


def _own_variances(scatter: Scatter) -> Array:
    return scatter.moments / scatter.weight[:, None]


def _one_each(n_components: int, n_features: int) -> int:
    return n_components * n_features


VVI = Family(
    name="VVI",
    covariance_type="diag",
    structure="diagonal",
    n_covariance_parameters=_one_each,
    maximise=_own_variances,
)
