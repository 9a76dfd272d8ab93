"""The commands, by name."""

from __future__ import annotations

from typing import Annotated

import typer

import fastgmm
from fastgmm.cli.demo import demo
from fastgmm.cli.describe import describe
from fastgmm.cli.failures import Command, Commands
from fastgmm.cli.fit import fit
from fastgmm.cli.options import spread
from fastgmm.cli.plot import plot
from fastgmm.cli.predict import predict
from fastgmm.cli.sample import sample
from fastgmm.cli.score import score
from fastgmm.cli.select import select

app = typer.Typer(
    cls=Commands,
    name="fastgmm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fastgmm {fastgmm.__version__}")
        raise typer.Exit


@app.callback()
def fastgmm_(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Gaussian mixtures for files of any length: fit, label, score, sample, draw."""


for command in (fit, select, predict, score, sample, describe, plot, demo):
    app.command(cls=Command)(spread(command))
