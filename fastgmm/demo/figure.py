"""A figure of two panels, drawn without a screen and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastgmm.errors import require


def saved_figure(
    path: Path, panels: Callable[[Any], None], widths: tuple[float, float] = (1, 1)
) -> None:
    """Save what `panels` draws on a pair of axes, on a canvas that needs no display."""
    figure = require("matplotlib.figure", "plot").Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 2, width_ratios=widths)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    panels(axes)
    figure.savefig(path, dpi=120)
