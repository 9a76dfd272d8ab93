"""What an M-step may choose: the table of covariance families."""

from __future__ import annotations

import difflib

from fastgmm.covariance.diagonal import VVI
from fastgmm.covariance.ellipsoidal import EEE, VVV
from fastgmm.covariance.family import Family
from fastgmm.covariance.spherical import VII

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
    by_small_letters = {known.casefold(): known for known in _BY_NAME}
    near = difflib.get_close_matches(name.casefold(), by_small_letters, n=1, cutoff=0.5)
    suggestion = f" (did you mean {by_small_letters[near[0]]!r}?)" if near else ""
    known = ", ".join(repr(name) for name in _BY_NAME)
    raise ValueError(f"no covariance family is named {name!r}{suggestion}; choose one of {known}")
