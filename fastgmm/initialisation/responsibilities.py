"""The start from given responsibilities: one M-step over the rows."""

from __future__ import annotations

import numpy as np

from fastgmm import em
from fastgmm.errors import DataError
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.known import Labels, sums_by_label, sums_by_share
from fastgmm.sources import Source


def maximised(
    source: Source, given: Source | Labels, n_components: int, rule: em.Maximisation
) -> Parameters:
    """Return the M-step of responsibilities, or of labels that give each row to a component.

    Raises
    ------
    DataError
        If they are not one for each row, are no responsibilities, or leave a component without.
    """
    structure = rule.family.structure
    if isinstance(given, Source):
        found = sums_by_share(source, given, structure)
    else:
        found = sums_by_label(source, given, n_components, structure)
    if source.may_lack and np.isnan(found.second).any():
        raise DataError(
            f"responsibilities_init is a step from complete rows, and {source.name} lacks values; "
            "leave it out, or give weights_init, means_init and precisions_init"
        )
    empty = np.flatnonzero(~found.occupied)
    if len(empty):
        raise DataError(
            f"responsibilities_init gives no row of positive weight to component {empty[0]}; give "
            "it some, or leave the component out"
        )
    return rule.estimate(found, None)
