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
from fastgmm.passes import quantiles
from fastgmm.passes.quantiles import check_share

Contamination = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Share of the rows to mark as outliers: 0.01.", show_default=False
    ),
]


def score(
    model: options.Model,
    data: options.Data,
    reading: options.Reading,
    output_path: options.OptionalTable = None,
    contamination: Contamination = None,
) -> None:
    """Print the mean log-likelihood of the rows; with -o, write 'log_likelihood' of each.

    With --contamination, also the threshold below which that share of the rows lies, and a column
    'outlier' that says which do.
    """
    if output_path is not None:
        output.check(output_path, _suffixes(contamination), read=[*data, str(model)])
    source, parameters = inputs.to_score(model, data, reading)
    threshold = None
    if contamination is not None:
        check_share(contamination)
        threshold = quantiles.threshold(source, parameters, contamination)
    found = counted(passes.each_block(source, parameters, "log_likelihoods"), source.n_rows)
    totals: list[float] = []
    summed = _summed(found, totals)
    if output_path is None:
        n_rows = sum(map(len, summed))
    else:
        n_rows = output.write_columns(output_path, map(partial(_columns, threshold), summed))
    print(f"mean log-likelihood {math.fsum(totals) / n_rows:.9g} of {n_rows:,} rows")
    if threshold is not None:
        print(f"threshold {threshold:.9g}: {contamination:.6g} of the rows lie below")
    if output_path is not None:
        print(f"log-likelihoods written to {output_path}")


def _suffixes(contamination: float | None) -> Sequence[str]:
    """Return the allowed suffixes: .npy holds a single column only."""
    return output.SUFFIXES if contamination is None else output.TABLES


def _summed(found: Iterator[np.ndarray], totals: list[float]) -> Iterator[np.ndarray]:
    """Yield each piece, and append its sum to the totals."""
    for log_likelihoods in found:
        totals.append(float(log_likelihoods.sum(dtype=np.float64)))
        yield log_likelihoods


def _columns(threshold: float | None, log_likelihoods: np.ndarray) -> output.Columns:
    if threshold is None:
        return {"log_likelihood": log_likelihoods}
    return {"log_likelihood": log_likelihoods, "outlier": log_likelihoods < threshold}
