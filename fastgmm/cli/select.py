"""fastgmm select: the number of components and the covariance type."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fastgmm.cli import inputs, options, output, pictures, tables
from fastgmm.cli.progress import fitted
from fastgmm.covariance import FAMILIES
from fastgmm.errors import DataError
from fastgmm.estimators.criteria import named
from fastgmm.selection import AutoGaussianMixture, Selection

DEFAULT = AutoGaussianMixture().get_params()

Counts = Annotated[
    str,
    typer.Option("--components", "-k", metavar="K:K", help="Numbers to try: 1:20, or 2,4,8."),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the criterion: .png, .pdf or .svg.", show_default=False
    ),
]


@dataclass(frozen=True)
class Settings(options.Fitting):
    """Parameters of `AutoGaussianMixture`, by their names there."""

    criterion: Annotated[
        str,
        typer.Option(metavar="NAME", help="Criterion to minimise: bic, aic or icl."),
    ] = DEFAULT["criterion"]
    covariance_type: Annotated[
        str,
        typer.Option("--covariance", metavar="TYPES", help=f"Of {', '.join(FAMILIES)}."),
    ] = ",".join(DEFAULT["covariance_type"])
    tol: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Stop a candidate this near to its limit, as a part of the penalty of one more "
            "component.",
        ),
    ] = DEFAULT["tol"]
    stopping: options.StoppingRule = DEFAULT["stopping"]


def select(
    data: options.Data,
    settings: Settings,
    reading: options.WeightedReading,
    written: options.Written,
    n_components: Counts = "1:20",
    plot: Picture = None,
) -> None:
    """Fit mixtures of several sizes and types in shared passes, and show which is best."""
    if written.output_path is not None:
        output.check(written.output_path, [".npz"], read=[data])
    if plot is not None:
        pictures.check(plot, read=[data])
    named(settings.criterion)
    types = [name.strip() for name in settings.covariance_type.split(",")]
    model = AutoGaussianMixture(
        counts_of(n_components), **settings.parameters() | {"covariance_type": types}
    )
    source = inputs.rows(data, reading)
    doing = "growing starts, compiling if it is the first time"
    seconds = fitted(model, source, written.checkpoint, doing)
    if written.output_path is not None:
        model.best_estimator_.save(written.output_path)
    if plot is not None:
        with pictures.saved(plot) as figure:
            model.selection_.plot(figure.subplots())
    _show(model, seconds)
    if written.output_path is not None:
        print(f" model written to {written.output_path}")
    if plot is not None:
        print(f" picture written to {plot}")


def counts_of(text: str) -> list[int]:
    """Read numbers of components: 4, 2,4,8, or 1:20 with both ends.

    Raises
    ------
    DataError
        If the text has another form, or the range is empty.
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
    """Return a table: a line per number of components, a column per covariance type."""
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
        notes.append("~: stopped early, because it cannot become the best")
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
