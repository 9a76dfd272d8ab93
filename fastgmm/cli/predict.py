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
from fastgmm.mixture.posterior import Posterior
from fastgmm.sources import Source


def predict(
    model: options.Model,
    data: options.Data,
    reading: options.Reading,
    output_path: options.Table,
    proba: Annotated[
        bool, typer.Option("--proba", help="Write the probabilities too: p0, p1, ...")
    ] = False,
    predictive: options.Predictive = False,
) -> None:
    """Write the most probable component of every row, in the column 'label'.

    A .npy file holds the labels alone, or with --proba the probabilities alone.
    """
    output.check(output_path, output.SUFFIXES, read=[*data, str(model)])
    source, parameters = inputs.to_score(model, data, reading)
    found = (
        _predictive(source, inputs.posterior(parameters, model), output_path, proba)
        if predictive
        else _columns(source, parameters, output_path, proba)
    )
    n_rows = output.write_columns(output_path, found)
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


def _predictive(
    source: Source, posterior: Posterior, output_path: Path, proba: bool
) -> Iterator[output.Columns]:
    """Find the same by the density of rows to come."""
    kind, name = ("responsibilities", "p") if proba else ("labels", "label")
    scores = counted(passes.predictive.each_block(source, posterior, kind), source.n_rows)
    if proba and not output.is_array(output_path):
        return (probabilities(Columns(each.argmax(axis=1), each.T, first=0)) for each in scores)
    return ({name: each} for each in scores)


def probabilities(found: Columns) -> output.Columns:
    """Return the columns of labels and responsibilities."""
    return {"label": found.labels} | {f"p{k}": p for k, p in enumerate(found.responsibilities)}
