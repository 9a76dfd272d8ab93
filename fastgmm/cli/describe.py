"""fastgmm describe: what a model file holds."""

from __future__ import annotations

from fastgmm.cli import options, tables
from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.estimators.model_file import load


def describe(model: options.Model) -> None:
    """Show the components of a model, and the fit that they come from."""
    mixture = load(model)
    n_components, n_features = mixture.means_.shape
    figures = {
        "components": str(n_components),
        "features": str(n_features),
        "covariance": mixture.covariance_type,
    }
    if isinstance(mixture, BayesianGaussianMixture):
        figures |= tables.of_posterior(mixture)
    else:
        figures["parameters"] = f"{mixture._n_parameters():,}"
    if mixture.n_rows_:  # a model that was made from its parameters has seen no row
        figures["fitted rows"] = f"{mixture.n_rows_:,}"
        figures["passes"] = tables.n_passes(mixture)
    tables.show(mixture, figures)
    if mixture.read_as_ is not None:
        print(f" rows read as text: {mixture.read_as_}")
