"""fastgmm describe: what a model file holds."""

from __future__ import annotations

from fastgmm.cli import options, tables
from fastgmm.covariance import family
from fastgmm.estimators.saving import load


def describe(model_path: options.Model) -> None:
    """Show the components of a model, and the fit that they come from."""
    model = load(model_path)
    n_components, n_features = model.means_.shape
    n_parameters = family(model.covariance_type).n_parameters(n_components, n_features)
    figures = {
        "components": str(n_components),
        "features": str(n_features),
        "covariance": model.covariance_type,
        "parameters": f"{n_parameters:,}",
    }
    if model.n_rows_:  # a model that was made from its parameters has seen no row
        figures["fitted rows"] = f"{model.n_rows_:,}"
        figures["passes"] = tables.n_passes(model)
        figures["log-likelihood a row"] = f"{model.lower_bound_:.6f}"
    tables.show(model, figures)
