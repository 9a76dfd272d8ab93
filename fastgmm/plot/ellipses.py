"""Components as ellipses of 1 and 2 standard deviations, with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgmm.errors import require
from fastgmm.mixture.parameters import Parameters
from fastgmm.plot.axes import LETTERS, letters_of, line_of
from fastgmm.plot.colours import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BADGE = 19.0  # points from one number to the next that it does not touch
MOST_NUMBERS = 40  # of more, they would hide the picture
ROUNDS = 200  # of moving numbers apart: 12 in one place take 60


class Shape(NamedTuple):
    """Of a 2 x 2 covariance: standard deviations along its axes, and where the first points."""

    longer: float
    shorter: float
    degrees: float


def shape_of(covariance: np.ndarray) -> Shape:
    """Take the axes of a covariance, to all digits also where its features differ by 1e9."""
    (across, both), (_, up) = covariance
    correlation = both / np.sqrt(across * up)
    longer = 0.5 * (across + up) + np.hypot(0.5 * (across - up), both)
    # by the determinant, for a difference of eigenvalues would lose the small one
    shorter = across * up * max(1.0 - correlation**2, 0.0) / longer
    degrees = np.degrees(0.5 * np.arctan2(2.0 * both, across - up))
    return Shape(float(np.sqrt(longer)), float(np.sqrt(shorter)), float(degrees))


def corners(mixture: Parameters, deviations: int = 2) -> np.ndarray:
    """Corners of the boxes about all ellipses, lowest and highest, (2 K, features)."""
    away = deviations * np.sqrt(np.diagonal(mixture.covariances, axis1=1, axis2=2))
    return np.vstack([mixture.means - away, mixture.means + away])


def draw_ellipses(
    mixture: Parameters,
    inks: Sequence[Any] | np.ndarray,
    ax: Axes,
    deviations: Sequence[int] = (1, 2),
    linewidth: float = 2.0,
) -> None:
    """Draw the components of a mixture of two features, each in its ink."""
    for mean, covariance, ink in zip(mixture.means, mixture.covariances, inks, strict=True):
        for times in deviations:
            _draw_ellipse(mean, shape_of(covariance), times, ax, ink, linewidth / times)


def draw_numbers(places: np.ndarray, inks: np.ndarray, ax: Axes, numbers: np.ndarray) -> None:
    """Write components' numbers (K,) at their places, (K, 2), or beside where two would meet."""
    if len(places) > MOST_NUMBERS:
        return
    paper_of = _Paper(places, ax)
    moves = paper_of.middles() - paper_of.places()
    for k, (place, move, ink) in enumerate(zip(places, moves, inks, strict=True)):
        paper = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": ink, "alpha": 0.9}
        line = {"arrowstyle": "-", "color": ink, "shrinkA": 0, "shrinkB": 0}
        number = ax.annotate(
            str(numbers[k]),
            place,
            xytext=(0.0, 0.0),
            textcoords=partial(paper_of.middle, k),
            ha="center",
            va="center",
            color=INK,
            size=letters_of(ax),
            bbox=paper,
            arrowprops=line if np.hypot(*move) > 0.5 * paper_of.badge else None,
        )
        number.set_in_layout(False)  # it is inside in any case, and to ask each takes long


def legend_line() -> Any:
    """Make the line that says in a legend what the ellipses are."""
    return line_of("1 and 2 standard deviations", color=INK, linewidth=2)


def _draw_ellipse(
    middle: np.ndarray, shape: Shape, times: int, ax: Axes, ink: Any, linewidth: float
) -> None:
    """Draw an ellipse as a line that is seen on rows of its colour."""
    effects = require("matplotlib.patheffects", "plot")
    halo = effects.withStroke(linewidth=linewidth + 1.5, foreground="white")
    ellipse = require("matplotlib.patches", "plot").Ellipse(
        middle,
        2.0 * times * shape.longer,
        2.0 * times * shape.shorter,
        angle=shape.degrees,
        facecolor="none",
        edgecolor=ink,
        linewidth=linewidth,
        path_effects=[halo],
    )
    ax.add_artist(ellipse)  # not add_patch, which looks for the ends of each: a third of the time


class _Paper:
    """Where numbers stand on paper, which is known when they are drawn: a layout may come first."""

    def __init__(self, places: np.ndarray, ax: Axes) -> None:
        self._places, self._ax = places, ax
        self.badge = BADGE * letters_of(ax) / LETTERS
        self._known: tuple[bytes, np.ndarray] = (b"", places)

    def places(self) -> np.ndarray:
        """Where their places are, in points of paper, (K, 2)."""
        return np.asarray(self._ax.transData.transform(self._places)) * 72.0 / self._ax.figure.dpi

    def middles(self) -> np.ndarray:
        """Where their middles are, apart from each other and inside of the axes, (K, 2)."""
        places, box = self.places(), self._ax.bbox.get_points() * 72.0 / self._ax.figure.dpi
        key = places.tobytes() + box.tobytes()
        if key != self._known[0]:
            inside = box + 0.5 * self.badge * np.array([[1.0], [-1.0]])
            self._known = (key, _apart(places, self.badge, inside))
        return self._known[1]

    def middle(self, k: int, renderer: Any) -> Any:
        """From nothing to the middle of a number in dots, as annotations ask for it."""
        dots = self.middles()[k] * self._ax.figure.dpi / 72.0
        return require("matplotlib.transforms", "plot").Affine2D().translate(*dots)


def _apart(places: np.ndarray, badge: float, inside: np.ndarray) -> np.ndarray:
    """Move places in a box until none is nearer to another than a badge, (K, 2)."""
    turns = np.add.outer(np.arange(len(places)), 2.4 * np.arange(len(places)))
    turns = np.triu(turns, 1) + np.tril(turns.T + np.pi, -1)  # two in one place leave it both ways
    ways = np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    moved = np.clip(places, *inside)
    for _ in range(ROUNDS):
        between = moved[:, None] - moved[None]
        distances = np.hypot(between[..., 0], between[..., 1])
        lacking = np.maximum(badge - distances, 0.0)
        np.fill_diagonal(lacking, 0.0)
        if not lacking.any():
            break
        far = distances > 0.1 * badge
        along = np.where(far[..., None], between / np.maximum(distances, 1e-9)[..., None], ways)
        moved = np.clip(moved + 0.55 * (lacking[..., None] * along).sum(axis=1), *inside)
    return moved
