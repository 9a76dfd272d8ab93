"""fastgmm plot: a picture of a model and the rows of a file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fastgmm import plot as pictures_of
from fastgmm.cli import inputs, options, pictures
from fastgmm.errors import DataError, suggestion
from fastgmm.estimators.base import Mixture
from fastgmm.estimators.model_file import load
from fastgmm.plot.axes import Feature
from fastgmm.plot.corner import side_of
from fastgmm.sources import Source

OF_PAIRS: dict[str, Callable[..., Any]] = {
    "clusters": pictures_of.clusters,
    "density": pictures_of.density,
    "uncertainty": pictures_of.uncertainty,
}
KINDS = (*OF_PAIRS, "corner", "histogram", "scores", "trace")
WITHOUT_ROWS = ("density", "trace")
WITHOUT_FEATURES = ("scores", "trace")

Picture = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="File to write: .png, .pdf or .svg.",
        show_default=False,
    ),
]  # fmt: skip
Rows = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA...",
        help="As for 'fastgmm fit'; 'trace' needs none, and 'density' may do without.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Drawing:
    """Options for what is drawn."""

    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help=f"What to draw: {', '.join(KINDS)}.",
            show_default="histogram of one feature, clusters of two, corner of more",
        ),
    ] = None
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Features to draw, by name or number from 0: a,b; may be given several times.",
            show_default=False,
        ),
    ] = None
    contamination: Annotated[
        float,
        typer.Option(metavar="SHARE", help="For 'scores': the share of rows that are outliers."),
    ] = 0.01


def plot(
    model: options.Model,
    output_path: Picture,
    drawing: Drawing,
    reading: options.Reading,
    data: Rows = None,
) -> None:
    """Draw a model, and the rows of a file as it sees them."""
    pictures.check(output_path, read=[str(model), *(data or [])])
    if data:
        inputs.refuse_swapped(data)
    mixture, source = load(model), None
    if data and drawing.kind != "trace":
        source = inputs.rows_for(mixture, model, data, reading)
        mixture, source = _with_same_names(mixture, source)
    chosen = _features(drawing.features, mixture)
    kind = _kind(drawing.kind, mixture, chosen, bool(data))
    draw = _drawing(kind, mixture, source, chosen, drawing.contamination)
    size = (side_of(mixture, chosen),) * 2 if kind == "corner" else ()
    with pictures.saved(output_path, *size) as figure:
        draw(ax=figure.subplots())
    print(f"{kind} written to {output_path}")


def _with_same_names(model: Mixture, source: Source) -> tuple[Mixture, Source]:
    """Return copies of model and rows with the same feature names.

    Their columns have been checked; the estimator would warn if only one has names.
    """
    model, source = copy.copy(model), copy.copy(source)
    if source.feature_names is not None:
        model.feature_names_in_ = np.array(source.feature_names, object)
    elif hasattr(model, "feature_names_in_"):
        source.labels = [str(name) for name in model.feature_names_in_]
    return model, source


def _features(texts: Sequence[str] | None, model: Mixture) -> list[Feature] | None:
    """Return the features that --features names; a number that is no name counts from 0."""
    if not texts:
        return None
    names = getattr(model, "feature_names_in_", [])
    found = options.listed("--features", texts)
    return [int(name) if name not in names and name.isdecimal() else name for name in found]


def _kind(
    kind: str | None, model: Mixture, chosen: Sequence[Feature] | None, has_rows: bool
) -> str:
    """Check the kind of picture, or choose one by the number of features."""
    n_features = model.means_.shape[1] if chosen is None else len(chosen)
    if kind is None:
        kind = {1: "histogram", 2: "clusters"}.get(n_features, "corner")
    if kind not in KINDS:
        raise DataError(
            f"no picture is named {kind!r}{suggestion(kind, KINDS)}; choose one of "
            f"{', '.join(KINDS)}"
        )
    if not has_rows and kind not in WITHOUT_ROWS:
        raise DataError(f"a picture of kind {kind!r} needs rows; name a file of them as DATA")
    if chosen is not None and kind in WITHOUT_FEATURES:
        raise DataError(f"a picture of kind {kind!r} is of all features; leave out --features")
    if kind == "histogram" and n_features != 1:
        raise DataError(
            f"a histogram is of one feature, not {n_features}; choose it with --features"
        )
    return kind


def _drawing(
    kind: str,
    model: Mixture,
    source: Any,
    chosen: Sequence[Feature] | None,
    contamination: float,
) -> Callable[..., Any]:
    """Return the function that draws the picture on axes."""
    if kind == "trace":
        return partial(pictures_of.trace, model)
    if kind == "corner":
        return partial(pictures_of.corner, model, source, features=chosen)
    if kind == "scores":
        return partial(pictures_of.scores, model, source, contamination=contamination)
    if kind == "histogram":
        return partial(pictures_of.histogram, model, source, feature=(chosen or [0])[0])
    return partial(OF_PAIRS[kind], model, source, features=tuple(chosen or (0, 1)))
