"""What n_factors means, what cannot go with it, and the attributes that follow from others."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgmm.covariance import WITH_FACTORS, Family, family
from fastgmm.covariance.factor_analysers import most_factors
from fastgmm.covariance.ppca import loadings_of
from fastgmm.errors import DataError
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters

MOST_BYTES = 1 << 30  # of matrices that an attribute makes when it is asked for
MADE = ("covariances_", "precisions_", "precisions_cholesky_")  # of components and variances
WITHOUT = {  # settings that factor analysers do not have, what else they may be, and the way out
    "precisions_init": "loadings are found from the rows; give means_init and weights_init",
    "responsibilities_init": "loadings are found from the rows; give means_init and weights_init",
    "fixed": "all parameters of factor analysers move; take covariance_type='full' or 'diag'",
    "noise": "noise is beside matrices and variances; take covariance_type='full' or 'diag'",
}


def family_of(estimator: Any) -> Family:
    """Return the family that an estimator asks for."""
    return family(estimator.covariance_type, getattr(estimator, "n_factors", None))


def is_factored(estimator: Any) -> bool:
    """Whether the components are factor analysers."""
    return bool(estimator.covariance_type == "factors")


def check(estimator: Any, n_features: int | None = None) -> None:
    """Refuse factors that cannot be, and what cannot go with them.

    Raises
    ------
    ValueError
        It names the value, the rule and the way out.
    """
    kind, n_factors = estimator.covariance_type, getattr(estimator, "n_factors", None)
    if kind not in WITH_FACTORS:
        if n_factors is not None:
            raise ValueError(
                f"n_factors={n_factors} is of covariance_type='factors' or 'ppca', and "
                f"covariance_type={kind!r} has none; change one of the two"
            )
        return
    family_of(estimator)  # which asks for a number
    if n_features is not None and n_factors is not None:
        most = most_factors(n_features) if is_factored(estimator) else n_features - 1
        if n_factors > most:
            way = f"take n_factors={most} or fewer, or" if most else "take"
            raise ValueError(
                f"n_factors={n_factors} is too many for {n_features} feature(s), of which at most "
                f"{most} factors of covariance_type={kind!r} save numbers; {way} "
                "covariance_type='full'"
            )
    if is_factored(estimator):
        _check_alone(estimator)


def _check_alone(estimator: Any) -> None:
    """Refuse settings that factor analysers do not have."""
    for name, way in WITHOUT.items():
        value = getattr(estimator, name)
        if value is not None and value is not False:
            shown = value if np.ndim(value) == 0 else "..."
            raise ValueError(f"{name}={shown!r} cannot go with covariance_type='factors': {way}")
    if estimator.prior not in ("auto", None, 0):
        raise ValueError(
            f"prior={estimator.prior!r} cannot go with covariance_type='factors', which has none; "
            "leave it at 'auto', and raise reg_covar, the least variance of each feature's own"
        )
    if estimator.missing == "em":
        raise DataError(
            "missing='em' cannot go with covariance_type='factors', whose sums take whole rows; "
            "fill the values in, or take covariance_type='ppca' or 'diag'"
        )


def demand_matrices(estimator: Any, what: str, way: str) -> None:
    """Refuse what factor analysers cannot do."""
    if is_factored(estimator):
        raise ValueError(f"{what} cannot go with covariance_type='factors'; {way}")


def made(estimator: Any, name: str) -> Array:
    """Return an attribute that follows from those of a fit with factors, or refuse to have it.

    Raises
    ------
    AttributeError
        If there is none, or it were too large.
    """
    attributes = vars(estimator)
    if name in MADE and "components_" in attributes:
        n_components, _, n_features = attributes["components_"].shape
        n_bytes = 8 * n_components * n_features**2
        if n_bytes > MOST_BYTES:
            raise AttributeError(
                f"{name} would take {n_bytes:,} bytes; components_ and noise_variance_ hold the "
                "same covariances, components_[k].T @ components_[k] + diag(noise_variance_[k])"
            )
        mixture = estimator._known(attributes)
        full = Parameters.from_covariances("full", mixture.weights, mixture.means, mixture.matrices)
        found = np.array(getattr(full, name.removesuffix("_")))
        return found.astype(attributes["components_"].dtype)
    is_ppca = "covariances_" in attributes and estimator.covariance_type == "ppca"
    if is_ppca and name in ("components_", "noise_variance_"):
        return _of_ppca(estimator, name)
    raise AttributeError(f"{type(estimator).__name__!r} object has no attribute {name!r}")


def _of_ppca(estimator: Any, name: str) -> Array:
    """Return principal axes (K, q, d) as long as factors make them, or variances (K,)."""
    covariances = np.asarray(estimator.covariances_, np.float64)
    loadings, own = loadings_of(covariances, estimator.n_factors)
    found = loadings.swapaxes(1, 2) if name == "components_" else own
    return np.ascontiguousarray(found, estimator.covariances_.dtype)
