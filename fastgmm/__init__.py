"""Gaussian mixtures for data of any length, on compiled passes."""

from __future__ import annotations

from fastgmm.errors import (
    DataError,
    DegenerateCovarianceError,
    MissingDependencyError,
    ModelFileError,
    SourceChangedError,
)

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "DegenerateCovarianceError",
    "MissingDependencyError",
    "ModelFileError",
    "SourceChangedError",
    "__version__",
]
