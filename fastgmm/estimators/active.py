"""What a Bayesian mixture is shown by: which components hold rows, and its bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgmm.estimators.fitted_attributes import HELD, POSTERIOR, held_by
from fastgmm.mixture.arrays import Array

KNOWN = (
    *POSTERIOR,
    "weight_concentration_prior_",
    "mean_precision_prior_",
    "n_rows_",
    "row_weight_",
)


def active(model: Any) -> Array:
    """Return whether each component holds rows, (K,), by the rule of `n_active_`.

    All do where there is no posterior to say so, and where none holds half a row.
    """
    attributes = vars(chosen(model))
    everyone = np.ones(len(model.means_), dtype=bool)
    if any(name not in attributes for name in KNOWN) or not attributes["n_rows_"]:
        return everyone
    found = held_by(attributes) >= HELD * attributes["row_weight_"] / attributes["n_rows_"]
    return found if found.any() else everyone


def chosen(model: Any) -> Any:
    """Return the mixture that a model has chosen, if it is one that chooses."""
    return getattr(model, "best_estimator_", model)


def has_bound(model: Any) -> bool:
    """Whether `lower_bound_` is a bound of the evidence, and not a log-likelihood."""
    return POSTERIOR[0] in vars(chosen(model))
