"""fastgmm predict: a label for every row of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fastgmm import passes
from fastgmm.cli import inputs, options, output
from fastgmm.cli.progress import counted
from fastgmm.kernels.scoring import Columns
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import Source


def predict(
    model: options.Model,
    data: options.Data,
    reading: options.Reading,
    output_path: options.Table,
    proba: Annotated[
        bool, typer.Option("--proba", help="Write the probabilities too: p0, p1, ...")
    ] = False,
) -> None:
    """Write the most probable component of every row, in the column 'label'.

    A .npy file holds the labels alone, or with --proba the probabilities alone.
    """
    output.check(output_path, output.SUFFIXES, read=[*data, str(model)])
    source, parameters = inputs.to_score(model, data, reading)
    n_rows = output.write_columns(output_path, _columns(source, parameters, output_path, proba))
    what = "probabilities" if proba and output.is_array(output_path) else "labels"
    print(f"{what} of {n_rows:,} rows written to {output_path}")


def _columns(
    source: Source, parameters: Parameters, output_path: Path, proba: bool
) -> Iterator[output.Columns]:
    """Find what is to be written, block after block."""
    if proba and not output.is_array(output_path):
        found = passes.each_block_by_columns(source, parameters)
        return map(probabilities, counted(found, source.n_rows))
    kind, name = ("responsibilities", "p") if proba else ("labels", "label")
    scores = counted(passes.each_block(source, parameters, kind), source.n_rows)
    return ({name: each} for each in scores)


def probabilities(found: Columns) -> output.Columns:
    """Return the columns of labels and responsibilities."""
    return {"label": found.labels} | {f"p{k}": p for k, p in enumerate(found.responsibilities)}
