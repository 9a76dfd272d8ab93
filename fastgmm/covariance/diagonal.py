"""Families of axis-parallel ellipsoids: one variance for each feature."""

from fastgmm.covariance.family import Family
from fastgmm.mixture.structure import DIAGONAL

VVI = Family("VVI", covariance_type="diag", structure=DIAGONAL)
