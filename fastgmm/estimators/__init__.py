"""The scikit-learn face: validate, delegate, name the results."""

from __future__ import annotations

from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.model_file import load
from fastgmm.estimators.priors import ConjugatePrior
from fastgmm.estimators.student_mixture import StudentTMixture

__all__ = [
    "BayesianGaussianMixture",
    "ConjugatePrior",
    "GaussianMixture",
    "StudentTMixture",
    "load",
]
