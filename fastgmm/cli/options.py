"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A .npy, .csv, .parquet, .arrow, .feather, .h5 or .zarr file; a folder or glob of "
        "Parquet files.",
        show_default=False,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A model file that 'fastgmm fit' wrote.", show_default=False
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Columns to read: a,b,c.", show_default=False),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Dataset of an HDF5 file or array of a Zarr store.", show_default=False
    ),
]
Table = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="File to write: .parquet, .csv or .npy.",
        show_default=False,
    ),
]
OptionalTable = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Also write the value of every row: .parquet, .csv or .npy.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="Seed of the random numbers.", show_default="another every time"
    ),
]
