"""Colours that differ in grey too, and sizes of points."""

from __future__ import annotations

import numpy as np

from fastgmm.errors import require
from fastgmm.parallel.blas import one_blas_thread

INK = "#333333"
PALE = "#c9ced6"  # of points in the background
PALER = "#e2e5ea"  # of bars, on which the lightest line is still seen in grey


def component_colours(n_components: int) -> np.ndarray:
    """Colours of rising lightness (K, 3), so that they differ in grey too."""
    matplotlib = require("matplotlib", "plot")
    # viridis ends in a yellow that is lost on white: it stops at 0.85
    scale = np.linspace(0.0, 0.85, n_components) if n_components > 1 else np.array([0.3])
    return np.asarray(matplotlib.colormaps["viridis"](scale))[:, :3]


@one_blas_thread()
def soft_colours(responsibilities: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Mix the colours of the components of these numbers for each row, (n, 3).

    What belongs to others is pale.
    """
    matplotlib = require("matplotlib.colors", "plot")
    colours = np.tile(matplotlib.to_rgb(PALE), (responsibilities.shape[1], 1))
    colours[numbers] = component_colours(len(numbers))
    mixed = responsibilities @ colours
    return np.asarray(np.clip(mixed, 0.0, 1.0))


def point_size(n_rows: int) -> float:
    """Area of a point that lets so many rows be told apart."""
    return float(np.clip(12_000 / max(n_rows, 1), 3.0, 24.0))
