"""fastgmm score: how well a model describes the rows of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fastgmm import passes
from fastgmm.cli import inputs, options, output
from fastgmm.cli.progress import counted


def score(
    model: options.Model,
    data: options.Data,
    output_path: options.OptionalTable = None,
    columns: options.Columns = None,
) -> None:
    """Print the mean log-likelihood of the rows; with -o, write 'log_likelihood' of each."""
    if output_path is not None:
        output.check(output_path, output.TABLES, read=[data, str(model)])
    source, parameters = inputs.to_score(model, data, inputs.columns_of(columns, data))
    found = counted(passes.each_block(source, parameters, "log_likelihoods"), source.n_rows)
    totals: list[float] = []
    columns_found = _summed(found, totals)
    if output_path is None:
        n_rows = sum(len(piece["log_likelihood"]) for piece in columns_found)
    else:
        n_rows = output.write_columns(output_path, columns_found)
    print(f"mean log-likelihood {math.fsum(totals) / n_rows:.9g} of {n_rows:,} rows")
    if output_path is not None:
        print(f"log-likelihoods written to {output_path}")


def _summed(found: Iterator[np.ndarray], totals: list[float]) -> Iterator[output.Columns]:
    """Name the column, and add the sum of each piece to the totals."""
    for log_likelihoods in found:
        totals.append(float(log_likelihoods.sum(dtype=np.float64)))
        yield {"log_likelihood": log_likelihoods}
