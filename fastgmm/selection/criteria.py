"""What a mixture's fit is worth, less what its parameters cost; the lower the better.

AIC is Akaike's (1974), BIC Schwarz's (1978). ICL is that of Biernacki, Celeux and Govaert (2000),
with each row given to its likeliest component, as in R's mclust but with BIC's sign here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable

from fastgmm.passes.scores import Totals

Criterion = Callable[[Totals, int], float]  # of the totals over rows, and the free parameters


def aic(totals: Totals, n_parameters: int) -> float:
    """Akaike's information criterion."""
    return -2.0 * totals.log_likelihood + 2.0 * n_parameters


def bic(totals: Totals, n_parameters: int) -> float:
    """Bayesian information criterion; the sum of the row weights stands for the number of rows."""
    return -2.0 * totals.log_likelihood + n_parameters * math.log(totals.row_weight)


def icl(totals: Totals, n_parameters: int) -> float:
    """Integrated completed likelihood: BIC, and a charge for rows between components."""
    return bic(totals, n_parameters) - 2.0 * totals.log_certainty


CRITERIA: dict[str, Criterion] = {"aic": aic, "bic": bic, "icl": icl}


def named(criterion: str) -> Criterion:
    """Return the criterion of this name.

    Raises
    ------
    ValueError
        If there is none; the message lists them.
    """
    if criterion in CRITERIA:
        return CRITERIA[criterion]
    near = difflib.get_close_matches(criterion.casefold(), CRITERIA, n=1)
    suggestion = f" (did you mean {near[0]!r}?)" if near else ""
    known = ", ".join(map(repr, CRITERIA))
    raise ValueError(f"no criterion is named {criterion!r}{suggestion}; choose one of {known}")
