"""What an M-step may choose: the table of covariance families."""

from __future__ import annotations

from fastgmm.covariance.diagonal import VVI
from fastgmm.covariance.ellipsoidal import EEE, VVV
from fastgmm.covariance.family import Constraint, Family
from fastgmm.covariance.spherical import VII
from fastgmm.errors import suggestion

__all__ = ["FAMILIES", "Constraint", "Family", "family"]

# by covariance_type: whatever stands here is right in estimators, files and the command line
FAMILIES = {each.covariance_type: each for each in (VII, VVI, EEE, VVV)}


def family(name: str) -> Family:
    """Return the family of this name, such as "VVV", or scikit-learn's word for it, "full".

    Raises
    ------
    ValueError
        If there is none; the message lists the names and suggests the nearest.
    """
    by_name = FAMILIES | {each.name: each for each in FAMILIES.values()}
    if name in by_name:
        return by_name[name]
    known = ", ".join(map(repr, by_name))
    raise ValueError(
        f"no covariance family is named {name!r}{suggestion(name, by_name)}; choose one of {known}"
    )
