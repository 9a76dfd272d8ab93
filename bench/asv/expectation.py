"""One pass over rows in memory: the E-step and the sums for the M-step, fused."""

from __future__ import annotations

from bench.tools import data
from fastgmm import open_source, passes
from fastgmm.covariance import family
from fastgmm.mixture.parameters import Parameters

N_ROWS = 100_000


class Expectation:
    """A pass over 100 000 rows, by structure and size."""

    params = (["full", "tied", "diag", "spherical"], [2, 16, 64], [4, 64], ["float64", "float32"])
    param_names = ("covariance_type", "n_features", "n_components", "dtype")
    timeout = 300

    def setup(self, covariance_type, n_features, n_components, dtype):
        mixture = data.mixture(n_features, n_components)
        start = data.start(mixture, covariance_type)
        self.source = open_source(data.rows(mixture, N_ROWS, dtype))
        self.parameters = Parameters.from_precisions(
            family(covariance_type).structure,
            start["weights_init"],
            start["means_init"],
            start["precisions_init"],
        )
        passes.statistics(self.source, [self.parameters])  # compiles

    def time_pass(self, *_):
        passes.statistics(self.source, [self.parameters])
