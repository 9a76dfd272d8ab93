"""Families of ellipsoids of any orientation."""

from fastgmm.covariance.family import Family
from fastgmm.mixture.structure import FULL, TIED

EEE = Family("EEE", covariance_type="tied", structure=TIED)
VVV = Family("VVV", covariance_type="full", structure=FULL)
