"""What `fixed` may be: which parameters of which components stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from fastgmm.covariance import Family
from fastgmm.em.fixed import Fixed, Mask
from fastgmm.errors import suggestion
from fastgmm.estimators.factored import family_of

VALUES = {  # of each kind of parameter, the argument that says them
    "weights": "weights_init",
    "means": "means_init",
    "covariances": "precisions_init",
}


def fixed_of(estimator: Any) -> Fixed | None:
    """Return what stays in a fit of an estimator; None where nothing does.

    Raises
    ------
    ValueError
        If `fixed` names no parameter or no component, or covariances of which a family fixes all
        or none.
    """
    given: Mapping[str, Any] | None = getattr(estimator, "fixed", None)
    if not given:
        return None
    n_components = estimator.n_components
    for kind in given:
        if kind not in VALUES:
            raise ValueError(
                f"fixed names {kind!r}{suggestion(str(kind), VALUES)}; its keys are "
                f"{', '.join(map(repr, VALUES))}"
            )
    found = Fixed(*(_mask(kind, given.get(kind), n_components) for kind in VALUES))
    if not any(mask.any() for mask in found):
        return None
    _check_family(found, family_of(estimator), estimator.covariance_type)
    return found


def said(fixed: Fixed | None) -> dict[str, list[int]] | None:
    """Return the same as `fixed` may say it, in the numbers of components."""
    if fixed is None:
        return None
    return {kind: np.flatnonzero(mask).tolist() for kind, mask in fixed._asdict().items()}


def _mask(kind: str, components: Any, n_components: int) -> Mask:
    """Return which components are meant, (K,)."""
    if components is None or components is False:
        return np.zeros(n_components, bool)
    if components is True or (isinstance(components, str) and components == "all"):
        return np.ones(n_components, bool)
    mask = np.zeros(n_components, bool)
    is_several = isinstance(components, Iterable) and not isinstance(components, str | bytes)
    for component in components if is_several else [components]:
        is_number = isinstance(component, Integral) and not isinstance(component, bool)
        if not is_several or not is_number or not 0 <= component < n_components:
            raise ValueError(
                f"fixed[{kind!r}] is {components!r}; give the numbers of components in a list, "
                f"from 0 to {n_components - 1}, or 'all'"
            )
        mask[int(component)] = True
    return mask


def _check_family(fixed: Fixed, known: Family, covariance_type: str) -> None:
    """Refuse to fix some covariances of a family in which they have something in common."""
    some = fixed.covariances.any() and not fixed.covariances.all()
    if some and (known.constraint is not None or known.structure.is_shared):
        raise ValueError(
            f"covariances of covariance_type={covariance_type!r} have something in common, so "
            "that one that stays would hold the others: fix 'all' of them or none, or take 'full', "
            "'diag' or 'spherical'"
        )


def demand_values(fixed: Fixed, given: Mapping[str, Any]) -> None:
    """Refuse to fix what no argument says; `given` has what is said, by its kind."""
    for kind, mask in fixed._asdict().items():
        if mask.any() and given[kind] is None:
            raise ValueError(
                f"fixed[{kind!r}] needs the values that stay: give {VALUES[kind]}, or go on from a "
                "fitted mixture with warm_start=True or partial_fit"
            )
