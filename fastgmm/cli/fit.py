"""fastgmm fit: a model from a file of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from fastgmm import em
from fastgmm.cli import inputs, options, output, tables
from fastgmm.cli.progress import fitted
from fastgmm.errors import DataError, suggestion
from fastgmm.estimators import criteria, truncations
from fastgmm.estimators.base import Mixture
from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.student_mixture import StudentTMixture
from fastgmm.sources import Source

DEFAULT = GaussianMixture().get_params()
DIRICHLET = ("process", "distribution")

Components = Annotated[
    int,
    typer.Option(
        "--components", "-k", metavar="K", help="How many components.", show_default=False
    ),
]


@dataclass(frozen=True)
class Settings(options.Fitting):
    """Parameters of both mixtures, by their names there, and `prior` of `GaussianMixture`."""

    covariance_type: Annotated[
        str,
        typer.Option(
            "--covariance",
            metavar="TYPE",
            help=f"One of {options.COVARIANCE_TYPES}; or, with --n-factors, factors or ppca.",
        ),
    ] = DEFAULT["covariance_type"]
    n_factors: Annotated[
        int | None,
        typer.Option(
            "--n-factors",
            metavar="Q",
            help="With --covariance factors or ppca: how many of each component.",
            show_default=False,
        ),
    ] = DEFAULT["n_factors"]
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


@dataclass(frozen=True)
class Bayesian:
    """What `BayesianGaussianMixture` is told besides."""

    bayesian: Annotated[
        bool,
        typer.Option(
            "--bayesian", help="Variational Bayes: -k is a limit, and spare components hold no row."
        ),
    ] = False
    concentration: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="With --bayesian: the lower, the fewer components hold rows.",
            show_default="1/K",
        ),
    ] = None
    dirichlet: Annotated[
        str | None,
        typer.Option(
            metavar="PRIOR",
            help=f"With --bayesian: {' or '.join(DIRICHLET)}, which the weights come from.",
            show_default=DIRICHLET[0],
        ),
    ] = None


@dataclass(frozen=True)
class Noise:
    """What `GaussianMixture` is told of noise."""

    noise: Annotated[
        bool,
        typer.Option("--noise", help="Rows may be noise from anywhere: their label is -1."),
    ] = False
    noise_volume: Annotated[
        float | None,
        typer.Option(
            metavar="V",
            help="With --noise: the volume that it comes from.",
            show_default="of the rows' box",
        ),
    ] = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        if not self.noise and self.noise_volume is not None:
            raise DataError("--noise-volume is of --noise; add that, or leave it out")
        return {"noise": self.noise_volume or True} if self.noise else {}


@dataclass(frozen=True)
class Truncation:
    """What `GaussianMixture` is told of many components."""

    truncation: Annotated[
        str | None,
        typer.Option(
            metavar="X",
            help="auto, or the nats of each row that passes over many components may leave out.",
            show_default="none",
        ),
    ] = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        given = self.truncation
        if given is None or given == truncations.AUTO:
            return {} if given is None else {"truncation": given}
        try:
            return {"truncation": float(given)}
        except ValueError:
            raise DataError(f"--truncation {given!r} is neither auto nor a number") from None


@dataclass(frozen=True)
class HeavyTails:
    """What `StudentTMixture` is told besides."""

    student_t: Annotated[
        bool,
        typer.Option("--student-t", help="Student's t-distributions, which outliers do not move."),
    ] = False
    degrees_of_freedom: Annotated[
        str | None,
        typer.Option(
            metavar="V",
            help="With --student-t: each, shared, or a number from 1 on, which stays.",
            show_default="each",
        ),
    ] = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        given = self.degrees_of_freedom
        if given is None or given in (em.EACH, em.SHARED):
            return {} if given is None else {"degrees_of_freedom": given}
        try:
            return {"degrees_of_freedom": float(given)}
        except ValueError:
            raise DataError(
                f"--degrees-of-freedom {given!r} is neither each, shared nor a number"
            ) from None


def fit(
    data: options.Data,
    n_components: Components,
    settings: Settings,
    bayesian: Bayesian,
    tails: HeavyTails,
    noise: Noise,
    truncation: Truncation,
    reading: options.LabelledReading,
    written: options.Written,
) -> None:
    """Fit a mixture to the rows of a file, and show its components."""
    if written.output_path is not None:
        output.check(written.output_path, [".npz"], read=data)
    model = _model(n_components, settings, bayesian, tails, noise, truncation)
    if reading.label is not None and (bayesian.bayesian or tails.student_t):
        kind = "--bayesian" if bayesian.bayesian else "--student-t"
        raise DataError(f"--label is not of {kind}; leave one of the two out")
    source = inputs.rows(data, reading, settings.missing)
    doing = "starting, compiling if it is the first time"
    seconds = fitted(model, source, written.checkpoint, doing)
    if written.output_path is not None:
        model.save(written.output_path)
    tables.show(model, {**_figures(model, source), "seconds with compiling": f"{seconds:.2f}"})
    if written.output_path is not None:
        print(f" model written to {written.output_path}")


def _model(
    n_components: int,
    settings: Settings,
    bayesian: Bayesian,
    tails: HeavyTails,
    noise: Noise,
    truncation: Truncation,
) -> Any:
    """Return the estimator that the options describe."""
    acceleration = None if settings.acceleration == "none" else settings.acceleration
    parameters = settings.parameters() | {"acceleration": acceleration}
    if tails.degrees_of_freedom is not None and not tails.student_t:
        raise DataError("--degrees-of-freedom is of --student-t; add that, or leave it out")
    if noise.parameters() and (tails.student_t or bayesian.bayesian):
        raise DataError("--noise is of Gaussian mixtures; leave out --student-t and --bayesian")
    if truncation.parameters() and (tails.student_t or bayesian.bayesian):
        raise DataError(
            "--truncation is of Gaussian mixtures; leave out --student-t and --bayesian"
        )
    if (tails.student_t or bayesian.bayesian) and parameters.pop("n_factors") is not None:
        raise DataError("--n-factors is of Gaussian mixtures; leave out --student-t and --bayesian")
    if tails.student_t and bayesian.bayesian:
        raise DataError("--student-t and --bayesian are two kinds of mixtures; leave one out")
    if not bayesian.bayesian:
        for name in ("concentration", "dirichlet"):
            if getattr(bayesian, name) is not None:
                raise DataError(f"--{name} is of --bayesian; add that, or leave --{name} out")
        if tails.student_t:
            if parameters.pop("missing") != "error":
                raise DataError("--missing em is of normal components; leave it or --student-t out")
            return StudentTMixture(n_components, **parameters, **tails.parameters())
        return GaussianMixture(
            n_components, **parameters, **noise.parameters(), **truncation.parameters()
        )
    if parameters.pop("prior") != Settings.prior:
        raise DataError(
            f"--prior {settings.prior} is not of --bayesian, which has priors of its own; leave "
            "one of the two out"
        )
    kind = bayesian.dirichlet or DIRICHLET[0]
    if kind not in DIRICHLET:
        raise DataError(
            f"--dirichlet {kind!r} is not known{suggestion(kind, DIRICHLET)}; choose one of "
            f"{', '.join(DIRICHLET)}"
        )
    return BayesianGaussianMixture(
        n_components=n_components,
        weight_concentration_prior_type=f"dirichlet_{kind}",
        weight_concentration_prior=bayesian.concentration,
        **parameters,
    )


def _figures(model: Mixture, source: Source) -> dict[str, str]:
    """Return what is said of the fit beside its components."""
    if isinstance(model, BayesianGaussianMixture):
        return {
            "rows": f"{model.n_rows_:,}",
            "passes": tables.n_passes(model),
            **tables.of_posterior(model),
        }
    found = _criteria(model, source)
    if isinstance(model, StudentTMixture):
        found["degrees of freedom"] = ", ".join(f"{v:.3g}" for v in model.degrees_of_freedom_[:8])
    if hasattr(model, "noise_weight_"):
        found["noise"] = f"{model.noise_weight_:.4f}"
    if hasattr(model, "truncated_mass_"):
        found["left out, nats per row"] = f"{model.truncated_mass_:.1e}"
    return found


def _criteria(model: GaussianMixture, source: Source) -> dict[str, str]:
    """Score the final parameters on the rows of the fit, which takes one more pass."""
    totals = model._totals(source, inputs.parameters(model))
    n_parameters = model._n_parameters()
    return {
        "rows": f"{totals.n_rows:,}",
        "passes": tables.n_passes(model),
        "log-likelihood per row": f"{totals.log_likelihood / totals.row_weight:.6f}",
        "AIC": f"{criteria.aic(totals, n_parameters):.2f}",
        "BIC": f"{criteria.bic(totals, n_parameters):.2f}",
    }
