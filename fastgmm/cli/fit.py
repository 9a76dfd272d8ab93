"""fastgmm fit: a model from a file of rows."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fastgmm.cli import inputs, options, output, tables
from fastgmm.cli.progress import PassProgress
from fastgmm.covariance import family
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
Covariance = Annotated[str, typer.Option(metavar="TYPE", help="full, tied, diag or spherical.")]
ModelFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Save the model: .npz.", show_default=False
    ),
]
Weight = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of the rows' weights.", show_default=False),
]
Tolerance = Annotated[
    float, typer.Option(metavar="X", help="Stop when the mean log-likelihood changes by less.")
]
StoppingRule = Annotated[
    str,
    typer.Option("--stopping", metavar="RULE", help="What --tol bounds: change or aitken."),
]
Acceleration = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto or squarem: fewer passes where EM is slow; none: EM alone.",
    ),
]
MaxIter = Annotated[int, typer.Option(metavar="N", help="Passes over the data, at most.")]
RegCovar = Annotated[float, typer.Option(metavar="X", help="Added to every variance.")]
RegCovarRelative = Annotated[
    bool,
    typer.Option("--reg-covar-relative", help="--reg-covar is a part of each feature's variance."),
]
Init = Annotated[
    str, typer.Option(metavar="START", help="auto, kmeans, k-means++, random or random_from_data.")
]
NInit = Annotated[int, typer.Option(metavar="N", help="Starts, of which the best is kept.")]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep the state of the fit here: the same command goes on from there after a kill.",
        show_default=False,
    ),
]


def fit(
    data: options.Data,
    n_components: Components,
    covariance: Covariance = DEFAULT["covariance_type"],
    seed: options.Seed = None,
    output_path: ModelFile = None,
    columns: options.Columns = None,
    weight: Weight = None,
    dataset: options.Dataset = None,
    tol: Tolerance = DEFAULT["tol"],
    stopping: StoppingRule = DEFAULT["stopping"],
    max_iter: MaxIter = DEFAULT["max_iter"],
    acceleration: Acceleration = DEFAULT["acceleration"],
    reg_covar: RegCovar = DEFAULT["reg_covar"],
    reg_covar_relative: RegCovarRelative = False,
    init: Init = DEFAULT["init_params"],
    n_init: NInit = DEFAULT["n_init"],
    checkpoint: CheckpointFile = None,
) -> None:
    """Fit a mixture to the rows of a file, and show its components."""
    if output_path is not None:
        output.check(output_path, [".npz"], read=[data])
    model = GaussianMixture(
        n_components,
        covariance_type=covariance,
        tol=tol,
        stopping=stopping,
        reg_covar=reg_covar,
        reg_covar_relative=reg_covar_relative,
        max_iter=max_iter,
        acceleration=None if acceleration == "none" else acceleration,
        n_init=n_init,
        init_params=init,
        random_state=seed,
    )
    source = inputs.rows(data, columns, weight, dataset)
    seconds = _fit(model, source, checkpoint)
    if output_path is not None:
        model.save(output_path)
    tables.show(model, {**_figures(model, source), "seconds with compiling": f"{seconds:.2f}"})
    if output_path is not None:
        print(f" model written to {output_path}")


def _fit(model: GaussianMixture, source: Source, checkpoint: Path | None) -> float:
    """Fit with a bar on stderr if that is a terminal; return the seconds it took."""
    if sys.stderr.isatty():
        model.set_callbacks(PassProgress("starting, compiling if it is the first time"))
    started = time.perf_counter()
    model.fit(source, checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    model.set_callbacks()  # a bar is not part of what is saved
    return seconds


def _figures(model: GaussianMixture, source: Source) -> dict[str, str]:
    """Say how the final parameters fare on the rows they were fitted to: one more pass."""
    totals = criteria.totals_of(source, inputs.parameters(model))
    n_parameters = family(model.covariance_type).n_parameters(*model.means_.shape)
    return {
        "rows": f"{totals.n_rows:,}",
        "passes": tables.n_passes(model),
        "log-likelihood a row": f"{totals.log_likelihood / totals.row_weight:.6f}",
        "AIC": f"{criteria.aic(totals, n_parameters):.2f}",
        "BIC": f"{criteria.bic(totals, n_parameters):.2f}",
    }
