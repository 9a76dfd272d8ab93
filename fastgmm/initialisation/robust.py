"""Starts that outliers do not lead astray: of rows in company, judged by the robust likelihood.

The default start looks for the likeliest normal mixture, and a few far rows make a component of
their own likelier. So it is made three times: of all rows, and of those that are left when the rows
farthest from their neighbours have gone (as in Byers and Raftery 1998, Nearest-neighbor clutter
removal, Journal of the American Statistical Association 93). A short climb with tails or noise, on
rows of all kinds, says which leads highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em, passes
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation.auto import auto_start, regularised_start
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample
from fastgmm.sources import Source, open_source, with_weights

Robust = em.HeavyTails | em.Noise

LEFT_OUT = (0.0, 0.05, 0.2)  # shares of the rows, the farthest from their neighbours
OF_PRIOR = 0.05  # the share without which the strength of a prior is chosen
# Rows that are measured against, and which of them is the neighbour: the fifth, so that up to one
# row in a hundred may lie together and still be far from all others
REFERENCES, NEIGHBOUR = 500, 5
JUDGED_ROWS, ROWS_PER_PARAMETER = 5_000, 20  # of the short climbs, and more for many parameters
JUDGING = em.Stopping(1e-5, 30)
AT_A_TIME = 2_000  # rows, so that their distances stay in cache


class Begun(NamedTuple):
    """A start, and the prior under which its components are to be estimated."""

    parameters: Parameters
    prior: Prior | None


def robust_start(
    sample: Sample,
    n_components: int,
    rule: Robust,
    strengths: Sequence[float] | None,
    rng: np.random.Generator,
) -> Begun:
    """Choose a start with tails or noise.

    Parameters
    ----------
    sample : Sample
    n_components : int
    rule : HeavyTails or Noise
        For the rows that the sample stands for.
    strengths : sequence of float or None
        Rows of a prior to choose from; None where there is none, or the rule has it.
    rng : numpy.random.Generator

    Raises
    ------
    DegenerateCovarianceError
        If every candidate degenerates.
    """
    distances, found = _to_neighbours(sample), list[Parameters]()
    failure: DegenerateCovarianceError | None = None
    normal: em.Maximisation = rule.normal
    if strengths is not None and n_components > 1:
        kept = _without(sample, distances, OF_PRIOR)
        normal = normal.under(regularised_start(kept, n_components, normal, strengths, rng).prior)
    for share in LEFT_OUT:
        try:
            kept = _without(sample, distances, share)
            found.append(auto_start(kept, n_components, normal, rng))
        except DegenerateCovarianceError as error:
            failure = error
    best = _likeliest(found, sample, rule.under(normal.prior))
    if best is None:
        raise failure or DegenerateCovarianceError(0)
    return Begun(best, normal.prior)


def _likeliest(found: Sequence[Parameters], sample: Sample, rule: Robust) -> Parameters | None:
    """Return the one that leads highest in a short climb, as far as that has come."""
    if not found:
        return None
    source = _judging(sample, rule, found[0].n_components)
    states = [em.State(rule, rule.begun(start)) for start in found]

    def data_pass(candidates: list[Parameters]) -> Sequence[SufficientStatistics]:
        return passes.statistics(source, candidates)

    ended = [state for state in em.run(states, data_pass, JUDGING) if state.failure is None]
    if not ended:
        return None
    return max(ended, key=lambda state: state.trace[-1]).parameters


def _judging(sample: Sample, rule: Robust, n_components: int) -> Source:
    """Return rows of the sample with their weights, which sum to those of all rows."""
    n_parameters = rule.family.n_parameters(n_components, sample.rows.shape[1])
    most = max(JUDGED_ROWS, ROWS_PER_PARAMETER * n_parameters)
    chosen = _spread(len(sample.rows), most)
    weights = sample.weights[chosen]
    rows = sample.rows[chosen] + sample.origin
    return with_weights(open_source(rows), weights * (sample.row_weight / weights.sum()))


def _spread(n_rows: int, most: int) -> npt.NDArray[np.intp]:
    """Return the numbers of so many rows at most, evenly spread."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.intp))


def _without(sample: Sample, distances: Array, share: float) -> Sample:
    """Return the sample without this share of its weight, that of the largest distances."""
    if share == 0.0:
        return sample
    order = np.argsort(distances, kind="stable")
    held = np.cumsum(sample.weights[order]) <= (1.0 - share) * (1.0 + 1e-12)
    kept = np.sort(order[held])
    if len(kept) < 2:
        return sample
    rows, weights = sample.rows[kept], sample.weights[kept]
    part = float(weights.sum())
    weights = weights / part
    shift = np.einsum("i,ij->j", weights, rows)  # as of the sample: no BLAS
    return sample._replace(
        rows=rows - shift,
        weights=weights,
        origin=sample.origin + shift,
        n_rows=max(2, round(sample.n_rows * len(kept) / len(sample.rows))),
        row_weight=sample.row_weight * part,
    )


@one_blas_thread()
def _to_neighbours(sample: Sample) -> Array:
    """Return each row's squared distance to a near neighbour among some rows, (m,).

    Features count by the distance between their quartiles, that no far row changes.
    """
    rows = sample.rows
    quartiles = np.quantile(rows, (0.25, 0.75), axis=0)
    spreads = quartiles[1] - quartiles[0]
    # of a feature with half of its rows at one value, the deviation; of a constant, nothing
    spreads = np.where(spreads > 0.0, spreads, rows.std(axis=0))
    scaled = rows / np.where(spreads > 0.0, spreads, 1.0)
    references = scaled[_spread(len(rows), REFERENCES)]
    lengths = np.einsum("ij,ij->i", references, references)
    neighbour = min(NEIGHBOUR, len(references) - 1)
    found = np.empty(len(rows))
    for start in range(0, len(rows), AT_A_TIME):
        piece = scaled[start : start + AT_A_TIME]
        gaps = lengths - 2.0 * (piece @ references.T)
        gaps += np.einsum("ij,ij->i", piece, piece)[:, None]
        found[start : start + AT_A_TIME] = np.partition(gaps, neighbour, axis=1)[:, neighbour]
    return found
