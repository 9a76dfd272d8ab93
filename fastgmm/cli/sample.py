"""fastgmm sample: rows drawn from a model."""

from __future__ import annotations

from typing import Annotated

import typer

from fastgmm.cli import options, output, tables
from fastgmm.estimators.model_file import load


def sample(
    model: options.Model,
    output_path: options.Table,
    n_rows: Annotated[int, typer.Option("--rows", "-n", metavar="N", help="Rows to draw.")] = 1000,
    seed: options.Seed = None,
) -> None:
    """Draw rows from a model, in the order of their components."""
    output.check(output_path, output.SUFFIXES, read=[str(model)])
    mixture = load(model).set_params(random_state=seed)
    rows, _ = mixture.sample(n_rows)
    names = ["x"] if output.is_array(output_path) else tables.feature_names(mixture)
    columns = [rows] if output.is_array(output_path) else rows.T
    output.write_columns(output_path, [dict(zip(names, columns, strict=True))])
    print(f"{n_rows:,} rows written to {output_path}")
