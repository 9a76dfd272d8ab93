"""fastgmm score: how well a model describes the rows of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated

import numpy as np
import typer

from fastgmm import passes
from fastgmm.cli import inputs, options, output
from fastgmm.cli.progress import counted
from fastgmm.errors import DataError
from fastgmm.passes import quantiles
from fastgmm.passes.quantiles import check_share

Contamination = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Share of the rows to mark as outliers: 0.01.", show_default=False
    ),
]
WHAT = ("log-likelihood", "log_likelihood")


def score(
    model: options.Model,
    data: options.Data,
    reading: options.Reading,
    output_path: options.OptionalTable = None,
    contamination: Contamination = None,
    predictive: options.Predictive = False,
) -> None:
    """Print the mean log-likelihood of the rows; with -o, write 'log_likelihood' of each.

    With --contamination, also the threshold below which that share of the rows lies, and a column
    'outlier' that says which do. With --predictive, the log densities of rows to come, in the
    column 'log_density'.
    """
    if predictive and contamination is not None:
        raise DataError("--contamination marks by likelihoods; leave it or --predictive out")
    if output_path is not None:
        output.check(output_path, _suffixes(contamination), read=[*data, str(model)])
    source, parameters = inputs.to_score(model, data, reading)
    threshold = None
    if contamination is not None:
        check_share(contamination)
        threshold = quantiles.threshold(source, parameters, contamination)
    if predictive:
        posterior = inputs.posterior(parameters, model)
        blocks = passes.predictive.each_block(source, posterior, "log_densities")
    else:
        blocks = passes.each_block(source, parameters, "log_likelihoods")
    what, name = ("predictive log density", "log_density") if predictive else WHAT
    found = counted(blocks, source.n_rows)
    totals: list[float] = []
    summed = _summed(found, totals)
    if output_path is None:
        n_rows = sum(map(len, summed))
    else:
        n_rows = output.write_columns(output_path, map(partial(_columns, name, threshold), summed))
    print(f"mean {what} {math.fsum(totals) / n_rows:.9g} of {n_rows:,} rows")
    if threshold is not None:
        print(f"threshold {threshold:.9g}: {contamination:.6g} of the rows lie below")
    if output_path is not None:
        written = "log densities" if predictive else "log-likelihoods"
        print(f"{written} written to {output_path}")


def _suffixes(contamination: float | None) -> Sequence[str]:
    """Return the allowed suffixes: .npy holds a single column only."""
    return output.SUFFIXES if contamination is None else output.TABLES


def _summed(found: Iterator[np.ndarray], totals: list[float]) -> Iterator[np.ndarray]:
    """Yield each piece, and append its sum to the totals."""
    for scores in found:
        totals.append(float(scores.sum(dtype=np.float64)))
        yield scores


def _columns(name: str, threshold: float | None, scores: np.ndarray) -> output.Columns:
    if threshold is None:
        return {name: scores}
    return {name: scores, "outlier": scores < threshold}
