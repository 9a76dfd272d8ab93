"""What an M-step may choose: the table of covariance families."""

from __future__ import annotations

from fastgmm.covariance.diagonal import VVI
from fastgmm.covariance.ellipsoidal import EEE, VVV
from fastgmm.covariance.family import Family
from fastgmm.covariance.spherical import VII
from fastgmm.errors import suggestion

__all__ = ["FAMILIES", "Family", "family"]

FAMILIES = (VII, VVI, EEE, VVV)

_BY_NAME = {
    **{family.covariance_type: family for family in FAMILIES},
    **{family.name: family for family in FAMILIES},
}


def family(name: str) -> Family:
    """Return the family of this name, such as "VVV", or scikit-learn's word for it, "full".

    Raises
    ------
    ValueError
        If there is none; the message lists the names and suggests the nearest.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    known = ", ".join(map(repr, _BY_NAME))
    raise ValueError(
        f"no covariance family is named {name!r}{suggestion(name, _BY_NAME)}; choose one of {known}"
    )
