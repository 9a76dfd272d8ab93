"""Arguments and options that several commands share, each said once.

A command takes groups of options as dataclasses, whose fields `spread` gives to typer.
"""

from __future__ import annotations

import csv
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from fastgmm import em
from fastgmm.covariance import ALL, FAMILIES
from fastgmm.errors import DataError

COVARIANCE_TYPES = (
    f"{', '.join(name for name, each in FAMILIES.items() if name != each.name)}; or by mclust's "
    f"letters {', '.join(each.name for each in ALL)}"
)
WRITTEN = {r"\t": "\t", "tab": "\t", "space": " "}  # separators that a shell has no letter for

Data = Annotated[
    list[str],  # a shell makes many of data/*.csv
    typer.Argument(
        metavar="DATA...",
        help="A .npy, .csv, .tsv, .txt, .parquet, .arrow, .feather, .h5 or .zarr file; several of "
        "one kind, a folder or a pattern of them.",
        show_default=False,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A model file that 'fastgmm fit' wrote.", show_default=False
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAMES",
        help="Columns to read: a,b,c; may be given several times.",
        show_default=False,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Dataset of an HDF5 file or array of a Zarr store.", show_default=False
    ),
]
Table = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="File to write: .parquet, .csv or .npy.",
        show_default=False,
    ),
]
Predictive = Annotated[
    bool,
    typer.Option(
        "--predictive",
        help="Of a Bayesian mixture: by the density of rows to come, of Student's t.",
    ),
]
OptionalTable = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Also write the value of every row: .parquet, .csv or .npy.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, metavar="N", help="Seed of the random numbers.",
        show_default="another every time",
    ),
]  # fmt: skip
StoppingRule = Annotated[
    str,
    typer.Option("--stopping", metavar="RULE", help="What --tol bounds: change or aitken."),
]


@dataclass(frozen=True)
class Reading:
    """How a file is read."""

    columns: Columns = None
    dataset: Dataset = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            help=r"What separates the cells of a text file: ';', '\t', ' '.",
            show_default="as its first lines say",
        ),
    ] = None
    decimal: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            help="The decimal point of a text file: . or a comma.",
            show_default="as its first lines say",
        ),
    ] = None
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="The first line of a text file names the columns; or they are 0, 1, ...",
            show_default="as its first lines say",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of a text file: latin-1, utf-16.",
            show_default="as its first lines say",
        ),
    ] = None

    @property
    def text(self) -> dict[str, Any]:
        """How a text file is written, as `open_source` is told."""
        delimiter = WRITTEN.get(self.delimiter or "", self.delimiter)
        return {
            "delimiter": delimiter,
            "decimal": self.decimal,
            "header": self.header,
            "encoding": self.encoding,
        }


@dataclass(frozen=True)
class WeightedReading(Reading):
    """How a file of rows with weights is read."""

    weight: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the rows' weights.", show_default=False),
    ] = None


@dataclass(frozen=True)
class LabelledReading(WeightedReading):
    """How a file of rows with weights and classes is read."""

    label: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of the rows' classes, where they are known; -k has a component for each.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class Fitting:
    """Parameters that all estimators share, by their names there."""

    random_state: Seed = None
    max_iter: Annotated[int, typer.Option(metavar="N", help="Passes over the data, at most.")] = (
        em.MAX_PASSES
    )
    reg_covar: Annotated[float, typer.Option(metavar="X", help="Added to every variance.")] = 1e-6
    reg_covar_relative: Annotated[
        bool,
        typer.Option(
            "--reg-covar-relative", help="--reg-covar is a part of each feature's variance."
        ),
    ] = False
    prior: Annotated[
        str,
        typer.Option(
            metavar="PRIOR",
            help="Draws covariances together: auto, none, or a number of rows.",
        ),
    ] = "auto"
    missing: Annotated[
        str,
        typer.Option(
            metavar="WHAT", help="Missing values: error, or em, which expects them while it fits."
        ),
    ] = "error"

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        return vars(self) | {"prior": _prior(self.prior)}


def _prior(text: str) -> str | float | None:
    """Return what an estimator takes for a prior."""
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither auto, none nor a number of rows", param_hint="--prior"
        ) from None


@dataclass(frozen=True)
class Written:
    """Files that a fit writes."""

    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Save the model: .npz.", show_default=False
        ),
    ] = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the state of the fit here: the same command goes on from there after a "
            "kill.",
            show_default=False,
        ),
    ] = None


def listed(option: str, texts: Sequence[str]) -> list[str]:
    """Split names at commas, of an option as often as it was given.

    A name that holds a comma may be quoted, as in a CSV file.
    """
    found = []
    for text in texts:
        names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
        if not names or not all(names):
            raise DataError(f"{option} {text!r} leaves a name out; write them as a,b,c")
        found += names
    return found


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the fields of its dataclasses as options of its own."""
    signature = inspect.signature(command, eval_str=True)
    given = signature.parameters.values()
    groups: dict[str, Any] = {
        each.name: each.annotation for each in given if is_dataclass(each.annotation)
    }
    parameters = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in given
        for option in (_options(each.annotation) if each.name in groups else [each])
    ]

    @functools.wraps(command)
    def spread_command(**options: Any) -> None:
        for name, group in groups.items():
            own = {field.name: options.pop(field.name) for field in fields(group)}
            options[name] = group(**own)
        command(**options)

    spread_command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    spread_command.__annotations__ = {each.name: each.annotation for each in parameters}
    return spread_command


def _options(group: Any) -> Iterator[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    for field in fields(group):
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=types[field.name],
        )
