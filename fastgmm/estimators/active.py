"""Which components of a fitted mixture hold rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgmm.estimators.fitted_attributes import HELD, POSTERIOR, held
from fastgmm.mixture.arrays import Array

KNOWN = (*POSTERIOR, "mean_precision_prior_", "n_rows_", "row_weight_")


def active(model: Any) -> Array:
    """Return whether each component holds rows, (K,), by the rule of `n_active_`.

    All do where there is no posterior to say so, and where none holds half a row.
    """
    attributes = vars(model)
    everyone = np.ones(len(model.means_), dtype=bool)
    if any(name not in attributes for name in KNOWN) or not attributes["n_rows_"]:
        return everyone
    found = held(attributes) >= HELD * attributes["row_weight_"] / attributes["n_rows_"]
    return found if found.any() else everyone
