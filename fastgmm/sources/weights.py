"""Checks of row weights, from sample_weight or from a column."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.sources.cells import Place, real
from fastgmm.sources.rows import Rows
from fastgmm.sources.types import Block

LEAST_TOTAL_WEIGHT = 1e-290  # see statistics.NEGLIGIBLE_WEIGHT: sums below it lose digits


def as_weights(weights: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Copy an array-like as row weights, (n,); `check_weights` looks at their values."""
    name = "sample_weight"
    if np.ma.is_masked(weights) or hasattr(weights, "tocsr"):
        raise DataError("sample weights must be a plain array; these are masked or sparse")
    array = np.asarray(weights)
    if array.ndim != 1:
        raise DataError(
            f"sample weights must be 1-d, one for each row; these have the shape {array.shape}"
        )
    return np.array(real(array[:, None], [name], Place(name))[:, 0], np.float64)


def check_weights(source: Rows, block: Block) -> None:
    """Refuse the first weight that is negative or not finite."""
    weights = block.weights
    if weights is None or (np.isfinite(weights) & (weights >= 0)).all():
        return
    row = int((~(np.isfinite(weights) & (weights >= 0))).argmax())
    _refuse_weight(weights[row], source.place(block.start + row))


def _refuse_weight(weight: float, place: str) -> NoReturn:
    if np.isnan(weight):
        raise DataError(f"{place} has the weight NaN; give it a number, 0 to leave the row out")
    if np.isinf(weight):
        raise DataError(f"{place} has an infinite weight; give finite weights")
    raise DataError(f"{place} has the negative weight {weight:g}; weights are zero or more")


def check_total_weight(total: float, name: str) -> None:
    """Refuse weights that add up to nothing, or to more than a float can hold."""
    if total == 0:
        raise DataError(f"all weights of {name} are zero; at least one row must count")
    if not np.isfinite(total):
        raise DataError(f"the weights of {name} add up to infinity; divide them by their maximum")
    if total < LEAST_TOTAL_WEIGHT:
        raise DataError(
            f"the weights of {name} add up to {total:g}, too little to divide by "
            f"(at least {LEAST_TOTAL_WEIGHT:g}); divide them by their maximum"
        )


def check_weights_length(n_weights: int, n_rows: int, name: str, about: str = "") -> None:
    """Refuse weights that are not one per row."""
    if n_weights != n_rows:
        raise DataError(
            f"{n_weights} sample weights were given for {about}{n_rows} rows of {name}; give one "
            "weight for each row"
        )


def refuse_second_weights(weight: Hashable | None, name: str) -> None:
    """Refuse weights beside rows that a column weighs already."""
    if weight is not None:
        raise DataError(
            f"{name} takes weights from its column {weight!r}; give weights there or as an array, "
            "not both"
        )
