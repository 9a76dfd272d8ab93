"""Gaussian mixtures with scikit-learn's API: fast, and for data larger than memory.

`GaussianMixture` is the estimator, `ConjugatePrior` a prior for it; `BayesianGaussianMixture` finds
a posterior, and how many components the rows ask for; `StudentTMixture` has components with heavy
tails, which outliers do not move; `load` reads a saved model.
`open_source` selects columns and weights of data. `select` chooses the number of components,
`AutoGaussianMixture` does so in a pipeline. `plot` draws.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastgmm.errors import (
    CheckpointError,
    CheckpointWarning,
    DataError,
    DegenerateComponentWarning,
    DegenerateCovarianceError,
    MissingDependencyError,
    ModelFileError,
    SourceChangedError,
    WeightsWarning,
)
from fastgmm.version import __version__

if TYPE_CHECKING:
    from fastgmm import plot
    from fastgmm.estimators import (
        BayesianGaussianMixture,
        ConjugatePrior,
        GaussianMixture,
        StudentTMixture,
        load,
    )
    from fastgmm.selection import AutoGaussianMixture, select
    from fastgmm.sources import open_source

__all__ = [
    "AutoGaussianMixture",
    "BayesianGaussianMixture",
    "CheckpointError",
    "CheckpointWarning",
    "ConjugatePrior",
    "DataError",
    "DegenerateComponentWarning",
    "DegenerateCovarianceError",
    "GaussianMixture",
    "MissingDependencyError",
    "ModelFileError",
    "SourceChangedError",
    "StudentTMixture",
    "WeightsWarning",
    "__version__",
    "load",
    "open_source",
    "plot",
    "select",
]

# Opened at first use: scikit-learn takes 1.6 s to import, and brings pandas and pyarrow if they are
# installed. `import fastgmm` takes 0.02 s, and who only reads rows never pays for the rest.
ROOMS = {
    "AutoGaussianMixture": "fastgmm.selection",
    "BayesianGaussianMixture": "fastgmm.estimators",
    "ConjugatePrior": "fastgmm.estimators",
    "GaussianMixture": "fastgmm.estimators",
    "StudentTMixture": "fastgmm.estimators",
    "load": "fastgmm.estimators",
    "open_source": "fastgmm.sources",
    "plot": "fastgmm.plot",
    "select": "fastgmm.selection",
}


def _demand_main_interpreter() -> None:
    """Refuse sub-interpreters, where the first use of Numba waits for ever."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # of Python 3.13 on, and before
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "fastgmm runs in the main interpreter of a process alone, since Numba and NumPy "
                "do; here it is imported in a sub-interpreter: use a process (with mod_wsgi, "
                "WSGIApplicationGroup %{GLOBAL})"
            )


_demand_main_interpreter()


def __getattr__(name: str) -> Any:
    if name not in ROOMS:
        raise AttributeError(f"module 'fastgmm' has no attribute {name!r}")
    try:
        room = importlib.import_module(ROOMS[name])
        value = room if ROOMS[name] == f"fastgmm.{name}" else getattr(room, name)
    except AttributeError as error:  # `from fastgmm import` would take it for a missing name
        raise ImportError(f"fastgmm.{name} cannot be imported: {error}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
