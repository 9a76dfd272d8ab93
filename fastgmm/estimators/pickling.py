"""Pickles say which fastgmm wrote them, and warn where another one reads them."""

from __future__ import annotations

from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from fastgmm.errors import warn
from fastgmm.version import __version__

KEY = "_fastgmm_version"


class VersionWarning(InconsistentVersionWarning):
    """A pickle of another fastgmm; model files have no such trouble."""

    def __str__(self) -> str:
        """Say which versions meet, and the way out."""
        return (
            f"this {self.estimator_name} was pickled by fastgmm {self.original_sklearn_version} "
            f"and is read by {self.current_sklearn_version}; attributes may have changed between "
            "them. Write models with model.save(path) and read them with fastgmm.load(path), which "
            "holds across versions"
        )


def stamped(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an estimator with the version of fastgmm."""
    return {**state, KEY: __version__}


def checked(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the state without its stamp; warn if that is of another version, or missing."""
    found = state.get(KEY, "of unknown version")
    if found != __version__:
        warning = VersionWarning(
            estimator_name=name,
            current_sklearn_version=__version__,
            original_sklearn_version=found,
        )
        warn(warning)
    return {key: value for key, value in state.items() if key != KEY}
