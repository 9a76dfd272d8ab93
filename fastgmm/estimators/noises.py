"""What `noise` of `GaussianMixture` means: none, that of the rows' box, or of a given volume."""

from __future__ import annotations

import math
from typing import Any

from fastgmm.estimators.climb import Prepared
from fastgmm.initialisation.noise_box import log_volume

NUMBERS = ("noise_weight_", "noise_log_volume_")  # that a model file keeps
ATTRIBUTES = (*NUMBERS, "noise_volume_")
FOR_BOX, FOR_VOLUME = 2, 1  # parameters: a weight, and the volume where it is found


def has_box(estimator: Any) -> bool:
    """Whether the box is found from the rows."""
    return _noise(estimator) is True


def is_asked_for(estimator: Any) -> bool:
    """Whether there is noise beside the components."""
    return _noise(estimator) is not False


def check(estimator: Any) -> None:
    """Refuse what does not go together with noise.

    Raises
    ------
    ValueError
        If parameters are fixed, or values may be missing.
    """
    if is_asked_for(estimator) and estimator.missing == "em":
        raise ValueError(
            "noise has a density over all features, and missing='em' takes rows of some; leave one "
            "of the two out"
        )
    if is_asked_for(estimator) and estimator.fixed:
        raise ValueError(
            "fixed parameters and noise are not fitted together, since weights are those of both; "
            "leave out fixed or noise"
        )


def log_volume_of(estimator: Any, prepared: Prepared) -> float | None:
    """Return the logarithm of the noise's volume; None where there is no noise."""
    noise = _noise(estimator)
    if noise is False:
        return None
    return log_volume(prepared.drawn, prepared.rows.names) if noise is True else math.log(noise)


def n_parameters(estimator: Any) -> int:
    """Count the parameters of noise."""
    noise = _noise(estimator)
    return 0 if noise is False else FOR_BOX if noise is True else FOR_VOLUME


def _noise(estimator: Any) -> bool | float:
    """Return what an estimator says; one that says nothing has none."""
    noise = getattr(estimator, "noise", False)
    return bool(noise) if type(noise).__name__ in ("bool", "bool_") else float(noise)
