"""fastgmm predict: a label for every row of a file."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from fastgmm import passes
from fastgmm.cli import inputs, options, output
from fastgmm.cli.progress import counted
from fastgmm.passes.scores import CACHED_ROWS


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
    kind = "responsibilities" if proba else "labels"
    found = counted(passes.each_block(source, parameters, kind), source.n_rows)
    named: output.Named = labels
    if proba:
        named = _array if output.is_array(output_path) else probabilities
    n_rows = output.write_columns(output_path, found, named)
    what = "probabilities" if named is _array else "labels"
    print(f"{what} of {n_rows:,} rows written to {output_path}")


def labels(found: np.ndarray) -> output.Columns:
    """Return the column of labels."""
    return {"label": found}


def probabilities(responsibilities: np.ndarray) -> output.Columns:
    """Return the columns of labels and responsibilities."""
    columns = {f"p{k}": column for k, column in enumerate(_lying(responsibilities))}
    return {"label": responsibilities.argmax(axis=1), **columns}


def _lying(rows: np.ndarray) -> np.ndarray:
    """Return contiguous columns; transposing in pieces that stay in cache takes half the time."""
    columns = np.empty(rows.shape[::-1], rows.dtype)
    for start in range(0, len(rows), CACHED_ROWS):
        piece = slice(start, start + CACHED_ROWS)
        columns[:, piece] = rows[piece].T
    return columns


def _array(responsibilities: np.ndarray) -> output.Columns:
    return {"p": responsibilities}
