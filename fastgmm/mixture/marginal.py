"""The mixture that is left of a mixture when only some features are looked at."""

from __future__ import annotations

from collections.abc import Sequence

from fastgmm.mixture.parameters import Parameters


def marginal(parameters: Parameters, features: Sequence[int]) -> Parameters:
    """Return the mixture of some features: parts of means and covariances, in structure full."""
    structure, means = parameters.structure, parameters.means[:, list(features)]
    covariances = structure.of_features(parameters.covariances, list(features))
    matrices = structure.matrices(covariances, *means.shape)
    return Parameters.from_covariances("full", parameters.weights, means, matrices)
