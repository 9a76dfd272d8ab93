"""Exceptions and warnings, and how they are raised at the user's line."""

from __future__ import annotations

import difflib
import importlib
import sys
import warnings
from collections.abc import Iterable
from types import FrameType, ModuleType

ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)

# Who stands between a user's line and a warning: ours, what wraps every fit or compiles, what
# reads pickles.
BETWEEN = ("fastgmm", "sklearn", "contextlib", "joblib", "numba", "pickle")


class DataError(ValueError):
    """A row, column, shape or weight that cannot be used; the message says which."""


class SourceChangedError(DataError):
    """A source gave other rows in a later pass than in the first."""


class ModelFileError(ValueError):
    """A model file that is truncated, altered or not one of ours."""


class CheckpointError(ValueError):
    """A checkpoint that belongs to other data or other arguments, or cannot be read."""


class CheckpointWarning(UserWarning):
    """A checkpoint that could not be written, or an older one that is used; the fit goes on."""


class MissingDependencyError(ImportError):
    """An optional library is needed and not installed."""


class ClusterError(RuntimeError):
    """A Dask cluster that cannot do a pass: its workers die or differ, or its scheduler is gone."""


class DegenerateComponentWarning(UserWarning):
    """A fit with components or features that describe nothing; it names them, and the way out."""


class WeightsWarning(UserWarning):
    """Weights that sum to less than their rows, so that a criterion counts too few; see there."""


class ThreadsWarning(RuntimeWarning):
    """Threads cannot be used, and one does the work of all."""


class DegenerateCovarianceError(ValueError):
    """A component's covariance is not positive definite.

    Attributes
    ----------
    component : int or None
        The component, or None where one covariance serves them all.
    feature : int or None
        The first feature that, given those before it, has no variance; None where it is not known.
    """

    def __init__(self, component: int | None = None, feature: int | None = None) -> None:
        self.component, self.feature = component, feature
        where = "the tied covariance" if component is None else f"component {component}"
        if feature is not None:
            where += f", in the direction of feature {feature}"
        super().__init__(f"{ILL_DEFINED} (Found at {where}.)")

    def __reduce__(self) -> tuple[type, tuple[int | None, int | None]]:
        """Rebuild from its parts, so that the error crosses process boundaries."""
        return type(self), (self.component, self.feature)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)", of the known word nearest to this one; "" if none is near."""
    by_small_letters, small = {each.casefold(): each for each in known}, word.casefold()
    near = difflib.get_close_matches(small, by_small_letters, n=3, cutoff=0.5)
    # "diagonal" is meant for "diag", though "tied-diagonal" has more letters of it
    near.sort(key=lambda each: not each.startswith(small[:1]))
    return f" (did you mean {by_small_letters[near[0]]!r}?)" if near else ""


def warn(message: str | Warning, category: type[Warning] | None = None) -> None:
    """Warn of something at the line of the user's code that has led to it."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _library(frame) in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _library(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library, or say which extra installs it."""
    try:
        return importlib.import_module(module)
    except (ImportError, AttributeError) as error:  # the latter where libraries do not fit together
        library = module.partition(".")[0]
        raise MissingDependencyError(
            f"this needs {library}, which cannot be imported ({error}); "
            f"install it with: pip install 'fastgmm[{extra}]'"
        ) from error
