"""fastgmm fit: a model from a file of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from fastgmm.cli import inputs, options, output, tables
from fastgmm.cli.progress import fitted
from fastgmm.covariance import FAMILIES, family
from fastgmm.estimators import criteria
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.sources import Source

DEFAULT = GaussianMixture().get_params()

Components = Annotated[
    int,
    typer.Option(
        "--components", "-k", metavar="K", help="How many components.", show_default=False
    ),
]


@dataclass(frozen=True)
class Settings(options.Fitting):
    """Parameters of `GaussianMixture`, by their names there."""

    covariance_type: Annotated[
        str,
        typer.Option("--covariance", metavar="TYPE", help=f"One of {', '.join(FAMILIES)}."),
    ] = DEFAULT["covariance_type"]
    tol: Annotated[
        float,
        typer.Option(metavar="X", help="Stop when the mean log-likelihood changes by less."),
    ] = DEFAULT["tol"]
    stopping: options.StoppingRule = DEFAULT["stopping"]
    acceleration: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="auto or squarem: fewer passes where EM is slow; none: EM alone."
        ),
    ] = DEFAULT["acceleration"]
    init_params: Annotated[
        str,
        typer.Option(
            "--init",
            metavar="START",
            help="auto, kmeans, k-means++, random or random_from_data.",
        ),
    ] = DEFAULT["init_params"]
    n_init: Annotated[int, typer.Option(metavar="N", help="Starts, of which the best is kept.")] = (
        DEFAULT["n_init"]
    )


def fit(
    data: options.Data,
    n_components: Components,
    settings: Settings,
    reading: options.WeightedReading,
    written: options.Written,
) -> None:
    """Fit a mixture to the rows of a file, and show its components."""
    if written.output_path is not None:
        output.check(written.output_path, [".npz"], read=data)
    acceleration = None if settings.acceleration == "none" else settings.acceleration
    model = GaussianMixture(n_components, **settings.parameters() | {"acceleration": acceleration})
    source = inputs.rows(data, reading)
    doing = "starting, compiling if it is the first time"
    seconds = fitted(model, source, written.checkpoint, doing)
    if written.output_path is not None:
        model.save(written.output_path)
    tables.show(model, {**_figures(model, source), "seconds with compiling": f"{seconds:.2f}"})
    if written.output_path is not None:
        print(f" model written to {written.output_path}")


def _figures(model: GaussianMixture, source: Source) -> dict[str, str]:
    """Score the final parameters on the rows of the fit, which takes one more pass."""
    totals = criteria.totals_of(source, inputs.parameters(model))
    n_parameters = family(model.covariance_type).n_parameters(*model.means_.shape)
    return {
        "rows": f"{totals.n_rows:,}",
        "passes": tables.n_passes(model),
        "log-likelihood per row": f"{totals.log_likelihood / totals.row_weight:.6f}",
        "AIC": f"{criteria.aic(totals, n_parameters):.2f}",
        "BIC": f"{criteria.bic(totals, n_parameters):.2f}",
    }
