"""fastgmm predict: a label for every row of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import typer

from fastgmm import passes
from fastgmm.cli import inputs, options, output
from fastgmm.cli.progress import counted


def predict(
    model: options.Model,
    data: options.Data,
    output_path: options.Table,
    proba: Annotated[
        bool, typer.Option("--proba", help="Write the probabilities too: p0, p1, ...")
    ] = False,
    columns: options.Columns = None,
) -> None:
    """Write the most probable component of every row, in the column 'label'."""
    output.check(output_path, output.TABLES, read=[data, str(model)])
    source, parameters = inputs.to_score(model, data, inputs.columns_of(columns, data))
    kind = "responsibilities" if proba else "labels"
    found = counted(passes.each_block(source, parameters, kind), source.n_rows)
    named = _probabilities if proba else _labels
    n_rows = output.write_columns(output_path, named(found))
    print(f"{n_rows:,} labels written to {output_path}")


def _labels(found: Iterator[np.ndarray]) -> Iterator[output.Columns]:
    for labels in found:
        yield {"label": labels}


def _probabilities(found: Iterator[np.ndarray]) -> Iterator[output.Columns]:
    for responsibilities in found:
        columns = {f"p{k}": column for k, column in enumerate(responsibilities.T)}
        yield {"label": responsibilities.argmax(axis=1), **columns}
