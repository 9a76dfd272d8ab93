"""The mixture that is left of a mixture when only some features are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastgmm.mixture.parameters import Parameters


def marginal(parameters: Parameters, features: Sequence[int]) -> Parameters:
    """Return the mixture of some features: parts of means and covariances, in structure full."""
    return Parameters.from_covariances(
        "full",
        parameters.weights,
        parameters.means[:, list(features)],
        _covariances(parameters, list(features)),
    )


def _covariances(parameters: Parameters, features: list[int]) -> np.ndarray:
    """Covariances of some features in each component, (K, f, f)."""
    covariances = parameters.covariances
    shape = (len(parameters.weights), len(features), len(features))
    match parameters.structure:
        case "full":
            return covariances[:, features][:, :, features]
        case "tied":
            return np.broadcast_to(covariances[np.ix_(features, features)], shape)
        case "diagonal":
            return covariances[:, features, None] * np.eye(len(features))
        case _:
            return covariances[:, None, None] * np.eye(len(features))
