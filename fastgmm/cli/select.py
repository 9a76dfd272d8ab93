"""fastgmm select: how many components, and of which kind."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fastgmm.cli import inputs, options, output, pictures, tables
from fastgmm.cli.fit import (
    CheckpointFile,
    MaxIter,
    ModelFile,
    RegCovar,
    RegCovarRelative,
    StoppingRule,
    Weight,
)
from fastgmm.cli.progress import PassProgress
from fastgmm.errors import DataError
from fastgmm.estimators.criteria import named
from fastgmm.selection import AutoGaussianMixture, Selection
from fastgmm.sources import Source

DEFAULT = AutoGaussianMixture().get_params()

Counts = Annotated[
    str,
    typer.Option("--components", "-k", metavar="K:K", help="Numbers to try: 1:20, or 2,4,8."),
]
Covariances = Annotated[
    str, typer.Option(metavar="TYPES", help="Covariance types to try, such as full,tied.")
]
CriterionName = Annotated[
    str, typer.Option(metavar="NAME", help="What the best is lowest in: bic, aic or icl.")
]
Share = Annotated[
    float,
    typer.Option(
        "--tol",
        metavar="SHARE",
        help="How near to its limit a candidate has to come, as a part of the least that the "
        "criterion charges from one number to the next.",
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the criterion: .png, .pdf or .svg.", show_default=False
    ),
]


def select(
    data: options.Data,
    n_components: Counts = "1:20",
    criterion: CriterionName = "bic",
    covariance: Covariances = "full,tied,diag,spherical",
    seed: options.Seed = None,
    plot: Picture = None,
    output_path: ModelFile = None,
    columns: options.Columns = None,
    weight: Weight = None,
    dataset: options.Dataset = None,
    tol: Share = DEFAULT["tol"],
    stopping: StoppingRule = DEFAULT["stopping"],
    max_iter: MaxIter = DEFAULT["max_iter"],
    reg_covar: RegCovar = DEFAULT["reg_covar"],
    reg_covar_relative: RegCovarRelative = False,
    checkpoint: CheckpointFile = None,
) -> None:
    """Fit mixtures of several sizes and types in shared passes, and show which is best."""
    if output_path is not None:
        output.check(output_path, [".npz"], read=[data])
    if plot is not None:
        pictures.check(plot, read=[data])
    named(criterion)
    model = AutoGaussianMixture(
        counts_of(n_components),
        covariance_type=[name.strip() for name in covariance.split(",")],
        criterion=criterion,
        tol=tol,
        stopping=stopping,
        max_iter=max_iter,
        reg_covar=reg_covar,
        reg_covar_relative=reg_covar_relative,
        random_state=seed,
    )
    source = inputs.rows(data, columns, weight, dataset)
    seconds = _fit(model, source, checkpoint)
    if output_path is not None:
        model.best_estimator_.save(output_path)
    if plot is not None:
        with pictures.saved(plot) as figure:
            model.selection_.plot(figure.subplots())
    _show(model, seconds)
    if output_path is not None:
        print(f" model written to {output_path}")
    if plot is not None:
        print(f" picture written to {plot}")


def counts_of(text: str) -> list[int]:
    """Read numbers of components: 4, 2,4,8, or 1:20 with both ends.

    Raises
    ------
    DataError
        If they are not so written, or are none.
    """
    counts: list[int] = []
    for part in text.split(","):
        first, colon, last = part.strip().partition(":")
        if not first.isdecimal() or (colon and not last.isdecimal()):
            raise DataError(
                f"--components {text!r} is not understood; write 4, or 2,4,8, or 1:20 for all from "
                "1 to 20"
            )
        counts += range(int(first), int(last or first) + 1)
    if not counts:
        raise DataError(
            f"--components {text!r} leaves nothing to try; write the lower number first"
        )
    return counts


def _fit(model: AutoGaussianMixture, source: Source, checkpoint: Path | None) -> float:
    """Fit with a bar on stderr if that is a terminal; return the seconds it took."""
    if sys.stderr.isatty():
        model.set_callbacks(PassProgress("growing starts, compiling if it is the first time"))
    started = time.perf_counter()
    model.fit(source, checkpoint=checkpoint)
    return time.perf_counter() - started


def _show(model: AutoGaussianMixture, seconds: float) -> None:
    """Print the criterion of every candidate, and the best mixture."""
    Console().print(_criterion_table(model.selection_))
    n_passes = int(model.selection_.table["n_passes"].max())
    tables.show(
        model.best_estimator_,
        {
            "covariance": model.covariance_type_,
            "rows": f"{model.best_estimator_.n_rows_:,}",
            "passes over the data": f"{n_passes + 2}",
            "seconds with compiling": f"{seconds:.2f}",
        },
    )


def _criterion_table(selection: Selection) -> Table:
    """Lines of numbers of components, columns of covariance types; the chosen is marked."""
    table, name = selection.table, selection.criterion
    types = list(dict.fromkeys(table["covariance_type"]))
    places = list(zip(table["n_components"].tolist(), table["covariance_type"], strict=True))
    values = dict(zip(places, table[name].tolist(), strict=True))
    collapsed = dict(zip(places, selection.collapsed.tolist(), strict=True))
    arrived = dict(zip(places, table["converged"].tolist(), strict=True))
    best = selection.best_estimator_
    chosen = (best.n_components, best.covariance_type)
    notes = []
    if any(collapsed.values()):
        notes.append("in brackets: components have collapsed")
    if not all(arrived.values()):
        notes.append("~: stopped before its end, as one that cannot come to be the best")
    shown = Table(
        box=box.SIMPLE_HEAD,
        title=f"{name.upper()}, lower is better",
        caption="\n".join(notes) or None,
    )
    shown.add_column("components", justify="right")
    for kind in types:
        shown.add_column(kind, justify="right")
    for count in sorted({count for count, _ in values}):
        cells = [
            _cell(values[at], at == chosen, collapsed[at], arrived[at])
            for at in ((count, kind) for kind in types)
        ]
        shown.add_row(str(count), *cells)
    return shown


def _cell(value: float, is_chosen: bool, has_collapsed: bool, has_arrived: bool) -> str:
    if not math.isfinite(value):
        return "failed"
    text = f"{value:,.1f}" if has_arrived else f"~{value:,.1f}"
    text = f"({text})" if has_collapsed else text
    return f"[bold]{text} *[/bold]" if is_chosen else text
