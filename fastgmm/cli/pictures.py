"""Writes pictures to files, whole or not at all, without a screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastgmm.cli import output
from fastgmm.errors import require
from fastgmm.storage.atomic import replacing

SUFFIXES = (".png", ".pdf", ".svg")
DOTS = 150  # per inch


def check(path: Path, read: Sequence[str]) -> None:
    """Refuse a picture that cannot be drawn or written, before any work is done."""
    require("matplotlib", "plot")
    output.check(path, SUFFIXES, read)


@contextmanager
def saved(path: Path, width: float = 7.0, height: float = 4.8) -> Iterator[Any]:
    """Yield a figure of a size in inches, then write it."""
    figures = require("matplotlib.figure", "plot")
    figure = figures.Figure(figsize=(width, height), layout="constrained")
    yield figure
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lower().lstrip("."), dpi=DOTS)
