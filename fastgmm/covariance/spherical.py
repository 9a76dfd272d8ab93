"""Families of spheres: one variance for all features."""

from __future__ import annotations

from fastgmm.covariance.family import Family
from fastgmm.covariance.regularisation import Scatter
from fastgmm.mixture.statistics import Array


def _own_volumes(scatter: Scatter) -> Array:
    return scatter.moments / (scatter.weight * scatter.n_features)


def _one_each(n_components: int, _n_features: int) -> int:
    return n_components


VII = Family(
    name="VII",
    covariance_type="spherical",
    structure="spherical",
    n_covariance_parameters=_one_each,
    maximise=_own_volumes,
)
