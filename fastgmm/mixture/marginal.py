"""Marginal mixtures: the distribution of some of the features."""

from __future__ import annotations

from collections.abc import Sequence

from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.parameters import Parameters


def marginal(parameters: Parameters, features: Sequence[int]) -> Parameters:
    """Return the mixture of some features, in structure full."""
    structure, means = parameters.structure, parameters.means[:, list(features)]
    covariances = structure.of_features(parameters.covariances, list(features))
    matrices = structure.matrices(covariances, *means.shape)
    # without noise, whose box has no side to leave out
    found = Parameters.from_covariances("full", parameters.alone.weights, means, matrices)
    if isinstance(parameters, Tailed):  # of a t-distribution, with the same degrees of freedom
        return Tailed.of(found, parameters.degrees_of_freedom)
    return found
