"""A fit from a given start, by rows, features, components and covariance type."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning

from bench.tools import data
from fastgmm import GaussianMixture

PASSES = 10


def fit(rows, start, max_iter=PASSES):
    """Fit for a given number of passes, however far they get."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**start, tol=0.0, max_iter=max_iter).fit(rows)


class Fit:
    """Ten passes; the peak of memory holds the interpreter and the rows as well."""

    params = (
        [10_000, 1_000_000],
        [2, 10],
        [4, 16],
        ["full", "tied", "diag", "spherical"],
    )
    param_names = ("n_rows", "n_features", "n_components", "covariance_type")
    timeout = 300

    def setup(self, n_rows, n_features, n_components, covariance_type):
        mixture = data.mixture(n_features, n_components)
        self.rows = data.rows(mixture, n_rows)
        self.start = data.start(mixture, covariance_type)
        fit(self.rows, self.start, 1)  # compiles

    def time_fit(self, *_):
        fit(self.rows, self.start)

    def peakmem_fit(self, *_):
        fit(self.rows, self.start)
