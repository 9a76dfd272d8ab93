"""All of scikit-learn's checks of estimators pass, for every covariance type; none is excused."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgmm.estimators import BayesianGaussianMixture, GaussianMixture, StudentTMixture


# some checks give the estimator so few rows, or so few passes, that EM cannot converge
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# one check gives 27 rows of 30 features
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
@parametrize_with_checks(
    [
        estimator(covariance_type=covariance_type)
        for estimator in (GaussianMixture, BayesianGaussianMixture, StudentTMixture)
        for covariance_type in ("full", "tied", "diag", "spherical")
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)
