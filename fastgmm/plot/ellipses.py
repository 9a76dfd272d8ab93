"""Components as ellipses of one and of two standard deviations, and as numbers at their means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgmm.errors import require
from fastgmm.parameters import Parameters
from fastgmm.plot.axes import line_of
from fastgmm.plot.colours import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BADGE = 19.0  # points from one number to the next that it does not touch
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


def draw_numbers(mixture: Parameters, inks: np.ndarray, ax: Axes) -> None:
    """Write each component's number at its mean, or beside it with a line where two would meet."""
    moves = _apart(_on_paper(mixture.means, ax))
    for k, (mean, move, ink) in enumerate(zip(mixture.means, moves, inks, strict=True)):
        paper = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": ink, "alpha": 0.9}
        line = {"arrowstyle": "-", "color": ink, "shrinkA": 0, "shrinkB": 0}
        ax.annotate(
            str(k),
            mean,
            xytext=move,
            textcoords="offset points",
            ha="center",
            va="center",
            color=INK,
            size="small",
            bbox=paper,
            arrowprops=line if move.any() else None,
        )


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
    ax.add_patch(ellipse)


def _on_paper(places: np.ndarray, ax: Axes) -> np.ndarray:
    """Where places lie in points of paper, (K, 2)."""
    return np.asarray(ax.transData.transform(places)) * 72.0 / ax.figure.dpi


def _apart(places: np.ndarray) -> np.ndarray:
    """How far to move each place so that none is nearer to another than a badge, (K, 2)."""
    moved = places.copy()
    for _ in range(ROUNDS):
        pairs = list(_too_near(moved))
        if not pairs:
            break
        for one, other in pairs:
            between = moved[other] - moved[one]
            distance = float(np.hypot(*between))
            turn = one + 2.4 * other  # two in one place leave it in a direction of their own
            along = (
                between / distance if distance > 1e-6 else np.array([np.cos(turn), np.sin(turn)])
            )
            step = 0.55 * max(BADGE - distance, 0.0) * along
            moved[one] -= step
            moved[other] += step
    return moved - places


def _too_near(places: np.ndarray) -> Iterator[tuple[int, int]]:
    distances = np.hypot(*(places[:, None] - places[None]).T)
    for one, other in np.argwhere(np.triu(distances < BADGE, k=1)):
        yield int(one), int(other)
