"""Families of spheres: one variance for all features."""

from fastgmm.covariance.family import Family
from fastgmm.mixture.structure import SPHERICAL

VII = Family("VII", covariance_type="spherical", structure=SPHERICAL)
