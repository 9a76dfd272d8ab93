"""Axes, their labels and legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm.errors import DataError, require
from fastgmm.estimators.base import Mixture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 40  # characters of a name
SMALLEST = 6.5  # points of letters beside axes, before a name loses its middle
LETTER = 0.6  # of their size is the width of letters, on average
LETTERS = 8.3  # points of letters inside of axes
ORDINARY = (3.2, 2.2)  # inches of axes, in smaller ones letters are smaller
LEAST = (2.0, 1.3)  # inches: in smaller axes a legend would hide more than it says

Feature = int | str  # its number from 0, or its name


def new_axes() -> Axes:
    """Axes of a figure of their own, which matplotlib's windows know of."""
    return require("matplotlib.pyplot", "plot").subplots(layout="constrained")[1]


def numbers_of(model: Mixture, features: Sequence[Feature]) -> list[int]:
    """Numbers of the features asked for.

    Raises
    ------
    DataError
        If the model has none of this number or name.
    """
    names = list(getattr(model, "feature_names_in_", []))
    n_features = model.means_.shape[1]
    found = []
    for feature in features:
        if isinstance(feature, str) and feature in names:
            found.append(names.index(feature))
        elif not isinstance(feature, str) and 0 <= feature < n_features:
            found.append(int(feature))
        else:
            raise _not_there(features, names, n_features)
    return found


def pair_of(model: Mixture, features: Sequence[Feature], picture: str) -> list[int]:
    """Numbers of the two features that a picture has across and up."""
    if model.means_.shape[1] < 2:
        raise DataError(
            f"a picture of {picture} needs two features, and the model has one; "
            "histogram draws one feature"
        )
    if len(features) != 2:
        raise DataError(
            f"a picture of {picture} has two features, and features={features!r} are "
            f"{len(features)}; corner draws more"
        )
    return numbers_of(model, features)


def name_of(model: Mixture, feature: int, longest: int = LONGEST) -> str:
    """Name a feature as it was named when the model was fitted, without its middle if too long."""
    names = getattr(model, "feature_names_in_", None)
    name = f"feature {feature}" if names is None else str(names[feature])
    if len(name) > longest:
        half = (longest - 1) // 2
        name = f"{name[:half]}…{name[-half:]}"
    return name.replace("$", r"\$")  # else matplotlib takes what is between two for mathematics


def name_both(model: Mixture, pair: Sequence[int], ax: Axes) -> None:
    """Write the names of two features beside the axes."""
    name_axes(ax, *(name_of(model, *each) for each in zip(pair, most_letters(ax), strict=True)))


def name_axes(ax: Axes, across: str, up: str) -> None:
    """Write what is across and up, in letters that have room beside the axes."""
    for axis, text, inches in zip((ax.xaxis, ax.yaxis), (across, up), inches_of(ax), strict=True):
        axis.set_label_text(text)
        numbers, room = axis.get_major_formatter(), inches
        if isinstance(numbers, require("matplotlib.ticker", "plot").ScalarFormatter):
            numbers.set_useMathText(True)  # 1e-5+1 is hard to read
            numbers.format_ticks(axis.get_majorticklocs())
            if numbers.get_offset() and axis is ax.xaxis:
                ax.set_xlabel(text, loc="left")  # the offset stands on the right
                room = 0.7 * inches
        fitting = room * 72.0 / (LETTER * max(len(text), 1))
        axis.label.set_fontsize(float(np.clip(fitting, SMALLEST, axis.label.get_fontsize())))


def most_letters(ax: Axes) -> list[int]:
    """How many letters of a name have room across and up."""
    room = inches_of(ax) * 72.0 / (LETTER * SMALLEST)
    return [int(letters) for letters in np.minimum(room, LONGEST)]


def inches_of(ax: Axes) -> np.ndarray:
    """Width and height of axes on paper."""
    return np.asarray(ax.bbox.size) / ax.figure.dpi


def letters_of(ax: Axes) -> float:
    """Points of letters inside of axes."""
    return float(LETTERS * np.clip((inches_of(ax) / ORDINARY).min(), 0.7, 1.0))


def line_of(label: str, **style: Any) -> Any:
    """Make a line for a legend."""
    return require("matplotlib.lines", "plot").Line2D([], [], label=label, **style)


def outside_lines(outside: np.ndarray) -> list[Any]:
    """Make the line, if any, that says in a legend how many rows are not shown."""
    if not outside.any():
        return []
    return [line_of(f"{outside.sum()} of {len(outside)} rows lie outside", linestyle="none")]


def count_across(ax: Axes) -> None:
    """Let the numbers across be whole, and as many as there is room for."""
    locator = require("matplotlib.ticker", "plot").MaxNLocator
    ax.xaxis.set_major_locator(locator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def has_legend(ax: Axes) -> bool:
    """Whether axes are large enough for a legend."""
    return bool((inches_of(ax) >= LEAST).all())


def legend(ax: Axes, **options: Any) -> None:
    """Put a legend where it hides least, on paper that lets it be read above rows."""
    if has_legend(ax):
        ax.legend(fontsize=letters_of(ax), framealpha=0.85, edgecolor="none", **options)


def _not_there(features: Sequence[Feature], names: list[str], n_features: int) -> DataError:
    known = f"0 to {n_features - 1}" + (f", or {', '.join(map(repr, names))}" if names else "")
    return DataError(
        f"features={features!r} are not all among the model's features, which are {known}"
    )
