"""Which components of a mixture a picture shows: those that hold rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgmm.estimators.active import active
from fastgmm.estimators.base import Mixture
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.parameters import Parameters
from fastgmm.plot.axes import line_of


def shown(model: Mixture) -> np.ndarray:
    """Numbers of the components to draw.

    Those of a Bayesian mixture that hold no rows lie where the prior is, about all rows, as often
    as there are any: they would look like a cluster.
    """
    return np.flatnonzero(active(model))


def only(mixture: Parameters, numbers: np.ndarray) -> Parameters:
    """Return some components of a mixture of structure full, with the weights they have in it."""
    found = Parameters(
        mixture.structure,
        mixture.weights[numbers],
        mixture.means[numbers],
        mixture.covariances[numbers],
        mixture.precisions_cholesky[numbers],
    )
    if isinstance(mixture, Tailed):
        return Tailed.of(found, mixture.degrees_of_freedom[numbers])
    return found


def empty_lines(model: Mixture, numbers: np.ndarray) -> list[Any]:
    """Make the line, if any, that says in a legend how many components are not shown."""
    n_components = len(model.means_)
    if len(numbers) == n_components:
        return []
    text = f"{n_components - len(numbers)} of {n_components} components hold no rows"
    return [line_of(text, linestyle="none")]
