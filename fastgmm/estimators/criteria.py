"""AIC, BIC and ICL: what a mixture's fit is worth, less what its parameters cost; lower is better.

AIC is Akaike's (1974), BIC Schwarz's (1978). ICL is that of Biernacki, Celeux and Govaert (2000),
with each row given to its likeliest component, as in R's mclust but with BIC's sign here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from fastgmm import passes
from fastgmm.errors import DataError, WeightsWarning, suggestion
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Posterior
from fastgmm.passes.scores import Totals
from fastgmm.sources import Source

Criterion = Callable[[Totals, int], float]  # of the totals over rows, and the free parameters

ROUNDED = 1e-6  # of a sum of weights: scaled to the number of rows, in float32 perhaps


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


def named(criterion: str, others: Collection[str] = ()) -> Criterion:
    """Return the criterion of this name.

    Raises
    ------
    ValueError
        If there is none; the message lists them, and `others` that the caller knows.
    """
    if criterion in CRITERIA:
        return CRITERIA[criterion]
    known = (*CRITERIA, *others)
    raise ValueError(
        f"no criterion is named {criterion!r}{suggestion(criterion, known)}; choose one of "
        f"{', '.join(map(repr, known))}"
    )


def totals_of(source: Source, parameters: Parameters, certainty: bool = False) -> Totals:
    """Sum over the rows what the criteria need, in one pass.

    Without `certainty`, which only ICL needs, no responsibilities are computed and it is NaN.

    Raises
    ------
    DataError
        If no row has a weight.
    """
    if certainty:
        (totals,) = passes.totals(source, [parameters])
    else:
        log_likelihood, row_weight, n_rows = passes.total_log_likelihood(source, parameters)
        totals = Totals(log_likelihood, math.nan, row_weight, n_rows, None)
    _check_weight(source, totals.row_weight)
    return totals


def mean_predictive(source: Source, posterior: Posterior) -> float:
    """Return the mean log density of rows to come, by weight.

    Raises
    ------
    DataError
        If no row has a weight.
    """
    total, row_weight = passes.predictive.total_log_density(source, posterior)
    _check_weight(source, row_weight)
    return total / row_weight


def _check_weight(source: Source, row_weight: float) -> None:
    if row_weight == 0.0:
        raise DataError(f"{source.name} holds no row to score; give at least one")


def weights_warning(criterion: str, row_weight: float, n_rows: int) -> WeightsWarning | None:
    """Return a warning if a criterion takes less for the number of observations than the rows."""
    if row_weight >= n_rows * (1.0 - ROUNDED):
        return None
    logarithm = round(math.log(row_weight), 3) + 0.0  # no -0
    charge = "2" if criterion == "aic" else f"log({row_weight:.4g}) = {logarithm:g}"
    effect = f"a parameter costs {charge}, against the log-likelihood of {row_weight:.4g} rows"
    if criterion == "evidence":
        effect = "so much do they count beside the prior"
    return WeightsWarning(
        f"the weights of {n_rows} rows sum to {row_weight:.4g}, which {criterion} takes for the "
        f"number of observations: {effect}. If each row is an observation, multiply the weights by "
        f"{n_rows / row_weight:.6g}, so that they sum to the number of rows"
    )
