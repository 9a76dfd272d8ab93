"""What an M-step may choose: the table of covariance families."""

from __future__ import annotations

from dataclasses import replace

from fastgmm.covariance.common_axes import EVE, VVE
from fastgmm.covariance.diagonal import EEI, EVI, VEI, VVI
from fastgmm.covariance.ellipsoidal import EEE, EEV, EVV, VVV
from fastgmm.covariance.factor_analysers import factor_analysers
from fastgmm.covariance.family import Constraint, Family
from fastgmm.covariance.one_shape import VEE, VEV
from fastgmm.covariance.ppca import ppca
from fastgmm.covariance.spherical import EII, VII
from fastgmm.errors import suggestion
from fastgmm.mixture.structure import FULL, Structure

__all__ = [
    "ALL",
    "FAMILIES",
    "WITH_FACTORS",
    "Constraint",
    "Family",
    "called",
    "family",
    "structure_of",
]

# of each structure, the one without a constraint stands last
ALL = (EII, VII, EEI, VEI, EVI, VVI, EEE, VEE, EVE, VVE, EEV, VEV, EVV, VVV)
# by covariance_type, scikit-learn's word where there is one or the letters: whatever stands here is
# right in estimators, files and the command line
FAMILIES = {each.covariance_type: each for each in ALL} | {each.name: each for each in ALL}
WITH_FACTORS = {"factors": factor_analysers, "ppca": ppca}  # a family for each number of them


def family(name: str, n_factors: int | None = None) -> Family:
    """Return the family of this name, such as "VVV", or scikit-learn's word for it, "full".

    Raises
    ------
    ValueError
        If there is none; the message lists the names and suggests the nearest. If it has factors,
        and nothing says how many.
    """
    if name in WITH_FACTORS:
        if n_factors is None:
            raise ValueError(
                f"covariance_type={name!r} needs a number of factors, which nothing here chooses: "
                f"fit GaussianMixture(covariance_type={name!r}, n_factors=...) for some numbers, "
                "and compare their bic"
            )
        return WITH_FACTORS[name](n_factors)
    if name in FAMILIES:
        return FAMILIES[name]
    known = ", ".join(map(repr, FAMILIES))
    raise ValueError(
        f"no covariance family is named {name!r}{suggestion(name, FAMILIES)}; choose one of {known}"
    )


def structure_of(name: str) -> Structure:
    """Return how the covariances of this family are stored, of matrices and variances."""
    return FULL if name == "ppca" else family(name).structure


def called(name: str) -> Family:
    """Return the family of this name, which calls itself by it in tables and messages."""
    return replace(family(name), covariance_type=name)
