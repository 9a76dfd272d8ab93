"""fastgmm select: the number of components and the covariance type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fastgmm.cli import inputs, options, output, pictures, tables
from fastgmm.cli.progress import fitted
from fastgmm.errors import DataError
from fastgmm.selection import AutoGaussianMixture, Selection
from fastgmm.selection.held_out import is_held_out as check_criterion

DEFAULT = AutoGaussianMixture().get_params()
TO_TRY = ["1:20"]  # numbers of components, as they are written

Counts = Annotated[
    list[str],
    typer.Option(
        "--components",
        "-k",
        metavar="K:K",
        help="Numbers to try: 1:20, or 2,4,8; may be given several times.",
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the criterion: .png, .pdf or .svg.", show_default=False
    ),
]

MOST_COLUMNS = 5  # of a table: more are wider than a terminal


@dataclass(frozen=True)
class Settings(options.Fitting):
    """Parameters of `AutoGaussianMixture`, by their names there."""

    criterion: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="bic, aic or icl, least of which is best; held-out, the log-likelihood of rows "
            "left out; held-out-1se, the simplest within one standard error of that; or evidence, "
            "of variational Bayes.",
        ),
    ] = DEFAULT["criterion"]
    covariance_type: Annotated[
        list[str],
        typer.Option(
            "--covariance",
            metavar="TYPES",
            help=f"Of {options.COVARIANCE_TYPES}; or all, which is mclust's fourteen. May be given "
            "several times.",
        ),
    ] = DEFAULT["covariance_type"]
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
    n_components: Counts = TO_TRY,
    plot: Picture = None,
) -> None:
    """Fit mixtures of several sizes and types in shared passes, and show which is best."""
    if written.output_path is not None:
        output.check(written.output_path, [".npz"], read=data)
    if plot is not None:
        pictures.check(plot, read=data)
    check_criterion(settings.criterion)
    types = options.listed("--covariance", settings.covariance_type)
    model = AutoGaussianMixture(
        counts_of(",".join(n_components)), **settings.parameters() | {"covariance_type": types}
    )
    source = inputs.rows(data, reading, settings.missing)
    doing = "making starts, compiling if it is the first time"
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
    table = model.selection_.table
    Console().print(*_criterion_tables(model.selection_))
    # the sample and the criteria, and both once more by folds
    n_passes = int(table["n_passes"].max()) + (4 if "held_out" in table else 2)
    tables.show(
        model.best_estimator_,
        {
            "covariance": model.covariance_type_,
            "rows": f"{model.best_estimator_.n_rows_:,}",
            "passes over the data": f"{n_passes}",
            "seconds with compiling": f"{seconds:.2f}",
        },
    )


def _criterion_tables(selection: Selection) -> list[Table]:
    """Return tables: a line per number of components, a column per covariance type."""
    table = selection.table
    types = list(dict.fromkeys(table["covariance_type"]))
    places = list(zip(table["n_components"].tolist(), table["covariance_type"], strict=True))
    title, texts = _held_out(table) if "held_out" in table else _criteria(selection)
    values = dict(zip(places, texts, strict=True))
    collapsed = dict(zip(places, selection.collapsed.tolist(), strict=True))
    arrived = dict(zip(places, table["converged"].tolist(), strict=True))
    best = selection.best_estimator_
    chosen = (best.n_components, best.covariance_type)
    notes = []
    if any(collapsed.values()):
        notes.append("in brackets: components have collapsed")
    if not all(arrived.values()):
        stopped = "out of passes" if "held_out" in table else "because it cannot become the best"
        notes.append(f"~: stopped early, {stopped}")
    found = []
    for first in range(0, len(types), MOST_COLUMNS):
        its = types[first : first + MOST_COLUMNS]
        shown = Table(box=box.SIMPLE_HEAD, title=title if first == 0 else None)
        shown.add_column("components", justify="right")
        for kind in its:
            shown.add_column(kind, justify="right")
        for count in sorted({count for count, _ in values}):
            cells = [
                _cell(values[at], at == chosen, collapsed[at], arrived[at])
                for at in ((count, kind) for kind in its)
            ]
            shown.add_row(str(count), *cells)
        found.append(shown)
    found[-1].caption = "\n".join(notes) or None
    return found


def _criteria(selection: Selection) -> tuple[str, list[str | None]]:
    """Return a title and the text of every candidate's criterion, None where it failed."""
    values = selection.table[selection.criterion].tolist()
    texts = [f"{value:,.1f}" if math.isfinite(value) else None for value in values]
    return f"{selection.criterion.upper()}, lower is better", texts


def _held_out(table: Mapping[str, np.ndarray]) -> tuple[str, list[str | None]]:
    """Return the same of held-out rows, with standard errors, the least to two digits."""
    means, errors = table["held_out"], table["standard_error"]
    positive = errors[np.isfinite(errors) & (errors > 0.0)]
    digits = max(2, 1 - math.floor(math.log10(positive.min()))) if len(positive) else 4
    texts = [
        f"{mean:,.{digits}f} ±{error:,.{digits}f}" if math.isfinite(mean) else None
        for mean, error in zip(means.tolist(), errors.tolist(), strict=True)
    ]
    title = "held-out log-likelihood per row ± its standard error, higher is better"
    return title, texts


def _cell(value: str | None, is_chosen: bool, has_collapsed: bool, has_arrived: bool) -> str:
    if value is None:
        return "failed"
    text = value if has_arrived else f"~{value}"
    text = f"({text})" if has_collapsed else text
    return f"[bold]{text} *[/bold]" if is_chosen else text
